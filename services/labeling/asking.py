"""One question to one model: answered from what is kept of it, else by the endpoint, and kept before it counts.

What a question is about, and what its answer means, are the question's own; how often it is asked, what becomes of an answer
that was cut, and what is paid, are the same for all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from concord.kit.enums import word
from concord.labeling import judge
from concord.labeling.answer_cache import Answer, Answers, request_key
from concord.labeling.chat import Chat
from concord.labeling.evidence import missed, rejected
from concord.labeling.judge import Miss
from concord.labeling.negotiation import Rejected
from concord.labeling.reply import Reply
from concord.labeling.spending import Spent
from concord.labeling.verdict import Reading
from concord.preference.call_limits import MAX_TOKENS
from concord.v1 import config_pb2 as cfg
from concord.v1 import events_pb2 as ev

log = structlog.get_logger()
Said = TypeVar("Said")

# The second sample is asked for only where the first does not parse, and warmer than 0: a deterministic engine would
# only repeat itself.
SAMPLES = 2
_SECOND_TEMPERATURE = 0.5


@dataclass(frozen=True)
class Question(Generic[Said]):
    """What is asked about a pair, and how an answer is read."""

    pair_id: str
    messages: list[dict[str, str]]
    # (what the answer says, whether it says several things); None where it says nothing plainly.
    read: Callable[[Answer], tuple[Said | None, bool]]
    # What is kept of a reply.
    kept: Callable[[Reply], Answer]
    # Said in the log where it came to nothing.
    unread: str
    swapped: bool = False  # for a miss: the second response was shown as A
    form: Mapping[str, Any] | None = None  # of the answer, as response_format has it; None: a verdict's
    warmth: float = 0.0  # at least so warm
    seed_shift: int = 0  # one of several times that the same is asked


class Asker:
    """One model. Raises Deferred or Permanent where the endpoint does not work."""

    def __init__(self, config: cfg.JudgeConfig, chat: Chat, answers: Answers) -> None:
        self._config, self._chat, self._answers = config, chat, answers

    async def ask(self, question: Question[Said], seed: int, spent: Spent) -> Said | Miss:
        """What the model says, adding to `spent` as the money goes; the last miss where nothing usable came."""
        requests = self._requests(question, seed)
        if (said := await self._kept(question, requests)) is not None:
            spent.cached_calls += 1
            return said
        miss = Miss(ev.ANSWER_FAULT_EMPTY, question.swapped, "")
        for key, request in requests:
            try:
                answered = await self._asked(key, request, question, spent)
            except Rejected as error:
                miss = rejected(error.trouble, question.swapped)
                break
            if not isinstance(answered, Miss):
                return answered
            miss = answered
        # The answer's own words stay out of the log: the shard's fact holds a few.
        why = word(ev.AnswerFault, miss.fault)
        log.warning(
            question.unread, pair_id=question.pair_id, judge=self._config.name, swapped=question.swapped, why=why
        )
        return miss

    async def missing(self, question: Question[Any], seed: int) -> tuple[str, Mapping[str, Any]] | None:
        """(key in the cache, first request) where nothing usable is kept; None where something is."""
        requests = self._requests(question, seed)
        return requests[0] if await self._kept(question, requests) is None else None

    async def _kept(self, question: Question[Said], requests: Sequence[tuple[str, Mapping[str, Any]]]) -> Said | None:
        """What stands under the first of the keys that has something usable."""
        for key, _ in requests:
            if kept := await self._answers.get(key):
                said, _ = question.read(kept)
                if said is not None:
                    return said
        return None

    async def keep(self, key: str, question: Question[Said], reply: Reply) -> Said | Miss:
        """What stands under the key now: the first one written; a miss where the reply says nothing usable, which is not kept."""
        answer = question.kept(reply)
        said, contradicting = question.read(answer)
        if said is None:
            return missed(reply, Reading(contradicting=contradicting), question.swapped)
        stands = await self._answers.put(key, answer)
        if stands == answer:
            return said
        standing, _ = question.read(stands)
        return said if standing is None else standing

    async def _asked(self, key: str, request: Mapping[str, Any], question: Question[Said], spent: Spent) -> Said | Miss:
        """What came of one request, with more room for the answer where it was cut and may have more."""
        while True:
            said = await self._chat.ask(request, spent, partial(self.keep, key, question))
            if not isinstance(said, Miss) or said.fault != ev.ANSWER_FAULT_CUT:
                return said
            if not self._chat.make_room(said.room, said.thinks):
                return said

    def _requests(self, question: Question[Said], seed: int) -> Sequence[tuple[str, Mapping[str, Any]]]:
        found = []
        for sample in range(SAMPLES):
            coldest = max(self._config.temperature, question.warmth)
            request = self._chat.request(
                question.messages,
                temperature=max(coldest, _SECOND_TEMPERATURE) if sample else coldest,
                max_tokens=self._config.max_tokens or MAX_TOKENS,
                seed=(seed + sample + SAMPLES * question.seed_shift) % 2**31,
                form=question.form or judge.RESPONSE_FORMAT,
            )
            found.append((request_key(self._config.url, request, sample), request))
        return found
