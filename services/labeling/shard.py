"""One shard is labelled: the judge and its helpers are asked side by side, whatever kind of judge each of them is."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from concord.labeling.judge import Combined
from concord.labeling.verdict_columns import shard_labeled
from concord.v1 import config_pb2 as cfg
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

T = TypeVar("T")

# Asks one judge about all the pairs, with the run's seed.
Ask = Callable[[Sequence[pb.Pair], cfg.JudgeConfig, int], Coroutine[Any, Any, tuple[list[Combined], ev.Usage]]]
# ShardLabeled.own_disagree of the pairs, from the same LLM's other prompts, given the labels.
OwnDisagree = Callable[[Sequence[pb.Pair], cfg.JudgeConfig, Sequence[Combined]], Sequence[float]]


async def label_shard(
    pairs: Sequence[tuple[int, pb.Pair]],
    label: cfg.JudgeConfig,
    helpers: Sequence[cfg.JudgeConfig],
    seed: int,
    ask: Ask,
    own_disagree: OwnDisagree | None = None,
) -> tuple[ev.ShardLabeled, ev.Usage]:
    """The fact of the shard, and what all its judges used. `pairs` holds (index in the run, pair).

    `ask` is called once for each judge and decides by its kind. Raises what `ask` raises.
    """
    texts = [pair for _, pair in pairs]
    answers = await together(ask(texts, config, seed) for config in (label, *helpers))
    (labels, _), others = answers[0], answers[1:]
    named = {helper_name(config): said for config, (said, _) in zip(helpers, others, strict=True)}
    own = own_disagree(texts, label, labels) if own_disagree else None
    return shard_labeled(pairs, labels, named, own), total(used for _, used in answers)


def helper_name(config: cfg.JudgeConfig) -> str:
    """What HelperColumn calls the judge: `kind:name`, and for an LLM whose it is, as two endpoints may share a name."""
    return f"{config.kind}:{config.name}" + (f"@{config.url}" if config.url else "")


def total(usages: Iterable[ev.Usage]) -> ev.Usage:
    """The sum, except that seconds are those of the slowest: the judges worked side by side."""
    used = list(usages)
    return ev.Usage(
        calls=sum(u.calls for u in used),
        cached_calls=sum(u.cached_calls for u in used),
        prompt_tokens=sum(u.prompt_tokens for u in used),
        completion_tokens=sum(u.completion_tokens for u in used),
        dollars=sum(u.dollars for u in used),
        seconds=max((u.seconds for u in used), default=0.0),
    )


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results of coroutines that run side by side; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as group_of_errors:
        first = group_of_errors.exceptions[0]
        raise first from first.__cause__
    return [task.result() for task in tasks]
