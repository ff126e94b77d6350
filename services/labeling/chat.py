"""One chat completion from an OpenAI-compatible endpoint, however long it takes to get one.

What may pass (408, 409, 425, 429, 5xx, a broken connection, a time-out, a body cut off) is tried again with jittered
exponential back-off. What the endpoint will never do (401, 403, 404, a redirect) is `Permanent`. What it refuses or
fails to do for one request alone is `Rejected`, and harms that request only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from time import monotonic
from typing import Any, Literal, TypeVar

from concord.kit.errors import Deferred, Permanent
from concord.labeling import judge
from concord.labeling.wire import Endpoint, Reply, Trouble, Wire
from concord.preference.call_limits import MAX_TOKENS

# What some endpoints do not know: the fields that ask for it, and the words by which a refusal tells.
_FIELDS = {"response_format": ("response_format",), "logprobs": ("logprobs", "top_logprobs")}
_WORDS = {"response_format": ("response_format", "json_object", "json_schema", "grammar"), "logprobs": ("logprobs",)}


@dataclass(frozen=True)
class ChatSettings:
    """How an endpoint is treated; none of this changes what an answer means."""

    concurrency: int = 64  # requests in flight, over all shards and judges of the process
    timeout_s: float = 60.0  # for one request, first to last byte
    patience_s: float = 300.0  # for all tries of one request together; then `Deferred`
    first_delay_s: float = 0.2  # before the second try; doubles with each further one
    longest_delay_s: float = 30.0
    # Failures after which a harmless request shows whether the endpoint or this one request is at fault.
    suspect_after: int = 8
    structured: bool = True  # ask for JSON by response_format
    logprobs: bool = True  # ask for token odds


@dataclass
class Spent:
    """What was paid, useless replies too. Tokens are guessed where the endpoint does not count them."""

    calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, request: Mapping[str, Any], reply: Reply | None) -> None:
        asked = sum(len(message["content"].encode()) for message in request["messages"])
        self.calls += 1
        self.prompt_tokens += (reply and reply.prompt_tokens) or asked // 3 + 1
        self.completion_tokens += (reply and reply.completion_tokens) or len(reply.text if reply else "") // 3 + 1


class Rejected(Exception):
    """The endpoint works, but not for this request: it is refused, or fails again and again where others do not."""


Kept = TypeVar("Kept")


class Chat:
    """Completions of one model at one endpoint. Belongs to one asyncio loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: ChatSettings,
        limit: asyncio.Semaphore,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        """`limit` is shared by all that must not exceed one concurrency together. Raises InvalidInput."""
        self._endpoint, self._settings, self._limit = endpoint, settings, limit
        self._clock, self._sleep, self._random = clock, sleep, random or Random()
        self._wire = Wire(endpoint, settings.concurrency, settings.timeout_s)
        self._wishes = {"response_format": settings.structured, "logprobs": settings.logprobs}
        self._proved = False  # a request with the wishes as they are now has been answered
        self._probing = asyncio.Lock()

    async def close(self) -> None:
        await self._wire.close()

    def request(self, messages: list[dict[str, str]], temperature: float, max_tokens: int, seed: int) -> dict[str, Any]:
        """All that is asked of the endpoint, wishes included that it may turn out not to know."""
        request: dict[str, Any] = {"model": self._endpoint.model, "messages": messages, "temperature": temperature}
        request |= {"max_tokens": max_tokens, "seed": seed}
        if self._settings.structured:
            request["response_format"] = judge.RESPONSE_FORMAT
        if self._settings.logprobs:
            request |= {"logprobs": True, "top_logprobs": judge.TOP_LOGPROBS}
        return request

    async def ask(self, request: Mapping[str, Any], spent: Spent, keep: Callable[[Reply], Awaitable[Kept]]) -> Kept:
        """What `keep` makes of the completion; adds to `spent`. Raises Rejected, Permanent, or Deferred after `patience_s`.

        A request that waits keeps its place, so an endpoint in trouble is asked less; one that was answered keeps it
        until the answer is kept, so what a crash can lose is never more than may be in flight.
        """
        began, tries = self._clock(), 0
        async with self._limit:
            while True:
                wishes = dict(self._wishes)
                try:
                    reply = await self._try(request, wishes, spent)
                except Trouble as trouble:
                    tries += 1
                    if trouble.fault == "request" and await self._adapted(trouble, wishes, spent):
                        continue
                    await self._wait(trouble, tries, began, spent)
                else:
                    return await keep(reply)

    async def _wait(self, trouble: Trouble, tries: int, began: float, spent: Spent) -> None:
        """Returns when it is time to ask again; raises where that makes no sense, or not now."""
        if trouble.fault == "endpoint":
            raise Permanent(self._explain(trouble.detail)) from trouble
        delay_s = self._delay_s(tries, trouble)
        late = self._clock() - began + delay_s > self._settings.patience_s
        suspect = trouble.fault == "passing" and (late or tries >= self._settings.suspect_after)
        if suspect and await self._probe(spent) == "answered":
            raise Rejected(f"failed {tries} times while the endpoint answers others: {trouble.detail}") from trouble
        if late:
            raise Deferred(self._explain(trouble.detail), max(delay_s, 30.0)) from trouble
        await self._sleep(delay_s)

    def _delay_s(self, tries: int, trouble: Trouble) -> float:
        longest = min(self._settings.longest_delay_s, self._settings.first_delay_s * 2 ** (tries - 1))
        return max(longest * self._random.uniform(0.5, 1.0), trouble.retry_after_s)

    async def _try(self, request: Mapping[str, Any], wishes: Mapping[str, bool], spent: Spent) -> Reply:
        refused = {field for wish, on in wishes.items() if not on for field in _FIELDS[wish]}
        try:
            reply = await self._wire.send({name: value for name, value in request.items() if name not in refused})
        except Trouble as trouble:
            if trouble.paid:
                spent.add(request, None)
            raise
        spent.add(request, reply)
        self._proved = self._proved or wishes == self._wishes
        return reply

    async def _adapted(self, trouble: Trouble, wishes: Mapping[str, bool], spent: Spent) -> bool:
        """After a refusal: whether asking again at once makes sense, because a wish was dropped.

        False: the endpoint is in trouble just now. Raises Rejected where it answers other requests as they are, and
        Permanent where it refuses them all.
        """
        async with self._probing:
            if wishes != self._wishes:
                return True
            if self._proved:
                raise Rejected(trouble.detail) from trouble
            on = [wish for wish in wishes if wishes[wish]]
            unwanted = [wish for wish in on if any(word in trouble.detail.lower() for word in _WORDS[wish])]
            if not unwanted:
                outcome = await self._probe(spent)
                if outcome == "answered":
                    raise Rejected(trouble.detail) from trouble
                if outcome == "passing":
                    return False
            if not on:
                raise Permanent(self._explain(trouble.detail)) from trouble
            self._wishes |= dict.fromkeys(unwanted or on, False)
            return True

    async def _probe(self, spent: Spent) -> Literal["answered", "refused", "passing"]:
        """What the endpoint does now with a harmless question under the same settings. Raises Permanent."""
        try:
            harmless = self.request(_probe_messages(), 0.0, MAX_TOKENS, 0)
            await self._try(harmless, dict(self._wishes), spent)
        except Trouble as trouble:
            if trouble.fault == "endpoint":
                raise Permanent(self._explain(trouble.detail)) from trouble
            return "refused" if trouble.fault == "request" else "passing"
        return "answered"

    def _explain(self, detail: str) -> str:
        where = f"the judge {self._endpoint.model!r} at {self._endpoint.url}: {detail}"
        if detail.startswith(("401", "403")):
            name = self._endpoint.key_name
            held = "is not set or empty" if not self._endpoint.key else "holds a key that it refuses"
            return f"{where}. " + (f"{name} {held}" if name else "Name the key's variable in judge.api_key_env")
        if detail.startswith("404"):
            return f"{where}. Check judge.url (it ends in /v1 for most engines) and judge.name"
        return where


def _probe_messages() -> list[dict[str, str]]:
    pair = judge.pb.Pair(prompt=[judge.pb.Message(role="user", content="What is 2 + 2?")])
    pair.first.text, pair.second.text = "4", "5"
    return judge.messages(pair, "", swapped=False)
