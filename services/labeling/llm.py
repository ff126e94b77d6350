"""The LLM judge: verdicts on pairs from an endpoint or from the answers kept of it.

A pair's verdict is a function of the requests that it leads to and of what stands under their keys; the network is
asked only for what is not there yet, and an answer is kept before it counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from time import monotonic
from types import MappingProxyType
from typing import Any, TypeVar

from concord.kit.egress import OWN, Egress
from concord.kit.errors import InvalidInput
from concord.kit.urls import is_under
from concord.labeling import further, judge, questions
from concord.labeling.answer_cache import Answers
from concord.labeling.asking import Asker, Question
from concord.labeling.candidates import Sampled
from concord.labeling.chat import Chat, ChatSettings
from concord.labeling.dialect import spoken
from concord.labeling.judge import Combined, Further, Miss
from concord.labeling.pace import Pace
from concord.labeling.reply import Reply
from concord.labeling.sampling import Sampler
from concord.labeling.shard import together
from concord.labeling.spending import Spent, usage
from concord.labeling.teaching import Example
from concord.labeling.verdict import Verdict
from concord.labeling.wire import Endpoint
from concord.v1 import config_pb2 as cfg
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

T = TypeVar("T")
# Connections to so many models are kept open.
_MOST_CHATS = 50
# URL, model, variable of the key, seconds for a request, whether it answers prompts: free texts are asked for otherwise.
_Place = tuple[str, str, str, float, bool]


class LLMJudge:
    """One model with its criteria. Raises Deferred or Permanent where the endpoint does not work."""

    def __init__(self, config: cfg.JudgeConfig, chat: Chat, answers: Answers) -> None:
        self._config, self._chat, self._asker = config, chat, Asker(config, chat, answers)

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
        return await self._both([self._question(pair, order) for order in self._orders], seed, spent)

    async def _both(self, asked: Sequence[Question[Verdict]], seed: int, spent: Spent) -> Combined:
        """What the orders that are asked say together."""

        async def ask(question: Question[Verdict]) -> Verdict | Miss:
            return await self._asker.ask(question, seed, spent)

        said = await together(ask(question) for question in asked)
        return judge.combine(said[0], said[1] if len(said) > 1 else None)

    async def score(self, pair: pb.Pair, second: bool, seed: int, spent: Spent) -> float | Miss:
        """How good one of the responses is by itself, in [1, 10]."""
        return await self._asker.ask(questions.score(pair, second, self._config.criteria), seed, spent)

    async def again(self, pair: pb.Pair, criteria: str, number: int, seed: int, spent: Spent) -> Verdict | Miss:
        """A further verdict, as `further.Again` has it."""
        if criteria:
            question = questions.verdict(pair, criteria, number % 2 == 1)
        else:
            question = questions.vote(pair, self._config.criteria, number)
        return await self._asker.ask(question, seed, spent)

    async def taught(self, pair: pb.Pair, examples: Sequence[Example], seed: int, spent: Spent) -> Combined:
        """As `combined`, with what people answered of other pairs shown before the question."""
        asked = [questions.taught(pair, self._config.criteria, order, examples) for order in self._orders]
        return await self._both(asked, seed, spent)

    async def missing(self, pairs: Sequence[pb.Pair], seed: int) -> dict[str, Mapping[str, Any]]:
        """The requests that lead to verdicts that nothing kept gives, as the endpoint wants them, by their keys in the cache."""
        questions = [self._question(pair, swapped) for pair in pairs for swapped in self._orders]
        found = await together(self._asker.missing(question, seed) for question in questions)
        return {one[0]: spoken(one[1], self._chat.dialect) for one in found if one}

    async def keep(self, key: str, reply: Reply) -> None:
        """Keeps an answer that came another way; one that is no verdict is not kept, and is asked for again."""
        await self._asker.keep(key, questions.verdict(pb.Pair(), "", False), reply)

    @property
    def _orders(self) -> tuple[bool, ...]:
        """Whether the second response is shown as A, of each verdict."""
        return (False, True) if self._config.both_orders else (False,)

    def _question(self, pair: pb.Pair, swapped: bool) -> Question[Verdict]:
        return questions.verdict(pair, self._config.criteria, swapped)


class LLMJudges:
    """All LLM judges of a process: one pace for each endpoint, one chat for each model. For one asyncio loop.

    `environ` holds the variables that judges may use and no other, `homes` where each key may be sent, `egress` where a judge may
    be at all: see `settings.allowed_keys`, `settings.key_homes` and `settings.egress`.
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
        homes: Mapping[str, Sequence[str]] = MappingProxyType({}),
        egress: Egress = OWN,
        take: Callable[[str, float], Awaitable[float]] | None = None,
    ) -> None:
        """`take(URL, seconds)`: a piece of an endpoint's time, where other replicas ask it too (`turns.Turns`)."""
        self._take = take
        self._answers, self._environ, self._settings, self._homes = answers, environ, settings, homes
        self._egress = egress
        self._clock, self._sleep, self._random = clock, sleep, random
        self._paces: dict[str, Pace] = {}
        self._chats: dict[_Place, Chat] = {}

    def paces(self) -> list[tuple[str, int, int]]:
        """(URL, requests that may be in flight there now, and at most) of every endpoint, the one found last at the end."""
        return [(url, pace.window, self._settings.concurrency) for url, pace in list(self._paces.items())]

    def of(self, config: cfg.JudgeConfig) -> LLMJudge:
        """The judge that the configuration names. Raises InvalidInput for a setting that cannot be."""
        return LLMJudge(config, self.chat(config), self._answers)

    def sampler(self, config: cfg.JudgeConfig, samples: int) -> Sampler:
        """The model that answers prompts. Raises InvalidInput for a setting that cannot be."""
        return Sampler(config, samples, self.chat(config, free=True), self._answers)

    def chat(self, config: cfg.JudgeConfig, free: bool = False) -> Chat:
        """The conversation with its model: what was found out of the endpoint, and how to ask it; `free`: for free texts."""
        place = (config.url, config.name, config.api_key_env, config.timeout_s, free)
        # The one asked last stands last.
        chat = self._chats.pop(place) if place in self._chats else self._new_chat(config, free)
        self._chats[place] = chat
        self._paces[config.url].limit(config.requests_per_minute, config.tokens_per_minute)
        return chat

    def _new_chat(self, config: cfg.JudgeConfig, free: bool) -> Chat:
        endpoint = self.endpoint(config)
        take = partial(self._take, config.url) if self._take else None
        pace = self._paces.setdefault(config.url, Pace(self._settings.concurrency, self._clock, self._sleep, take))
        settings = replace(self._settings, structured=False, logprobs=False, who="model") if free else self._settings
        return Chat(
            endpoint,
            settings,
            pace,
            timeout_s=config.timeout_s,
            clock=self._clock,
            sleep=self._sleep,
            random=self._random,
        )

    def endpoint(self, config: cfg.JudgeConfig) -> Endpoint:
        """Where the judge is, with its key. Raises InvalidInput for a setting that cannot be."""
        key = self._key(config.api_key_env, config.url)
        if not config.name:
            raise InvalidInput("judge.name is empty; it is the model's name at the endpoint")
        return Endpoint(config.url, config.name, key, config.api_key_env, self._egress)

    async def _let_go(self) -> None:
        """Closes what was not asked for longest, where there are too many; whoever may name URLs could name any number."""
        idle = [place for place, chat in self._chats.items() if chat.idle]
        for place in idle[: max(0, len(self._chats) - _MOST_CHATS)]:
            await self._chats.pop(place).close()
        named = {url for url, *_ in self._chats}
        self._paces = {url: pace for url, pace in self._paces.items() if url in named}

    def _key(self, name: str, url: str) -> str:
        """The key in the variable of this name. A caller chooses the name and where the key goes, so not any will do."""
        if name and name not in self._environ:
            raise InvalidInput(
                f"judge.api_key_env {name[:100]!r} is not a variable that judges may use; whoever runs the labeling "
                "service names those in CONCORD_JUDGE_KEYS"
            )
        if (homes := self._homes.get(name, ())) and not any(is_under(url, home) for home in homes):
            raise InvalidInput(
                f"judge.url {url[:200]!r} is not where the key in {name} may be sent: {', '.join(homes)}; whoever runs the "
                "labeling service says so in CONCORD_JUDGE_KEYS"
            )
        return self._environ[name].strip() if name else ""

    async def ask(
        self, pairs: Sequence[pb.Pair], config: cfg.JudgeConfig, seed: int
    ) -> tuple[list[Combined], ev.Usage]:
        """What the judge says of each pair. An error that it raises carries in `usage` what was spent before."""
        return await self._accounted(
            config, lambda one, spent: together(one.combined(pair, seed, spent) for pair in pairs)
        )

    async def further(
        self, pairs: Sequence[pb.Pair], labels: Sequence[Combined], config: cfg.RunConfig
    ) -> tuple[Further, ev.Usage]:
        """What the labelling judge says beside these labels, as far as the configuration asks for it. Errors as of `ask`."""

        def asked(one: LLMJudge, spent: Spent) -> Awaitable[Further]:
            ways = further.Ways(
                lambda pair, second: one.score(pair, second, config.seed, spent),
                lambda pair, criteria, number: one.again(pair, criteria, number, config.seed, spent),
            )
            return further.further(pairs, labels, config, ways)

        return await self._accounted(config.judge, asked)

    async def taught(
        self, pairs: Sequence[pb.Pair], examples: Sequence[Sequence[Example]], config: cfg.RunConfig
    ) -> tuple[list[Combined], ev.Usage]:
        """What the judge says of each pair once it has seen its examples. Errors as of `ask`."""
        shown = list(zip(pairs, examples, strict=True))
        return await self._accounted(
            config.judge,
            lambda one, spent: together(one.taught(pair, mine, config.seed, spent) for pair, mine in shown),
        )

    async def sampled(
        self, prompts: Sequence[pb.Pair], config: cfg.JudgeConfig, samples: int, seed: int
    ) -> tuple[list[list[Sampled]], ev.Usage]:
        """What the model answers to each prompt, so many times. Errors as of `ask`."""
        one = self.sampler(config, samples)
        return await self._used(
            config,
            self.chat(config, free=True),
            lambda spent: together(one.combined(prompt, seed, spent) for prompt in prompts),
        )

    async def _accounted(
        self, config: cfg.JudgeConfig, ask: Callable[[LLMJudge, Spent], Awaitable[T]]
    ) -> tuple[T, ev.Usage]:
        """What is asked of one judge, and what that used."""
        one = self.of(config)
        return await self._used(config, self.chat(config), lambda spent: ask(one, spent))

    async def _used(
        self, config: cfg.JudgeConfig, chat: Chat, ask: Callable[[Spent], Awaitable[T]]
    ) -> tuple[T, ev.Usage]:
        spent, began = Spent(), self._clock()
        try:
            with chat.in_use():
                said = await ask(spent)
        except BaseException as error:
            # Whatever ends this, what was paid was paid; the caller adds it up.
            vars(error)["usage"] = usage(spent, config, self._clock() - began)
            raise
        finally:
            chat.count(usage(spent, config))
            await self._let_go()
        return said, usage(spent, config, self._clock() - began)

    async def close(self) -> None:
        for chat in self._chats.values():
            await chat.close()
