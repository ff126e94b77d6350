"""A look before the start: a judge whose address nobody answers is said at once, not after minutes of patience."""

import os
import re
import socket
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from concord.kit.errors import InvalidInput, Unavailable
from concord.preference.judges import networked
from concord.v1.config_pb2 import JudgeConfig

TIMEOUT_S = 5.0
# HOST:PORT, or gRPC's own name of a place (`ipv4:10.0.0.1:7070,10.0.0.2:7070`).
_ADDRESS = re.compile(r"[^/]+:\d+|(dns|ipv4|ipv6|unix):.+")


def check_address(server: str) -> None:
    """Raises InvalidInput for a `--server` that is no address."""
    if not _ADDRESS.fullmatch(server):
        raise InvalidInput(f"--server {server}: HOST:PORT is expected, such as localhost:7070")


def without_key(judges: Iterable[JudgeConfig], environ: Mapping[str, str] = os.environ) -> str:
    """Which key of these judges is not there, in words; empty where none is missing."""
    for judge in judges:
        if networked(judge) and judge.api_key_env and not environ.get(judge.api_key_env):
            return f"--api-key-env {judge.api_key_env}: no environment variable of this name holds a key"
    return ""


def check(judges: Iterable[JudgeConfig], environ: Mapping[str, str] = os.environ) -> None:
    """Raises Unavailable for a judge's URL to which no connection can be made, InvalidInput for a key that is not there.

    An endpoint behind a proxy is not looked at: only the proxy knows the way.
    """
    judges = list(judges)
    if lacking := without_key(judges, environ):
        raise InvalidInput(lacking)
    for judge in judges:
        parts = urlsplit(judge.url)
        proxied = any(environ.get(name) for name in (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper()))
        if not networked(judge) or proxied or not parts.hostname:
            continue
        try:
            socket.create_connection(
                (parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80)), TIMEOUT_S
            ).close()
        except OSError as error:
            raise Unavailable(
                f"the judge at {judge.url} does not answer: {error.strerror or error}; is the URL right?"
            ) from None
