"""The pages over HTTP: a server in a thread, for as long as a block or a process lasts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from concord.console.app import application
from concord.console.asked import ADDRESS_PACE, Console
from concord.console.book import Book
from concord.console.desk import Desk
from concord.console.gate import Gate, networks, people
from concord.console.secret import secret_of
from concord.kit import rpc
from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.settings import Settings, host_of

START_S = 30.0
# Streams to open pages end at once when the server does.
GRACE_S = 2


def gate_of(settings: Settings) -> Gate:
    """Who is let in, by the settings. Raises InvalidInput."""
    return Gate(
        secret_of(settings),
        networks(settings.console_proxies),
        settings.console_identity_header,
        people(settings.console_people),
    )


@contextmanager
def serving(
    settings: Settings, door: str, hold_s: float = 10.0, address_pace: tuple[float, float] = ADDRESS_PACE
) -> Iterator[Console]:
    """The pages in front of the services behind `door`, for as long as the block lasts; `hold_s`, `address_pace`: a Console's.
    Raises InvalidInput, Unavailable."""
    gate = gate_of(settings)
    with rpc.channel(door) as channel, _bound(settings.console_listen) as (socket, port):
        host = host_of(settings.console_listen)
        url = settings.console_url.rstrip("/") or f"http://{f'[{host}]' if ':' in host else host}:{port}"
        console = Console(Desk(channel, door), gate, url, Book.of(settings), hold_s=hold_s, address_pace=address_pace)
        made = uvicorn.Config(
            application(console),
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
        )
        server = uvicorn.Server(made)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, name="console", daemon=True)
        thread.start()
        try:
            _wait(server, thread)
            yield console
        finally:
            server.should_exit = True
            thread.join(START_S)


@contextmanager
def _bound(listen: str) -> Iterator[tuple]:
    import socket

    host, port = host_of(listen), int(listen.rpartition(":")[2])
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {listen}: {error.strerror or error}. Choose another with CONCORD_CONSOLE_LISTEN, such as "
            f"{listen.rpartition(':')[0]}:0 for a free port"
        ) from None
    with bound:
        yield bound, bound.getsockname()[1]


def _wait(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Until it answers."""
    look = threading.Event()
    for _ in range(int(START_S / 0.02)):
        if server.started:
            return
        if not thread.is_alive():
            break
        look.wait(0.02)
    raise Unavailable("the pages did not start; the log has the reason")
