"""Waiting for what another service learns a moment later: each follows the log on its own."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MOST_S = 60.0
LOOK_AGAIN_S = 0.02


def until(look: Callable[[], T], what: str = "it") -> T:
    """What `look` gives once that is true; AssertionError that says `what` did not happen."""
    clock = threading.Event()
    for _ in range(int(MOST_S / LOOK_AGAIN_S)):
        if seen := look():
            return seen
        clock.wait(LOOK_AGAIN_S)
    raise AssertionError(f"{what} did not happen within {MOST_S:.0f} s")
