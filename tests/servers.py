"""What the tests' servers share."""

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def dies_with_parent(sign: signal.Signals) -> Callable[[], None]:
    """For Popen's preexec_fn: a test run that is killed leaves no server behind (Linux; elsewhere no such promise)."""

    def ask() -> None:
        if hasattr(os, "uname") and os.uname().sysname == "Linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sign)

    return ask
