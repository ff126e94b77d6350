"""The word to a process that it is to end."""

import signal
import threading
from types import FrameType


def told_to_end() -> threading.Event:
    """Is set by SIGTERM and SIGINT from now on; for a process's main thread."""
    over = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return over
