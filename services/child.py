"""`python -m services.child NAME`: a process that does one service's units for the process that started it.

It opens the blobs that CONCORD_BLOB_URL names, and nothing else; see `kit/children.py`.
"""

import os
import signal
import sys
from collections.abc import Callable

from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work
from services.kit.blobs import Blobs
from services.kit.children import answer_all
from services.kit.settings import from_environment, open_blobs
from services.kit.telemetry import log_json


def scoring(blobs: Blobs) -> Callable[[Work], Event]:
    """The units of scoring."""
    from services.scoring.units import Units

    return Units(blobs).do


SERVICES = {"scoring": scoring}


def main(name: str) -> None:
    """Does units until standard input ends; ^C is for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = from_environment()
    log_json(settings.log_level)
    do = SERVICES[name](open_blobs(settings))
    # Whatever a library prints goes to standard error: standard output carries answers.
    said = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answer_all(do, sys.stdin.buffer, said)


if __name__ == "__main__":
    main(sys.argv[1])
