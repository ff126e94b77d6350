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

from concord.kit.enums import word
from concord.kit.errors import InvalidInput
from concord.labeling import judge
from concord.labeling.answer_cache import Answer, Answers, request_key
from concord.labeling.chat import Chat, ChatSettings
from concord.labeling.dialect import spoken
from concord.labeling.evidence import missed, rejected
from concord.labeling.judge import Combined, Miss
from concord.labeling.negotiation import Rejected
from concord.labeling.pace import Pace
from concord.labeling.reply import Reply
from concord.labeling.shard import together
from concord.labeling.spending import Spent, usage
from concord.labeling.token_odds import Odds, letter_odds
from concord.labeling.verdict import Reading, Verdict, read
from concord.labeling.wire import Endpoint
from concord.preference.call_limits import MAX_TOKENS
from concord.v1 import config_pb2 as cfg
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

log = structlog.get_logger()

# Connections to so many models are kept open.
_MOST_CHATS = 50
_Place = tuple[str, str, str, float]  # URL, model, variable of the key, seconds for a request

# The second sample is asked for only where the first does not parse, and warmer than 0: a deterministic engine would
# only repeat itself.
_SAMPLES = 2
_SECOND_TEMPERATURE = 0.5


class LLMJudge:
    """One model with its criteria. Raises Deferred or Permanent where the endpoint does not work."""

    def __init__(self, config: cfg.JudgeConfig, chat: Chat, answers: Answers) -> None:
        self._config, self._chat, self._answers = config, chat, answers

    @property
    def config(self) -> cfg.JudgeConfig:
        """As it was asked for."""
        return self._config

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

    async def missing(self, pairs: Sequence[pb.Pair], seed: int) -> dict[str, Mapping[str, Any]]:
        """The requests that lead to verdicts that nothing kept gives, as the endpoint wants them, by their keys in the cache."""
        orders = (False, True) if self._config.both_orders else (False,)
        asked = [(pair, swapped) for pair in pairs for swapped in orders]
        kept = await together(self._kept(self._keys(pair, swapped, seed)) for pair, swapped in asked)
        found: dict[str, Mapping[str, Any]] = {}
        for (pair, swapped), verdict in zip(asked, kept, strict=True):
            if verdict is None:
                request = self._request(pair, swapped, seed, 0)
                found[request_key(self._config.url, request, 0)] = spoken(request, self._chat.dialect)
        return found

    async def keep(self, key: str, reply: Reply) -> None:
        """Keeps an answer that came another way; one that is no verdict is not kept, and is asked for again."""
        await self._keep(key, False, reply)

    def _keys(self, pair: pb.Pair, swapped: bool, seed: int) -> list[str]:
        requests = [self._request(pair, swapped, seed, sample) for sample in range(_SAMPLES)]
        return [request_key(self._config.url, request, sample) for sample, request in enumerate(requests)]

    async def _kept(self, keys: Sequence[str]) -> Verdict | None:
        """The verdict under the first of the keys that has one."""
        for key in keys:
            if (kept := await self._answers.get(key)) and (verdict := _read(kept).verdict):
                return verdict
        return None

    async def _verdict(self, pair: pb.Pair, swapped: bool, seed: int, spent: Spent) -> Verdict | Miss:
        requests = [self._request(pair, swapped, seed, sample) for sample in range(_SAMPLES)]
        keys = [request_key(self._config.url, request, sample) for sample, request in enumerate(requests)]
        if verdict := await self._kept(keys):
            spent.cached_calls += 1
            return verdict
        said = Miss(ev.ANSWER_FAULT_EMPTY, swapped, "")
        for key, request in zip(keys, requests, strict=True):
            try:
                answered = await self._asked(key, request, swapped, spent)
            except Rejected as error:
                said = rejected(error.trouble, swapped)
                break
            if isinstance(answered, Verdict):
                return answered
            said = answered
        # The answer's own words stay out of the log: the shard's fact holds a few.
        why = word(ev.AnswerFault, said.fault)
        log.warning("pair_without_verdict", pair_id=pair.pair_id, judge=self._config.name, swapped=swapped, why=why)
        return said

    async def _asked(self, key: str, request: Mapping[str, Any], swapped: bool, spent: Spent) -> Verdict | Miss:
        """What came of one request, with more room for the answer where it was cut and may have more."""
        while True:
            said = await self._chat.ask(request, spent, partial(self._keep, key, swapped))
            if isinstance(said, Verdict) or said.fault != ev.ANSWER_FAULT_CUT:
                return said
            if not self._chat.make_room(said.room, said.thinks):
                return said

    async def _keep(self, key: str, swapped: bool, reply: Reply) -> Verdict | Miss:
        """The verdict that stands under the key now: the first one written; a miss where the reply holds none."""
        answer = _answer(reply)
        reading = _read(answer)
        if reading.verdict is None:
            return missed(reply, reading, swapped)
        stands = await self._answers.put(key, answer)
        return reading.verdict if stands == answer else _read(stands).verdict or reading.verdict

    def _request(self, pair: pb.Pair, swapped: bool, seed: int, sample: int) -> Mapping[str, Any]:
        warmest = max(self._config.temperature, _SECOND_TEMPERATURE) if sample else self._config.temperature
        return self._chat.request(
            judge.messages(pair, self._config.criteria, swapped),
            temperature=warmest,
            max_tokens=self._config.max_tokens or MAX_TOKENS,
            seed=(seed + sample) % 2**31,
        )


