"""Runs a `step()` again and again until it is told to stop; an outage is waited out, never skipped over."""

import threading
from collections.abc import Callable

import structlog

from services.kit.errors import Unavailable

IDLE_S = 0.2
OUTAGE_S = 1.0


def drive(name: str, step: Callable[[float], int], stop: threading.Event) -> None:
    """Calls `step(IDLE_S)` until `stop` is set. Unavailable means a log, store or blob store is away: wait, go on."""
    logger = structlog.get_logger(service=name)
    away = False
    while not stop.is_set():
        try:
            step(IDLE_S)
            if away:
                logger.info("back")
            away = False
        except Unavailable as error:
            if not away:
                logger.warning("waiting for a dependency", why=str(error))
            away = True
            stop.wait(OUTAGE_S)
