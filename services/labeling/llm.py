"""The LLM judge: verdicts on pairs from an endpoint or from the answers kept of it.

A pair's verdict is a function of the requests that it leads to and of what stands under their keys; the network is
asked only for what is not there yet, and an answer is kept before it counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from random import Random
from time import monotonic
from typing import Any

import structlog

from concord.kit.errors import ConcordError, InvalidInput
from concord.labeling import judge
from concord.labeling.answer_cache import Answer, Answers, request_key
from concord.labeling.chat import Chat, ChatSettings, Rejected, Spent
from concord.labeling.judge import Combined, Odds, Verdict
from concord.labeling.shard import together
from concord.labeling.wire import Endpoint, Reply
from concord.preference.call_limits import MAX_TOKENS
from concord.v1 import config_pb2 as cfg
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

log = structlog.get_logger()

# The second sample is asked for only where the first does not parse, and warmer than 0: a deterministic engine would
# only repeat itself.
_SAMPLES = 2
_SECOND_TEMPERATURE = 0.5


class LLMJudge:
    """One model with its criteria. Raises Deferred or Permanent where the endpoint does not work."""

    def __init__(self, config: cfg.JudgeConfig, chat: Chat, answers: Answers) -> None:
        self._config, self._chat, self._answers = config, chat, answers

    async def judge(self, pair: pb.Pair, seed: int) -> tuple[Combined, ev.Usage]:
        """What the judge says of the pair, and what that cost; `NO_VERDICT` where it says nothing usable."""
        spent = Spent()
        combined = await self.combined(pair, seed, spent)
        return combined, usage(spent, self._config)

    async def combined(self, pair: pb.Pair, seed: int, spent: Spent) -> Combined:
        """As `judge`, adding to `spent` as the money goes."""
        if not self._config.both_orders:
            return judge.combine(await self._verdict(pair, False, seed, spent), None)
        own, swapped = await together(self._verdict(pair, order, seed, spent) for order in (False, True))
        return judge.combine(own, swapped)

    async def _verdict(self, pair: pb.Pair, swapped: bool, seed: int, spent: Spent) -> Verdict | None:
        requests = [self._request(pair, swapped, seed, sample) for sample in range(_SAMPLES)]
        keys = [request_key(self._config.url, request, sample) for sample, request in enumerate(requests)]
        for key in keys:
            if (kept := await self._answers.get(key)) and (verdict := _read(kept)):
                spent.cached_calls += 1
                return verdict
        why = "no verdict in the answer"
        for key, request in zip(keys, requests, strict=True):
            try:
                if verdict := await self._chat.ask(request, spent, partial(self._keep, key)):
                    return verdict
            except Rejected as rejected:
                why = str(rejected)
                break
        log.warning("pair_without_verdict", pair_id=pair.pair_id, judge=self._config.name, swapped=swapped, why=why)
        return None

    async def _keep(self, key: str, reply: Reply) -> Verdict | None:
        """The verdict that stands under the key now: the first one written; None where the reply holds none."""
        answer = _answer(reply)
        verdict = _read(answer)
        return (_read(await self._answers.put(key, answer)) or verdict) if verdict else None

    def _request(self, pair: pb.Pair, swapped: bool, seed: int, sample: int) -> Mapping[str, Any]:
        warmest = max(self._config.temperature, _SECOND_TEMPERATURE) if sample else self._config.temperature
        return self._chat.request(
            judge.messages(pair, self._config.criteria, swapped),
            temperature=warmest,
            max_tokens=self._config.max_tokens or MAX_TOKENS,
            seed=(seed + sample) % 2**31,
        )


class LLMJudges:
    """All LLM judges of a process: one limit on requests in flight, one chat for each model. For one asyncio loop.

    `environ` holds the variables that judges may use and no other: see `settings.allowed_keys`.
    """

    def __init__(
        self,
        answers: Answers,
        environ: Mapping[str, str],
        settings: ChatSettings = ChatSettings(),  # noqa: B008 (frozen)
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self._answers, self._environ, self._settings = answers, environ, settings
        self._clock, self._sleep, self._random = clock, sleep, random
        self._limit = asyncio.Semaphore(settings.concurrency)
        self._chats: dict[tuple[str, str, str], Chat] = {}

    def of(self, config: cfg.JudgeConfig) -> LLMJudge:
        """The judge that the configuration names. Raises InvalidInput for a setting that cannot be."""
        place = (config.url, config.name, config.api_key_env)
        if place not in self._chats:
            key = self._key(config.api_key_env)
            if not config.name:
                raise InvalidInput("judge.name is empty; it is the model's name at the endpoint")
            self._chats[place] = Chat(
                Endpoint(config.url, config.name, key, config.api_key_env),
                self._settings,
                self._limit,
                clock=self._clock,
                sleep=self._sleep,
                random=self._random,
            )
        return LLMJudge(config, self._chats[place], self._answers)

    def _key(self, name: str) -> str:
        """The key in the variable of this name. A caller chooses the name and where the key goes, so not any will do."""
        if name and name not in self._environ:
            raise InvalidInput(
                f"judge.api_key_env {name[:100]!r} is not a variable that judges may use; whoever runs the labeling "
                "service names those in CONCORD_JUDGE_KEYS"
            )
        return self._environ[name].strip() if name else ""

    async def ask(
        self, pairs: Sequence[pb.Pair], config: cfg.JudgeConfig, seed: int
    ) -> tuple[list[Combined], ev.Usage]:
        """What the judge says of each pair. An error that it raises carries in `usage` what was spent before."""
        one, spent, began = self.of(config), Spent(), self._clock()
        try:
            said = await together(one.combined(pair, seed, spent) for pair in pairs)
        except ConcordError as error:
            error.usage = usage(spent, config, self._clock() - began)
            raise
        return said, usage(spent, config, self._clock() - began)

    async def close(self) -> None:
        for chat in self._chats.values():
            await chat.close()


def usage(spent: Spent, config: cfg.JudgeConfig, seconds: float = 0.0) -> ev.Usage:
    """What was spent, in the configuration's prices."""
    dollars = spent.prompt_tokens * config.prompt_dollars + spent.completion_tokens * config.completion_dollars
    return ev.Usage(
        calls=spent.calls,
        cached_calls=spent.cached_calls,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        dollars=dollars / 1e6,
        seconds=seconds,
    )


def _answer(reply: Reply) -> Answer:
    odds = judge.letter_odds(reply.tokens, reply.text)
    return {"text": reply.text, "odds": [[o.offset, o.end, round(o.p_a, 9), round(o.p_b, 9)] for o in odds]}


def _read(answer: Answer) -> Verdict | None:
    return judge.parse(answer["text"], [Odds(*row) for row in answer["odds"]])
