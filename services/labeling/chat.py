"""One chat completion from an OpenAI-compatible endpoint, however long it takes to get one.

What may pass (408, 409, 425, 429, 5xx, a broken connection, a time-out, a body cut off) is tried again with jittered
exponential back-off, and after a while handed back as `Deferred`, so that the run can say what it waits for. What the endpoint
will never do (a refused key, no credit, a redirect, a page of HTML) is `Permanent` within seconds. What it refuses or fails to
do for one request alone is `Rejected`, and harms that request only: a harmless question shows which of them it is, and only
what is said about that question is repeated in errors.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog

from concord.kit import telemetry, tracing
from concord.kit.errors import Deferred
from concord.kit.plural import many
from concord.labeling import judge
from concord.labeling.dialect import Dialect, spoken, wider
from concord.labeling.negotiation import Negotiation, Rejected
from concord.labeling.pace import Pace
from concord.labeling.refusal import Trouble
from concord.labeling.reply import Reply
from concord.labeling.spending import Spent
from concord.labeling.wire import Endpoint, Wire
from concord.preference.call_limits import MAX_TOKENS
from concord.v1.events_pb2 import Usage

log = structlog.get_logger()

# Waits above this are told.
TELL_S = 10.0
# A request may take so much longer, where no time is set and nothing comes though nothing else is under way.
_LONGEST_TIMEOUT_S = 600.0
# And so many times longer where the same request ran out of time twice while others are answered: its answer may be long.
_LONGER_FOR_ONE = 4


@dataclass(frozen=True)
class ChatSettings:
    """How an endpoint is treated; none of this changes what an answer means."""

    concurrency: int = 64  # requests in flight to one endpoint, over all shards and judges of the process
    timeout_s: float = 60.0  # for one request, first to last byte; doubles where an endpoint shows to be slower
    patience_s: float = 300.0  # for all tries of one request together; then `Deferred`
    silence_s: float = 15.0  # the same while the endpoint answers nobody
    first_delay_s: float = 0.2  # before the second try; doubles with each further one
    longest_delay_s: float = 30.0
    longest_retry_after_s: float = 60.0  # whatever the endpoint asks for
    # Failures after which a harmless request shows whether the endpoint or this one request is at fault.
    suspect_after: int = 8
    structured: bool = True  # ask for JSON by response_format
    logprobs: bool = True  # ask for token odds
    who: str = "judge"  # what errors call it


Kept = TypeVar("Kept")


class Chat:
    """Completions of one model at one endpoint. Belongs to one asyncio loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: ChatSettings,
        pace: Pace,
        *,
        timeout_s: float = 0,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        """`pace` is shared by all that ask the same endpoint; `timeout_s`: as asked for, 0: as it comes. Raises InvalidInput."""
        self._endpoint, self._settings, self._pace = endpoint, settings, pace
        self._place = telemetry.bounded(urlsplit(endpoint.url).hostname or "nowhere")
        self._clock, self._sleep, self._random = clock, sleep, random or Random()
        self._wire = Wire(endpoint, settings.concurrency)
        self._timeout_s, self._timeout_is_set = timeout_s or settings.timeout_s, bool(timeout_s)
        self._heard_s = self._told_s = clock()
        self._users = 0
        harmless = self.request(_probe_messages(), 0.0, MAX_TOKENS, 0)
        self._terms = Negotiation(endpoint, harmless, self._try, self._wire.turn_to_other_path, clock, settings.who)

    async def close(self) -> None:
        await self._wire.close()

    def count(self, used: Usage) -> None:
        """What a unit used, for the metrics: tokens and dollars."""
        telemetry.JUDGE_TOKENS.labels(self._place, "prompt").inc(used.prompt_tokens)
        telemetry.JUDGE_TOKENS.labels(self._place, "completion").inc(used.completion_tokens)
        telemetry.JUDGE_DOLLARS.labels(self._place).inc(max(0.0, used.dollars))

    @property
    def idle(self) -> bool:
        """Whether nobody uses it."""
        return not self._users

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within, it is not idle: nobody may close it."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    @property
    def dialect(self) -> Dialect:
        """How this endpoint and model wants its requests, as far as it is known."""
        return self._terms.dialect

    @property
    def dropped(self) -> tuple[str, ...]:
        """What the endpoint is not asked as the standard has it, in words."""
        return self._terms.dialect.dropped

    def request(
        self,
        messages: list[dict[str, str]],
        temperature: float,
        max_tokens: int,
        seed: int,
        form: Mapping[str, Any] = judge.RESPONSE_FORMAT,
    ) -> dict[str, Any]:
        """All that is asked of the endpoint, wishes included that it may turn out not to know; `form`: of the answer."""
        request: dict[str, Any] = {"model": self._endpoint.model, "messages": messages, "temperature": temperature}
        request |= {"max_tokens": max_tokens, "seed": seed}
        if self._settings.structured:
            request["response_format"] = form
        if self._settings.logprobs:
            request |= {"logprobs": True, "top_logprobs": judge.TOP_LOGPROBS}
        return request

    async def ask(self, request: Mapping[str, Any], spent: Spent, keep: Callable[[Reply], Awaitable[Kept]]) -> Kept:
        """What `keep` makes of the completion; adds to `spent`. Raises Rejected, Permanent, or Deferred.

        A request that waits keeps its place, so an endpoint in trouble is asked less; one that was answered keeps it
        until the answer is kept, so what a crash can lose is never more than may be in flight.
        """
        async with self._pace.place():
            return await keep(await self._answer(request, spent))

    async def _answer(self, request: Mapping[str, Any], spent: Spent) -> Reply:
        began, tries = self._clock(), 0
        while True:
            dialect, path, timeout_s = self._terms.dialect, self._terms.path, self._timeout_s
            try:
                return await self._try(request, dialect, spent)
            except Trouble as trouble:
                tries += 1
                if trouble.fault == "request" and (
                    reply := await self._terms.negotiated(trouble, request, dialect, spent)
                ):
                    return reply
                if trouble.slow and tries > 1 and self._timeout_s == timeout_s:
                    self._more_time(_LONGER_FOR_ONE * self._settings.timeout_s)
                if dialect is self._terms.dialect or trouble.fault != "request":
                    await self._wait(trouble, tries, began, path, spent)
            await self._pace.again()

    def make_room(self, room: int, thinks: bool) -> bool:
        """After an answer that its limit on tokens cut, with this room: whether asking again gives it more."""
        if room != self._terms.dialect.room:
            return room < self._terms.dialect.room
        if (more := wider(self._terms.dialect, thinks)) is None:
            return False
        self._terms.widen(more)
        why = "it thinks before it answers" if thinks else "its answers were cut"
        log.warning("judge_gets_more_tokens", judge=self._endpoint.model, why=why, times=more.room)
        return True

    async def _wait(self, trouble: Trouble, tries: int, began: float, path: int, spent: Spent) -> None:
        """Returns when it is time to ask again; raises where that makes no sense, or not now."""
        if trouble.fault == "endpoint":
            await self._terms.settle(trouble, path, spent)
        delay_s = self._delay_s(tries, trouble)
        late = self._late(trouble, began, delay_s)
        suspect = trouble.fault == "passing" and (late or tries >= self._settings.suspect_after)
        said = await self._terms.probe(spent) if suspect else trouble
        if said is None:
            trouble.detail = f"failed {many(tries, 'time')} while the endpoint answers others: {trouble.detail}"
            raise Rejected(trouble) from trouble
        if late:
            why = said if suspect else trouble
            raise Deferred(
                self._terms.explain(why, quote=suspect), max(delay_s, self._settings.longest_delay_s)
            ) from trouble
        self._tell(trouble, delay_s)
        await self._sleep(delay_s)

    def _late(self, trouble: Trouble, began: float, delay_s: float) -> bool:
        """Whether the wait is to be handed back: nobody but the run can tell its user of it."""
        then = self._clock() + delay_s
        silence_s = then - max(self._heard_s, began)
        # Who says "slow down" is there; and so long a sound request may take.
        usual_s = max(
            (2 if trouble.fault == "limit" else 1) * self._settings.silence_s,
            self._timeout_s if self._terms.proved else 0,
        )
        silent = silence_s > usual_s and (delay_s > 2 or trouble.slow)
        return silent or then - began > max(self._settings.patience_s, 4 * self._timeout_s)

    def _tell(self, trouble: Trouble, delay_s: float) -> None:
        now = self._clock()
        if delay_s >= TELL_S and now - self._told_s >= TELL_S:
            self._told_s = now
            log.warning("judge_waits", judge=self._endpoint.model, why=trouble.detail, seconds=round(delay_s, 1))

    def _delay_s(self, tries: int, trouble: Trouble) -> float:
        longest = min(self._settings.longest_delay_s, self._settings.first_delay_s * 2 ** min(tries - 1, 30))
        asked_s = min(trouble.retry_after_s, self._settings.longest_retry_after_s)
        return max(longest * self._random.uniform(0.5, 1.0), asked_s)

    async def _try(self, request: Mapping[str, Any], dialect: Dialect, spent: Spent) -> Reply:
        await self._pace.turn(_tokens(request))
        began = self._clock()
        try:
            # After the semantic conventions of generative AI; no text of request or answer.
            asked = {"gen_ai__operation__name": "chat", "gen_ai__request__model": str(request.get("model", ""))}
            with tracing.span(
                f"chat {request.get('model', '')}", kind="client", server__address=self._place, **asked
            ) as call:
                reply = await self._wire.send(spoken(request, dialect), self._timeout_s)
                if call is not None:
                    call.set_attributes(_used(reply))
        except Trouble as trouble:
            telemetry.JUDGE_CALLS.labels(self._place, "slow" if trouble.slow else trouble.fault).inc()
            if trouble.paid:
                spent.add(request, None)
            self._too_much(trouble, began)
            raise
        spent.add(request, reply)
        self._heard_s = self._clock()
        telemetry.JUDGE_CALLS.labels(self._place, "answered").inc()
        telemetry.JUDGE_SECONDS.labels(self._place).observe(self._heard_s - began)
        self._terms.answered(dialect)
        self._pace.went_well(began)
        return reply if dialect.room == 1 else replace(reply, room=dialect.room)

    def _too_much(self, trouble: Trouble, began: float) -> None:
        """Asks for less at once where a failure says so; where nothing else is under way, waits longer instead."""
        if not (trouble.fault == "limit" or trouble.slow or trouble.status in (503, 529)):
            return
        alone = self._pace.window <= 1
        if self._pace.was_too_much(began, trouble.slow):
            log.warning(
                "judge_is_asked_less", judge=self._endpoint.model, why=trouble.detail, at_once=self._pace.window
            )
        elif alone and trouble.slow:
            self._more_time(_LONGEST_TIMEOUT_S)

    def _more_time(self, longest_s: float) -> None:
        """Requests may take twice as long, up to that, unless somebody said how long."""
        if not self._timeout_is_set and self._timeout_s < longest_s:
            self._timeout_s = min(longest_s, 2 * self._timeout_s)
            log.warning("judge_gets_more_time", judge=self._endpoint.model, timeout_s=self._timeout_s)


def _used(reply: Reply) -> dict[str, Any]:
    """What a reply says of itself, for a trace."""
    counted = {
        "gen_ai.usage.input_tokens": reply.prompt_tokens,
        "gen_ai.usage.output_tokens": reply.completion_tokens,
        "gen_ai.response.finish_reasons": [reply.finish] if reply.finish else None,
    }
    return {name: value for name, value in counted.items() if value is not None}


def _tokens(request: Mapping[str, Any]) -> int:
    """About so many tokens a request costs: those of the question and a short answer."""
    return sum(len(message["content"]) for message in request["messages"]) // 4 + 60


def _probe_messages() -> list[dict[str, str]]:
    pair = judge.pb.Pair(prompt=[judge.pb.Message(role="user", content="What is 2 + 2?")])
    pair.first.text, pair.second.text = "4", "5"
    return judge.messages(pair, "", swapped=False)
