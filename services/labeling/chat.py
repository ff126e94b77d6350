"""One chat completion from an OpenAI-compatible endpoint, however long it takes to get one.

What may pass (408, 409, 425, 429, 5xx, a broken connection, a time-out, a body cut off) is tried again with jittered
exponential back-off. What the endpoint will never do (401, 403, 404, a redirect) is `Permanent`. What it refuses or
fails to do for one request alone is `Rejected`, and harms that request only.

The hub client sends a JSON schema as {"type": "json_object", "value": schema}: TGI holds the model to the schema, vLLM
and SGLang to JSON of any shape, so the prompt names the shape too.

Where the key goes: to `url` and nowhere else. Redirects are not followed; proxies of the environment are used for https
only, where they see a tunnel; without a key no Authorization header is sent, in particular not a token that the user
once saved for the Hugging Face Hub.
"""
import asyncio
import functools
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from random import Random
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import AsyncInferenceClient, ChatCompletionOutput, set_async_client_factory
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

from services.kit.errors import Deferred, InvalidInput, Permanent

from . import judge

# A connection pool of httpcore looks at all its connections for each request: several small pools are faster than a
# big one, and reach the concurrency that was asked for where the default pool stops at 100.
_CONNECTIONS_PER_CLIENT = 16

# What some endpoints do not know: the fields that ask for it, and the words by which a refusal tells.
_FIELDS = {"response_format": ("response_format",), "logprobs": ("logprobs", "top_logprobs")}
_WORDS = {"response_format": ("response_format", "json_object", "json_schema", "grammar"), "logprobs": ("logprobs",)}


# As keys of a JSON body; within a string the quotes would be escaped.
_LOGPROBS, _ODDS = b'"logprobs":', b'"token_odds":'

Fault = Literal["passing", "limit", "request", "endpoint"]


@dataclass(frozen=True)
class Settings:
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


