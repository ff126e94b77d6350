"""Runs a reactor or a worker until it is told to stop; an outage is waited out, never skipped over."""

import threading
import time
from collections.abc import Callable

import structlog

from concord.kit.errors import Unavailable

IDLE_S = 0.2
OUTAGE_S = 1.0
# Until it is ready a stepper does not wait for news: somebody waits for it.
EAGER_S = 0.02


def drive(name: str, make: Callable, stop: threading.Event, ready: threading.Event, grace_s: float = 0.0) -> None:
    """Makes the stepper and calls its `step` until `stop` is set, then closes it; all in this one thread.

    What is under way then has `grace_s` to come to its end; nothing new is begun.

    Unavailable means that a log, store or blob store is away: wait, go on. `ready` is set once the stepper says it is:
    the group has taken it in, and what the log held then is folded.
    Any other error ends the loop and is raised.
    """
    logger = structlog.get_logger(service=name)
    stepper, away, until = None, False, None
    try:
        while not stop.is_set() or (until := _until(until, grace_s, stepper)):
            try:
                if stepper is None:
                    stepper = make()
                stepper.step(IDLE_S if ready.is_set() else EAGER_S)
                if not ready.is_set() and stepper.ready():
                    ready.set()
                if away:
                    logger.info("back")
                away = False
            except Unavailable as error:
                if not away:
                    logger.warning("waiting for a dependency", why=str(error))
                away = True
                # Also where it was told to stop: the grace is for waiting.
                (threading.Event() if stop.is_set() else stop).wait(OUTAGE_S)
    finally:
        if stepper is not None:
            stepper.close()


def _until(until: float | None, grace_s: float, stepper) -> float | None:
    """When the grace is over, if there is something to wait for and time left."""
    now = time.monotonic()
    until = now + grace_s if until is None else until
    return until if stepper is not None and now < until and not stepper.drain() else None
