"""The relay between processes does what a bad network does."""

import socket
import socketserver
import threading
import time

import pytest

from tests.wire import Wire


class Echo(socketserver.BaseRequestHandler):
    """Says back what it hears."""

    def handle(self) -> None:
        while piece := self.request.recv(1024):
            self.request.sendall(piece)


@pytest.fixture
def wire():
    """A relay to a server that echoes."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Wire(server.server_address[1]) as relay:
            yield relay
        server.shutdown()


def linked(wire: Wire, timeout_s: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.port), timeout_s)


def said_back(link: socket.socket, text: bytes) -> bytes:
    link.sendall(text)
    return link.recv(1024)


def is_over(link: socket.socket) -> bool:
    """The other side ended it, politely or not."""
    try:
        return said_back(link, b"anybody") == b""
    except ConnectionError:
        return True


def test_a_sound_wire_carries_both_ways(wire):
    with linked(wire) as link:
        assert said_back(link, b"there") == b"there"


def test_a_slow_wire_takes_its_time_each_way(wire):
    with linked(wire) as link:
        wire.slow(0.2)
        began = time.monotonic()
        assert said_back(link, b"late") == b"late"
        assert time.monotonic() - began >= 0.4


def test_a_held_wire_is_silent_and_loses_nothing_once_it_is_mended(wire):
    with linked(wire, 0.3) as link:
        wire.hold()
        with pytest.raises(TimeoutError):
            said_back(link, b"first ")
        wire.mend()
        link.settimeout(5)
        assert link.recv(1024) == b"first "


def test_a_cut_wire_ends_links_and_lets_nobody_in_until_it_is_mended(wire):
    with linked(wire) as link:
        assert said_back(link, b"there") == b"there"
        wire.cut()
        assert is_over(link)
    with pytest.raises(OSError):
        linked(wire)
    wire.mend()
    with linked(wire) as link:
        assert said_back(link, b"back") == b"back"
