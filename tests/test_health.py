"""The health check that container engines run, against a real server."""

import socket

import pytest

from concord.kit import rpc
from concord.kit.health import main, why_not


@pytest.fixture
def server():
    """A server that listens, is not ready yet, and knows one service by name."""
    named = rpc.Servicer("concord.v1.RunService", lambda servicer, server: None, object())
    running, port, status = rpc.serve([named], "127.0.0.1:0")
    yield f"127.0.0.1:{port}", status
    running.stop(None)


def test_a_server_that_is_not_ready_says_so(server):
    address, _ = server
    assert why_not(address) == f"{address}: the server is NOT_SERVING"
    assert why_not(address, "concord.v1.RunService") == f"{address}: concord.v1.RunService is NOT_SERVING"


def test_a_process_is_alive_as_soon_as_it_listens_ready_or_not(server):
    address, _ = server
    assert why_not(address, rpc.ALIVE) is None


def test_a_ready_server_is_healthy_as_a_whole_and_by_name(server):
    address, status = server
    rpc.serving(status, ["concord.v1.RunService"])
    assert why_not(address) == f"{address}: the server is NOT_SERVING", "another of its services may not be ready yet"
    rpc.serving(status, [""])
    assert why_not(address) is None
    assert main([address, "concord.v1.RunService"]) == 0


def test_an_unknown_service_is_not_healthy(server, capsys):
    address, status = server
    rpc.serving(status, ["concord.v1.RunService"])
    assert main([address, "concord.v1.Nothing"]) == 1
    assert "NOT_FOUND" in capsys.readouterr().err


def test_a_server_that_is_away_is_told_with_its_address(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listened on: nobody else gets the port, nobody answers
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main([address]) == 1
    assert address in capsys.readouterr().err


def test_a_wrong_call_says_how_it_is_used(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
