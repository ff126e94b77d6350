"""A model that answers prompts: n samples of each, from the answers kept of it, else from its endpoint.

What an answer is good for is not looked at here: every one that came is kept under its request, an empty or a cut one as well,
so that a unit that is done again pays for nothing twice.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from concord.labeling.answer_cache import Answer, Answers, request_key
from concord.labeling.candidates import CUT, REFUSED, Sampled
from concord.labeling.chat import Chat
from concord.labeling.dialect import spoken
from concord.labeling.negotiation import Rejected
from concord.labeling.reply import Reply
from concord.labeling.shard import together
from concord.labeling.spending import Spent
from concord.preference.generating import MAX_TOKENS
from concord.v1 import config_pb2 as cfg
from concord.v1 import pairs_pb2 as pb


class Sampler:
    """One model. Raises Deferred or Permanent where the endpoint does not work."""

    def __init__(self, config: cfg.JudgeConfig, samples: int, chat: Chat, answers: Answers) -> None:
        self._config, self._samples, self._chat, self._answers = config, samples, chat, answers

    @property
    def config(self) -> cfg.JudgeConfig:
        """As it was asked for."""
        return self._config

    async def combined(self, pair: pb.Pair, seed: int, spent: Spent) -> list[Sampled]:
        """Its answers to the prompt in the order of their seeds, adding to `spent` as the money goes."""
        said = await together(self._sample(key, request, spent) for key, request in self._requests(pair, seed))
        return [Sampled(0, self._config.name, one["text"], one["why_not"]) for one in said]

    async def missing(self, pairs: Sequence[pb.Pair], seed: int) -> dict[str, Mapping[str, Any]]:
        """The requests that nothing is kept of, as the endpoint wants them, by their keys in the cache."""
        requests = [one for pair in pairs for one in self._requests(pair, seed)]
        kept = await together(self._answers.get(key) for key, _ in requests)
        return {
            key: spoken(request, self._chat.dialect)
            for (key, request), one in zip(requests, kept, strict=True)
            if one is None
        }

    async def keep(self, key: str, reply: Reply) -> Answer:
        """What stands under the key now: the first answer written."""
        why_not = CUT if reply.cut else REFUSED if reply.filtered else ""
        return await self._answers.put(key, {"text": reply.text or reply.refusal, "why_not": why_not})

    async def _sample(self, key: str, request: Mapping[str, Any], spent: Spent) -> Answer:
        if kept := await self._answers.get(key):
            spent.cached_calls += 1
            return kept
        try:
            return await self._chat.ask(request, spent, partial(self.keep, key))
        except Rejected:
            # Not kept: an endpoint that is mended may answer.
            return {"text": "", "why_not": REFUSED}

    def _requests(self, prompt: pb.Pair, seed: int) -> list[tuple[str, Mapping[str, Any]]]:
        """(key in the cache, request) of each sample; sample n has the run's seed plus n."""
        found = list[tuple[str, Mapping[str, Any]]]()
        for sample in range(self._samples):
            request = self._chat.request(
                messages(prompt),
                temperature=self._config.temperature,
                max_tokens=self._config.max_tokens or MAX_TOKENS,
                seed=(seed + sample) % 2**31,
            )
            found.append((request_key(self._config.url, request, sample), request))
        return found


def messages(prompt: pb.Pair) -> list[dict[str, str]]:
    """The prompt as an endpoint is asked it. What a tool gave is shown as the user's words: its call has no id any more."""
    return [{"role": _ROLES.get(turn.role, turn.role), "content": turn.content} for turn in prompt.prompt]


_ROLES = {"tool": "user"}
