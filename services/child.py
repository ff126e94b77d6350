"""`python -m concord.child NAME`: a process that does one service's units for the process that started it.

It opens the blobs that CONCORD_BLOB_URL names, and nothing else; see `kit/loop/children.py`.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from concord.kit.blobs import Blobs
from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.loop.children import answer_all
from concord.kit.settings import Settings, from_environment, open_blobs
from concord.kit.telemetry import log_json
from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work


def scoring(settings: Settings, blobs: Blobs) -> Callable[[Work], Event]:
    """The units of scoring."""
    from concord.scoring.units import Units

    return Units(blobs, Path(settings.home)).do


SERVICES = {"scoring": scoring}


def main(name: str) -> None:
    """Does units until standard input ends; ^C is for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = from_environment()
    log_json(settings.log_level)
    # Whatever a library prints goes to standard error: standard output carries answers.
    said = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    opened = cache(lambda: _opened(name, settings))
    with suppress(Unavailable):
        # Ready before the first unit comes; where that cannot be, the unit hears why, and the next one tries again.
        opened()
    answer_all(lambda work: opened()(work), sys.stdin.buffer, said)


def _opened(name: str, settings: Settings) -> Callable[[Work], Event]:
    """The service's units. Raises Unavailable, and nothing that would be counted against a unit."""
    try:
        return SERVICES[name](settings, open_blobs(settings))
    except InvalidInput as error:
        # The process that started this one could open the same blobs: what is refused now may be mended while it runs.
        raise Unavailable(str(error)) from error


if __name__ == "__main__":
    main(sys.argv[1])
