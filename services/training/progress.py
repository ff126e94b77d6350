"""How far a training is, as JSON lines for whoever started it; and the word that it is to stop.

One object a line, on standard output and in `progress.jsonl` of the model's folder: `event` says which. `begin` (steps, pairs),
`step` (step, of, loss, tokens_a_second, seconds_left; mfu where the device's peak is known, see `utilisation`), `validation` (step,
loss, accuracy, margin), `checkpoint` (step), `stopped` (step), `done` (seconds), `note` (said). What libraries print goes to
standard error.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

# sysexits.h: what was begun can be gone on with by the same command.
STOPPED = 75
BAD_INPUT = 2


class Progress:
    """Says events, each as one line in both places; without `out` nothing: another process speaks for all."""

    def __init__(self, path: Path, out: TextIO | None) -> None:
        self._path, self._out = path, out
        self._began = time.monotonic()

    def say(self, event: str, **facts: Any) -> None:
        """One line; its seconds count from this process's beginning."""
        if self._out is None:
            return
        line = json.dumps({"event": event, "seconds": round(time.monotonic() - self._began, 3), **facts})
        print(line, file=self._out, flush=True)
        with self._path.open("a", encoding="utf-8") as kept:
            kept.write(line + "\n")


class Pace:
    """Tokens a second and the time left, from what was done between two looks. The clock is passed in."""

    def __init__(self, steps: int, now: Callable[[], float] = time.monotonic) -> None:
        self._steps, self._now = steps, now
        self._last: tuple[float, int, float] | None = None

    def begin(self, step: int) -> None:
        """The clock runs from here; after a checkpoint that is not step 0."""
        self._last = (self._now(), step, 0.0)

    def look(self, step: int, tokens: float) -> Mapping[str, float]:
        """What one may expect at this step, with so many tokens behind since the beginning."""
        now = self._now()
        then, before, tokens_before = self._last or (now, step, tokens)
        self._last = (now, step, tokens)
        spent = now - then
        if spent <= 0 or step <= before:
            return {}
        left = (self._steps - step) * spent / (step - before)
        return {"tokens_a_second": round((tokens - tokens_before) / spent, 1), "seconds_left": round(left, 1)}


class Stop:
    """Whether somebody asked for an end. While nothing is worth keeping yet, asking ends the process at once."""

    def __init__(self) -> None:
        self.asked = False
        self.at_once = True

    def listen(self) -> "Stop":
        """SIGTERM and ^C ask."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        if self.at_once:
            raise SystemExit(STOPPED)


def is_first() -> bool:
    """Whether this process speaks and writes for all that train together."""
    return os.environ.get("RANK", "0") == "0"


def own_output() -> TextIO:
    """Standard output for our lines alone: whatever else prints there goes to standard error from now on."""
    sys.stdout.flush()
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return ours
