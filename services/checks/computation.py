"""Formulas compared by computation, in a child process with limits of time and memory.

The library's own limit of time is a signal, which no thread may use, and says "not equal" when it strikes. Here a child
that takes too long is killed, and the answer is: can't tell.
"""

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from threading import Lock

from concord.checks.computing import READY

START_S = 60.0
# Address space, which sympy takes more of than it uses.
MEGABYTES = 1024


def available() -> bool:
    """Whether math-verify is installed: the extra `verify`."""
    return find_spec("math_verify") is not None


class Computation:
    """Compares formulas in a child that starts with the first question; a child that was killed is replaced by the next one.

    `equal` is what `kinds.check` takes. Use it in a `with`, or call `close`.
    """

    def __init__(self, timeout_s: float = 5.0, megabytes: int = MEGABYTES) -> None:
        self._timeout_s, self._megabytes = timeout_s, megabytes
        self._child: subprocess.Popen | None = None
        self._lock = Lock()

    def __enter__(self) -> "Computation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def equal(self, gold: str, response: str) -> bool | None:
        """Whether the response's last formula equals the gold's; None: can't tell, also without the extra `verify`."""
        if not available():
            return None
        with self._lock:
            child = self._ready()
            if child is None:
                return None
            assert child.stdin is not None
            try:
                child.stdin.write(json.dumps([gold, response]).encode() + b"\n")
                child.stdin.flush()
            except BrokenPipeError:
                self._end()
                return None
            answer = self._line(child, self._timeout_s)
            if not answer:
                self._end()
                return None
            return json.loads(answer)

    def _ready(self) -> subprocess.Popen | None:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end()
        # -P: what lies in the folder that the user stands in is not ours.
        command = [sys.executable, "-P", "-m", "concord.checks.computing", str(self._megabytes)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        if self._line(self._child, START_S) == READY:
            return self._child
        self._end()
        return None

    def _line(self, child: subprocess.Popen, timeout_s: float) -> bytes:
        """The child's next line; empty where it ended or took too long."""
        assert child.stdout is not None
        until, said = time.monotonic() + timeout_s, b""
        while not said.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                return b""
            more = os.read(child.stdout.fileno(), 4096)
            if not more:
                return b""
            said += more
        return said

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        child.wait()

    def close(self) -> None:
        """Ends the child."""
        with self._lock:
            self._end()