@dataclass(frozen=True)
class Endpoint:
    """Where a model is, and the secret that opens it."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    key_name: str = ""  # the environment variable that the key came from

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"judge.url is {self.url!r}; it must look like http://host:8000/v1")
        if parts.username or parts.password:
            raise InvalidInput("judge.url holds a user or password; name an environment variable in judge.api_key_env")
        if not self.key.isascii() or not self.key.isprintable():
            raise InvalidInput(f"the key in the environment variable {self.key_name} holds characters no key can have")


@dataclass(frozen=True)
class Reply:
    """A completion."""

    text: str
    tokens: tuple[Mapping[str, Any], ...]  # logprobs.content; empty where the endpoint gives none


@dataclass
class Spent:
    """What was paid, useless replies too. Tokens are guessed where the endpoint does not count them."""

    calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Rejected(Exception):
    """The endpoint works, but not for this request: it is refused, or fails again and again where others do not."""


class _Trouble(Exception):
    """A try that gave no completion, and whose fault that is."""

    def __init__(self, fault: Fault, detail: str, retry_after_s: float = 0) -> None:
        super().__init__(detail)
        self.fault, self.detail, self.retry_after_s = fault, detail, retry_after_s


class Chat:
    """Completions of one model at one endpoint. Belongs to one asyncio loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        limit: asyncio.Semaphore,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        """`limit` is shared by all that must not exceed one concurrency together. Raises InvalidInput."""
        self._endpoint, self._settings, self._limit = endpoint, settings, limit
        self._clock, self._sleep, self._random = clock, sleep, random or Random()
        # Nothing but this function makes connections for huggingface_hub's async clients in this process.
        set_async_client_factory(_http_client)
        count = -(-settings.concurrency // _CONNECTIONS_PER_CLIENT)
        self._clients = [_hub_client(endpoint, settings.timeout_s) for _ in range(count)]
        self._in_use = [0] * count
        self._wishes = {"response_format": settings.structured, "logprobs": settings.logprobs}
        self._proved = False  # a request with the wishes as they are now has been answered
        self._probing = asyncio.Lock()

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    def request(self, messages: list[dict[str, str]], temperature: float, max_tokens: int, seed: int) -> dict[str, Any]:
        """All that is asked of the endpoint, wishes included that it may turn out not to know."""
        request: dict[str, Any] = {"model": self._endpoint.model, "messages": messages, "temperature": temperature}
        request |= {"max_tokens": max_tokens, "seed": seed}
        if self._settings.structured:
            request["response_format"] = judge.RESPONSE_FORMAT
        if self._settings.logprobs:
            request |= {"logprobs": True, "top_logprobs": judge.TOP_LOGPROBS}
        return request

    async def ask(self, request: Mapping[str, Any], spent: Spent) -> Reply:
        """The completion; adds to `spent`. Raises Rejected, Permanent, or Deferred after `patience_s`.

        A request that waits keeps its place, so an endpoint in trouble is asked less.
        """
        began, tries = self._clock(), 0
        async with self._limit:
            while True:
                wishes = dict(self._wishes)
                try:
                    return await self._try(request, wishes, spent)
                except _Trouble as trouble:
                    tries += 1
                    if trouble.fault == "request" and await self._adapted(trouble, wishes, spent):
                        continue
                    await self._wait(trouble, tries, began, spent)

    async def _wait(self, trouble: _Trouble, tries: int, began: float, spent: Spent) -> None:
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

    def _delay_s(self, tries: int, trouble: _Trouble) -> float:
        longest = min(self._settings.longest_delay_s, self._settings.first_delay_s * 2 ** (tries - 1))
        return max(longest * self._random.uniform(0.5, 1.0), trouble.retry_after_s)

    async def _try(self, request: Mapping[str, Any], wishes: Mapping[str, bool], spent: Spent) -> Reply:
        place = min(range(len(self._clients)), key=self._in_use.__getitem__)
        self._in_use[place] += 1
        refused = {field for wish, on in wishes.items() if not on for field in _FIELDS[wish]}
        sent = {name: value for name, value in request.items() if name not in refused}
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                output = await self._clients[place].chat_completion(**sent)
        except (TimeoutError, InferenceTimeoutError) as error:
            raise _Trouble("passing", f"no answer within {self._settings.timeout_s:g} s") from error
        except HfHubHTTPError as error:
            raise _of_status(error.response) from error
        except httpx2.RequestError as error:
            raise _Trouble("passing", f"{type(error).__name__}: {error}") from error
        except ValueError as error:
            _count(request, None, "", spent)
            raise _Trouble("passing", f"the answer's body is not whole JSON: {error}") from error
        finally:
            self._in_use[place] -= 1
        reply = _reply(output)
        _count(request, output.usage, reply.text if reply else "", spent)
        if reply is None:
            raise _Trouble("passing", "the answer's body holds no choices[0].message")
        self._proved = self._proved or wishes == self._wishes
        return reply

    async def _adapted(self, trouble: _Trouble, wishes: Mapping[str, bool], spent: Spent) -> bool:
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
            harmless = self.request(_probe_messages(), 0.0, judge.DEFAULT_MAX_TOKENS, 0)
            await self._try(harmless, dict(self._wishes), spent)
        except _Trouble as trouble:
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


class _HttpClient(httpx2.AsyncClient):
    """What the hub client sends with."""

    async def post(self, *args: Any, **options: Any) -> httpx2.Response:
        response = await super().post(*args, **options)
        if response.is_redirect:  # the hub client would take it for an answer
            target = response.headers.get("location", "nowhere")
            raise _Trouble("endpoint", f"{response.status_code}: redirects to {target}; if right, make it judge.url")
        if response.is_error or _LOGPROBS not in response.content:
            return response
        # Typed objects for every token would cost the hub client milliseconds; an unknown field it leaves as it is.
        content = response.content.replace(_LOGPROBS, _ODDS)
        return httpx2.Response(response.status_code, content=content, request=response.request)


def _http_client() -> httpx2.AsyncClient:
    """No redirects, no proxy for plain http, and as many connections as its requests need."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    return _HttpClient(verify=_tls(), limits=limits, timeout=None, follow_redirects=False, mounts={"http://": None})


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def _hub_client(endpoint: Endpoint, timeout_s: float) -> AsyncInferenceClient:
    # Without a key: a None header is dropped, and the stand-in keeps the hub client from looking for a saved token.
    headers: dict[str, Any] = {"user-agent": "concord"}
    if not endpoint.key:
        headers["authorization"] = None
    return AsyncInferenceClient(
        base_url=endpoint.url, api_key=endpoint.key or "none", headers=headers, timeout=timeout_s
    )


def _of_status(response: httpx2.Response) -> _Trouble:
    status, detail = response.status_code, f"{response.status_code}: {' '.join(response.text[:2000].split())[:300]}"
    if status in (401, 402, 403, 404, 405, 410, 501):
        return _Trouble("endpoint", detail)
    if status in (408, 409, 425, 429) or status >= 500:
        return _Trouble("limit" if status == 429 else "passing", detail, _retry_after_s(response.headers))
    return _Trouble("request", detail)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that Retry-After asks for, as a number or as a date against the answer's own Date; 0 without one."""
    value = headers.get("retry-after", "").strip()
    try:
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 0.0


def _reply(output: ChatCompletionOutput) -> Reply | None:
    # The hub client fills missing fields with None and leaves those of another type as they came.
    choice: Any = output.choices[0] if isinstance(output.choices, list) and output.choices else None
    message = getattr(choice, "message", None)
    if message is None:
        return None
    logprobs = choice.get("token_odds") or choice.logprobs
    tokens = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    return Reply(getattr(message, "content", None) or "", tuple(tokens or ()))


def _count(request: Mapping[str, Any], usage: Mapping[str, Any] | None, text: str, spent: Spent) -> None:
    counted = usage or {}
    asked = sum(len(message["content"].encode()) for message in request["messages"])
    spent.calls += 1
    spent.prompt_tokens += counted.get("prompt_tokens") or asked // 3 + 1
    spent.completion_tokens += counted.get("completion_tokens") or len(text.encode()) // 3 + 1


def _probe_messages() -> list[dict[str, str]]:
    pair = judge.pb.Pair(prompt=[judge.pb.Message(role="user", content="What is 2 + 2?")])
    pair.first.text, pair.second.text = "4", "5"
    return judge.messages(pair, "", swapped=False)
