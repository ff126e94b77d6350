"""Requests on the wire: the hub's client, as many connections as are wanted, and what each reply or refusal means.

Where the key goes: to `url` and nowhere else. Redirects are not followed; proxies of the environment are used for https
only, where they see a tunnel; without a key no Authorization header is sent, in particular not a token that the user
once saved for the Hugging Face Hub.

The hub client sends a JSON schema as {"type": "json_object", "value": schema}: TGI holds the model to the schema, vLLM
and SGLang to JSON of any shape, so a prompt should name the shape too.
"""

import asyncio
import functools
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import AsyncInferenceClient, ChatCompletionOutput, set_async_client_factory
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

from concord.kit.errors import InvalidInput

# A connection pool of httpcore looks at all its connections for each request: several small pools are faster than a
# big one, and reach the concurrency that was asked for where the default pool stops at 100.
_CONNECTIONS_PER_CLIENT = 16

# As keys of a JSON body; within a string the quotes would be escaped.
_LOGPROBS, _ODDS = b'"logprobs":', b'"token_odds":'

# Whose fault a failed try is: it may pass; too many requests; this request's; the endpoint's.
Fault = Literal["passing", "limit", "request", "endpoint"]


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
    prompt_tokens: int | None  # None where the endpoint does not count
    completion_tokens: int | None


class Trouble(Exception):
    """A try that gave no completion, and whose fault that is."""

    def __init__(self, fault: Fault, detail: str, retry_after_s: float = 0, paid: bool = False) -> None:
        super().__init__(detail)
        self.fault, self.detail, self.retry_after_s = fault, detail, retry_after_s
        self.paid = paid  # an answer came, but not a usable one


class Wire:
    """Connections to one endpoint. Belongs to one asyncio loop."""

    def __init__(self, endpoint: Endpoint, concurrency: int, timeout_s: float) -> None:
        # The one way to choose how huggingface_hub's async clients connect; it holds for the whole process.
        set_async_client_factory(_http_client)
        count = -(-concurrency // _CONNECTIONS_PER_CLIENT)
        self._clients = [_hub_client(endpoint, timeout_s) for _ in range(count)]
        self._in_use = [0] * count
        self._timeout_s, self._key = timeout_s, endpoint.key

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    async def send(self, request: Mapping[str, Any]) -> Reply:
        """One try, `request` being the arguments of `chat_completion`. Raises Trouble."""
        place = min(range(len(self._clients)), key=self._in_use.__getitem__)
        self._in_use[place] += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                output = await self._clients[place].chat_completion(**request)
        except (TimeoutError, InferenceTimeoutError) as error:
            raise Trouble("passing", f"no answer within {self._timeout_s:g} s") from error
        except HfHubHTTPError as error:
            raise _of_status(error.response, self._key) from error
        except httpx2.RequestError as error:
            raise Trouble("passing", f"{type(error).__name__}: {error}") from error
        except ValueError as error:
            raise Trouble("passing", f"the answer's body is not whole JSON: {error}", paid=True) from error
        finally:
            self._in_use[place] -= 1
        return _reply(output)


class _HttpClient(httpx2.AsyncClient):
    """What the hub client sends with."""

    async def post(self, *args: Any, **options: Any) -> httpx2.Response:
        response = await super().post(*args, **options)
        if response.is_redirect:  # the hub client would take it for an answer
            target = response.headers.get("location", "nowhere")
            raise Trouble("endpoint", f"{response.status_code}: redirects to {target}; if right, make it judge.url")
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


def _of_status(response: httpx2.Response, key: str) -> Trouble:
    status, said = response.status_code, " ".join(response.text[:2000].split())[:300]
    detail = f"{status}: {said.replace(key, '***') if key else said}"
    if status in (401, 402, 403, 404, 405, 410, 501):
        return Trouble("endpoint", detail)
    if status in (408, 409, 425, 429) or status >= 500:
        return Trouble("limit" if status == 429 else "passing", detail, _retry_after_s(response.headers))
    return Trouble("request", detail)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that Retry-After asks for, as a number or as a date against the answer's own Date; 0 without one."""
    value = headers.get("retry-after", "").strip()
    try:
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 0.0


def _reply(output: ChatCompletionOutput) -> Reply:
    # The hub client fills missing fields with None and leaves those of another type as they came.
    choice: Any = output.choices[0] if isinstance(output.choices, list) and output.choices else None
    message = getattr(choice, "message", None)
    if message is None:
        raise Trouble("passing", "the answer's body holds no choices[0].message", paid=True)
    content = getattr(message, "content", None)
    text = content.encode(errors="replace").decode() if isinstance(content, str) else ""
    logprobs = choice.get("token_odds") or choice.logprobs
    tokens = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    counted = output.usage if isinstance(output.usage, Mapping) else {}
    return Reply(text, tuple(tokens or ()), counted.get("prompt_tokens"), counted.get("completion_tokens"))