class LLMJudges:
    """All LLM judges of a process: one pace for each endpoint, one chat for each model. For one asyncio loop.

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
        self._paces: dict[str, Pace] = {}
        self._chats: dict[_Place, Chat] = {}

    def of(self, config: cfg.JudgeConfig) -> LLMJudge:
        """The judge that the configuration names. Raises InvalidInput for a setting that cannot be."""
        return LLMJudge(config, self.chat(config), self._answers)

    def chat(self, config: cfg.JudgeConfig) -> Chat:
        """The conversation with its model: what was found out of the endpoint, and how to ask it."""
        place = (config.url, config.name, config.api_key_env, config.timeout_s)
        # The one asked last stands last.
        chat = self._chats.pop(place) if place in self._chats else self._new_chat(config)
        self._chats[place] = chat
        self._paces[config.url].limit(config.requests_per_minute, config.tokens_per_minute)
        return chat

    def _new_chat(self, config: cfg.JudgeConfig) -> Chat:
        endpoint = self.endpoint(config)
        pace = self._paces.setdefault(config.url, Pace(self._settings.concurrency, self._clock, self._sleep))
        return Chat(
            endpoint,
            self._settings,
            pace,
            timeout_s=config.timeout_s,
            clock=self._clock,
            sleep=self._sleep,
            random=self._random,
        )

    def endpoint(self, config: cfg.JudgeConfig) -> Endpoint:
        """Where the judge is, with its key. Raises InvalidInput for a setting that cannot be."""
        key = self._key(config.api_key_env)
        if not config.name:
            raise InvalidInput("judge.name is empty; it is the model's name at the endpoint")
        return Endpoint(config.url, config.name, key, config.api_key_env)

    async def _let_go(self) -> None:
        """Closes what was not asked for longest, where there are too many; whoever may name URLs could name any number."""
        idle = [place for place, chat in self._chats.items() if chat.idle]
        for place in idle[: max(0, len(self._chats) - _MOST_CHATS)]:
            await self._chats.pop(place).close()
        named = {url for url, *_ in self._chats}
        self._paces = {url: pace for url, pace in self._paces.items() if url in named}

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
            with self.chat(config).in_use():
                said = await together(one.combined(pair, seed, spent) for pair in pairs)
        except BaseException as error:
            # Whatever ends this, what was paid was paid; the caller adds it up.
            vars(error)["usage"] = usage(spent, config, self._clock() - began)
            raise
        finally:
            await self._let_go()
        return said, usage(spent, config, self._clock() - began)

    async def close(self) -> None:
        for chat in self._chats.values():
            await chat.close()


def _answer(reply: Reply) -> Answer:
    odds = letter_odds(reply.tokens, reply.text) if reply.tokens else ()
    return {"text": reply.text, "odds": [[o.offset, o.end, round(o.p_a, 9), round(o.p_b, 9)] for o in odds]}


def _read(answer: Answer) -> Reading:
    return read(answer["text"], [Odds(*row) for row in answer["odds"]])
