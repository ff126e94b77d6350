"""Requests on the wire: the hub's client and as many connections as are wanted.

Where the key goes: to `url` and nowhere else. Each address that it leads to is looked at when a connection is made
(`connecting.py`). Redirects are not followed; proxies of the environment are used for https only, where they see a tunnel; without
a key no Authorization header is sent, in particular not a token that the user once saved for the Hugging Face Hub.

The hub client chooses URL, headers and the form of the body; what comes back is taken from it as it came, for it believes
what an answer says of itself.
"""

import asyncio
import functools
import re
import ssl
import zlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import AsyncInferenceClient, set_async_client_factory
from huggingface_hub.errors import InferenceTimeoutError

from concord.kit.egress import OWN, Egress
from concord.kit.errors import InvalidInput
from concord.labeling.connecting import guard
from concord.labeling.refusal import Trouble, of_status, words_of
from concord.labeling.reply import Reply, reply_of

# A connection pool of httpcore looks at all its connections for each request: several small pools are faster than a
# big one, and reach the concurrency that was asked for where the default pool stops at 100.
_CONNECTIONS_PER_CLIENT = 16
_VERSION = re.compile(r"v\d+\w*")
# A completion with five alternatives a token has some 300 bytes a token.
MOST_BODY = 16 * 1024 * 1024


@dataclass(frozen=True)
class Endpoint:
    """Where a model is, and the secret that opens it."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    key_name: str = ""  # the environment variable that the key came from
    egress: Egress = field(default=OWN, repr=False)  # where it may be

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"judge.url is {self.url!r}; it must look like http://host:8000/v1")
        if parts.username or parts.password:
            raise InvalidInput("judge.url holds a user or password; name an environment variable in judge.api_key_env")
        if not self.key.isascii() or not self.key.isprintable():
            raise InvalidInput(f"the key in the environment variable {self.key_name} holds characters no key can have")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is struck out of all that comes back."""
        return (self.key,) if self.key else ()

    @property
    def azure(self) -> bool:
        """Whether it takes the key in a header of its own, as Azure's deployments do."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return host.endswith((".azure.com", ".azure-api.net")) or "/openai/deployments/" in parts.path


def chat_urls(base: str) -> tuple[str, ...]:
    """Where completions are asked for below a base URL: the likely place, then the other one that it may mean."""
    parts = urlsplit(base)
    path = parts.path.rstrip("/")
    if path.endswith("/chat/completions"):
        return (base,)
    paths = [f"{path}/chat/completions", f"{path}/v1/chat/completions"]
    last = path.rpartition("/")[2]
    if not (_VERSION.fullmatch(last) or last == "openai" or "/deployments/" in path):
        paths.reverse()
    # Nobody has /v1/v1.
    return tuple(parts._replace(path=one, fragment="").geturl() for one in paths if "/v1/v1/" not in one)


class Wire:
    """Connections to one endpoint. Belongs to one asyncio loop."""

    def __init__(self, endpoint: Endpoint, concurrency: int) -> None:
        # The one way to choose how huggingface_hub's async clients connect; it holds for the whole process.
        set_async_client_factory(_http_client)
        count = -(-concurrency // _CONNECTIONS_PER_CLIENT)
        self._clients = [_hub_client(endpoint) for _ in range(count)]
        self._in_use = [0] * count
        self._urls = chat_urls(endpoint.url)
        self._secrets, self._egress = endpoint.secrets, endpoint.egress

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    def turn_to_other_path(self) -> bool:
        """From now on asks below the other path that the URL may mean; False where it means but one."""
        self._urls = self._urls[::-1]
        return len(self._urls) > 1

    async def send(self, request: Mapping[str, Any], timeout_s: float) -> Reply:
        """One try, `request` being the body's fields. Raises Trouble."""
        place = min(range(len(self._clients)), key=self._in_use.__getitem__)
        self._in_use[place] += 1
        exchange = _Exchange(self._urls[0], request, self._egress)
        token = _EXCHANGE.set(exchange)
        try:
            async with asyncio.timeout(timeout_s):
                await self._clients[place].chat_completion(
                    request["messages"], model=request["model"], extra_body=_rest(request)
                )
        except (TimeoutError, InferenceTimeoutError) as error:
            raise Trouble("passing", f"no answer within {timeout_s:g} s", slow=True) from error
        except httpx2.RequestError as error:
            # What a broken answer held stands in some of these errors; where nobody answered, the system speaks.
            why = f": {error}" if isinstance(error, httpx2.ConnectError) else ""
            words = words_of(str(error).encode(errors="replace"), self._secrets)
            raise Trouble("passing", f"{type(error).__name__}{why}"[:300], words=words) from None
        finally:
            _EXCHANGE.reset(token)
            self._in_use[place] -= 1
        return self._read(exchange)

    def _read(self, exchange: "_Exchange") -> Reply:
        if 300 <= exchange.status < 400:
            target = words_of(exchange.headers.get("location", "nowhere").encode(), self._secrets).message[:300]
            raise Trouble("endpoint", f"{exchange.status}: redirects to {target}; if right, make it judge.url")
        if exchange.status >= 400:
            raise of_status(exchange.status, exchange.headers, words_of(exchange.body, self._secrets))
        return reply_of(exchange.body, self._secrets)


