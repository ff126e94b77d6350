"""A judge tried on a few pairs: what is sent, what comes back, what that means. For a look; no run knows of it.

The pairs go the way that a run's go, except that no kept answer is taken and none is kept.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar, cast

from concord.labeling import questions
from concord.labeling.answer_cache import MemoryAnswers
from concord.labeling.chat import Chat, ChatSettings
from concord.labeling.dialect import spoken
from concord.labeling.evidence import missed
from concord.labeling.judge import Combined, Miss
from concord.labeling.llm import LLMJudge, LLMJudges
from concord.labeling.reply import Reply
from concord.labeling.spending import Spent, usage
from concord.labeling.token_odds import letter_odds
from concord.labeling.verdict import Reading, Verdict, read
from concord.preference.call_limits import MAX_TOKENS
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Usage
from concord.v1.pairs_pb2 import Pair

# Nobody wants to wait for minutes to hear that an endpoint is away.
PATIENCE_S = 30.0
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Heard:
    """One answer as it came."""

    pair: int  # place among the pairs
    swapped: bool  # the second response was shown as A
    reply: Reply
    seconds: float  # from asking until it was there, tries before it included
    verdict: Verdict | None
    fault: int  # an AnswerFault; 0 where there is a verdict, or a score
    # It was asked for a score of one answer alone; `swapped`: of the second.
    alone: bool = False
    score: float | None = None


@dataclass(frozen=True)
class Tried:
    """What became of the pairs."""

    sent: Mapping[str, Any]  # the fields of a request as the endpoint takes them, without the messages
    dropped: tuple[str, ...]  # what it is not asked as the standard has it, in words
    said: tuple[Combined, ...]
    heard: tuple[Heard, ...]
    usage: Usage
    # Of each pair the scores of the first and the second alone, as far as they came; empty where none were asked for.
    scores: tuple[tuple[float | None, float | None], ...] = ()


async def tried(
    pairs: Sequence[Pair], config: JudgeConfig, environ: Mapping[str, str], seed: int = 0, rubric: bool = False
) -> Tried:
    """Asks about the pairs one after the other, both orders at once. Raises Permanent, Deferred, InvalidInput.

    `environ` holds the variable that the judge's key is in; `rubric`: scores of each answer alone are asked for as well.
    """
    judges, began, spent = (
        LLMJudges(MemoryAnswers(), environ, ChatSettings(patience_s=PATIENCE_S)),
        monotonic(),
        Spent(),
    )
    chat = judges.chat(config)
    listening = _Listening(chat)
    try:
        judge = LLMJudge(config, cast(Chat, listening), MemoryAnswers())
        said = [await judge.combined(pair, seed, spent) for pair in pairs]
        scores = [await _scores(judge, pair, seed, spent) for pair in pairs] if rubric else []
    finally:
        await judges.close()
    heard = tuple(_all_heard(pairs, config, listening.heard))
    request = chat.request([], config.temperature, config.max_tokens or MAX_TOKENS, seed)
    sent = {name: value for name, value in spoken(request, chat.dialect).items() if name != "messages"}
    return Tried(sent, chat.dropped, tuple(said), heard, usage(spent, config, monotonic() - began), tuple(scores))


async def _scores(judge: LLMJudge, pair: Pair, seed: int, spent: Spent) -> tuple[float | None, float | None]:
    first, second = [await judge.score(pair, order, seed, spent) for order in (False, True)]
    return (None if isinstance(first, Miss) else first), (None if isinstance(second, Miss) else second)


def _all_heard(
    pairs: Sequence[Pair], config: JudgeConfig, heard: Sequence[tuple[str, Reply, float]]
) -> Iterator[Heard]:
    """Each answer with the question that it belongs to."""
    shown, alone = {}, {}
    for at, pair in enumerate(pairs):
        for order in (False, True):
            shown[questions.verdict(pair, config.criteria, order).messages[0]["content"]] = (at, order)
            alone[questions.score(pair, order, config.criteria).messages[0]["content"]] = (at, order)
    for prompt, reply, seconds in heard:
        yield _heard(*shown[prompt], reply, seconds) if prompt in shown else _scored(*alone[prompt], reply, seconds)


def _scored(pair: int, second: bool, reply: Reply, seconds: float) -> Heard:
    question = questions.score(Pair(), second, "")
    score, contradicting = question.read(question.kept(reply))
    fault = missed(reply, Reading(contradicting=contradicting), second).fault if score is None else 0
    return Heard(pair, second, reply, seconds, None, fault, alone=True, score=score)


def _heard(pair: int, swapped: bool, reply: Reply, seconds: float) -> Heard:
    reading = read(reply.text, letter_odds(reply.tokens, reply.text) if reply.tokens else ())
    fault = missed(reply, reading, swapped).fault if reading.verdict is None else 0
    return Heard(pair, swapped, reply, seconds, reading.verdict, fault)


class _Listening:
    """A chat whose answers are noted on their way to the judge."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self.heard: list[tuple[str, Reply, float]] = []
        self.request, self.make_room = chat.request, chat.make_room

    async def ask(self, request: Mapping[str, Any], spent: Spent, keep: Callable[..., Awaitable[Kept]]) -> Kept:
        began = monotonic()

        async def noted(reply: Reply, *more: Any) -> Kept:
            self.heard.append((request["messages"][0]["content"], reply, monotonic() - began))
            return await keep(reply, *more)

        return await self._chat.ask(request, spent, noted)
