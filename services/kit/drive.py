"""Runs a reactor or a worker until it is told to stop; an outage is waited out, never skipped over."""
import threading
from collections.abc import Callable

import structlog

from services.kit.errors import Unavailable

IDLE_S = 0.2
OUTAGE_S = 1.0
# Until it is ready a stepper does not wait for news: somebody waits for it.
EAGER_S = 0.02


def drive(name: str, make: Callable, stop: threading.Event, ready: threading.Event) -> None:
    """Makes the stepper and calls its `step` until `stop` is set, then closes it; all in this one thread.

    Unavailable means that a log, store or blob store is away: wait, go on. `ready` is set once the stepper says it is:
    the group has taken it in, and what the log held then is folded.
    Any other error ends the loop and is raised.
    """
    logger = structlog.get_logger(service=name)
    stepper, away = None, False
    try:
        while not stop.is_set():
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
                stop.wait(OUTAGE_S)
    finally:
        if stepper is not None:
            stepper.close()