@dataclass
class _Exchange:
    """One request and what came back."""

    url: str
    request: Mapping[str, Any]
    egress: Egress
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


# The exchange that this task has under way.
_EXCHANGE: ContextVar[_Exchange] = ContextVar("exchange")


class _HttpClient(httpx2.AsyncClient):
    """What the hub client sends with."""

    async def post(self, url: Any, *, json: Any = None, headers: Any = None, **_: Any) -> httpx2.Response:
        exchange = _EXCHANGE.get()
        # The hub client says the standard schema in TGI's own words, and adds fields that nobody asked for.
        json = {name: exchange.request[name] for name in json if name in exchange.request}
        request = self.build_request("POST", exchange.url, json=json, headers=headers)
        response = await self.send(request, stream=True)
        try:
            exchange.status, exchange.headers = response.status_code, response.headers
            exchange.body = await _body(response)
        finally:
            await response.aclose()
        return httpx2.Response(200, content=b"{}", request=request)


async def _body(response: httpx2.Response) -> bytes:
    """The body, at most `MOST_BODY` of it. Raises Trouble for more."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise Trouble("endpoint", f"answers in {encoding[:30]!r}, which nobody asked for")
    parts, size = [], 0
    async for part in response.aiter_raw():
        parts.append(part)
        size += len(part)
        if size > MOST_BODY:
            raise _too_long()
    body = b"".join(parts)
    return body if encoding in ("", "identity") else _unpacked(body)


def _unpacked(body: bytes) -> bytes:
    packed = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        unpacked = packed.decompress(body, MOST_BODY)
    except zlib.error:
        raise Trouble("passing", "the answer's body does not unpack", paid=True) from None
    if packed.unconsumed_tail:
        raise _too_long()
    return unpacked


def _too_long() -> Trouble:
    return Trouble("passing", f"the answer's body has more than {MOST_BODY // 2**20} MB", paid=True)


def _rest(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name not in ("messages", "model")}


def _http_client() -> httpx2.AsyncClient:
    """No redirects, no proxy for plain http, and as many connections as its requests need."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    client = _HttpClient(verify=tls(), limits=limits, timeout=None, follow_redirects=False, mounts={"http://": None})
    # The hub makes its clients when it likes and of whichever endpoint; a connection belongs to the exchange that needs it.
    return guard(client, lambda: _EXCHANGE.get().egress)


@functools.cache
def tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def _hub_client(endpoint: Endpoint) -> AsyncInferenceClient:
    # Without a key: a None header is dropped, and the stand-in keeps the hub client from looking for a saved token.
    headers: dict[str, Any] = {"user-agent": "concord", "accept-encoding": "identity"}
    if not endpoint.key:
        headers["authorization"] = None
    elif endpoint.azure:
        headers["api-key"] = endpoint.key
    return AsyncInferenceClient(base_url=endpoint.url, api_key=endpoint.key or "none", headers=headers, timeout=None)
