"""Connections to judges: a name is resolved here, each address it leads to is looked at, and that very address is connected to."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore2
import httpx2

from concord.kit.egress import Egress
from concord.labeling.refusal import Trouble

# (host, port) → the addresses that it leads to now, in the order in which they are tried.
Resolve = Callable[[str, int], Awaitable[list[str]]]
# Where a name has several addresses, for each but the last: one that says nothing must not use up all the time.
_ONE_ADDRESS_S = 5.0


class Guarded(httpcore2.AsyncNetworkBackend):
    """Connects as the usual one does, to addresses that are not refused alone. `egress` is asked at each connection."""

    def __init__(self, egress: Callable[[], Egress], resolve: Resolve | None = None) -> None:
        self._egress, self._usual = egress, httpcore2.AnyIOBackend()
        self._resolve = resolve or _resolved

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A stream to the host. Raises Trouble where an address is refused: one is enough, for the next look may take it."""
        addresses = await self._resolve(host, port)
        for address in addresses:
            if why := self._egress().refusal(host, address):
                raise Trouble("endpoint", why)
        *others, last = addresses
        for address in others:
            try:
                return await self._usual.connect_tcp(
                    address, port, min(timeout or _ONE_ADDRESS_S, _ONE_ADDRESS_S), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._usual.connect_tcp(last, port, timeout, local_address, socket_options)

    async def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        raise Trouble("endpoint", f"{path}: no judge is asked over a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _resolved(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore2.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def guard(client: httpx2.AsyncClient, egress: Callable[[], Egress]) -> httpx2.AsyncClient:
    """The client, every connection of its own looked at; those over a proxy are the proxy's, which the environment names."""
    transport = client._transport
    if not isinstance(transport, httpx2.AsyncHTTPTransport):
        raise TypeError(f"{type(transport).__name__} makes connections in a way of its own")
    pool = transport._pool
    # The one place where its connections are made; there is no public way to name another backend.
    pool._network_backend = Guarded(egress)
    return client
