"""What was paid to a judge's endpoint, counted as it goes. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from concord.kit.usage import MOST_COUNT
from concord.labeling.reply import Reply
from concord.v1 import config_pb2 as cfg
from concord.v1 import events_pb2 as ev


@dataclass
class Spent:
    """What was paid, useless replies too. Tokens are guessed where the endpoint does not count them."""

    calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, request: Mapping[str, Any], reply: Reply | None) -> None:
        """One more call; `reply` is None where what came could not be read."""
        asked = sum(len(message["content"].encode(errors="replace")) for message in request["messages"])
        said = len(reply.text) + len(reply.reasoning) if reply else 0
        self.calls += 1
        self.prompt_tokens += (reply and reply.prompt_tokens) or asked // 3 + 1
        self.completion_tokens += (reply and reply.completion_tokens) or said // 3 + 1


def usage(spent: Spent, config: cfg.JudgeConfig, seconds: float = 0.0) -> ev.Usage:
    """What was spent, in the configuration's prices."""
    dollars = spent.prompt_tokens * config.prompt_dollars + spent.completion_tokens * config.completion_dollars
    return ev.Usage(
        calls=min(MOST_COUNT, spent.calls),
        cached_calls=min(MOST_COUNT, spent.cached_calls),
        prompt_tokens=min(MOST_COUNT, spent.prompt_tokens),
        completion_tokens=min(MOST_COUNT, spent.completion_tokens),
        dollars=dollars / 1e6,
        seconds=seconds,
    )


def total(usages: Iterable[ev.Usage]) -> ev.Usage:
    """The sum, except that seconds are those of the slowest: the judges worked side by side."""
    used = list(usages)
    return ev.Usage(
        calls=min(MOST_COUNT, sum(u.calls for u in used)),
        cached_calls=min(MOST_COUNT, sum(u.cached_calls for u in used)),
        prompt_tokens=min(MOST_COUNT, sum(u.prompt_tokens for u in used)),
        completion_tokens=min(MOST_COUNT, sum(u.completion_tokens for u in used)),
        dollars=sum(u.dollars for u in used),
        seconds=max((u.seconds for u in used), default=0.0),
    )
