"""How far everybody is, for pages that say it with each task: counted for all at once, and no more often than that is cheap."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from concord.tasks.leases import Progress, Slots

# Of the time, this share at most goes into counting.
SHARE = 20
MOST_KEPT = 100


@dataclass
class _Counted:
    progress: Progress
    # Until when it is told; and what everybody said since it was counted.
    until: float
    since: Counter[str] = field(default_factory=Counter)


class Standings:
    """A cache over the table of leases. Thread-safe."""

    def __init__(self, slots: Slots, clock: Callable[[], float]) -> None:
        self._slots, self._clock = slots, clock
        self._kept: dict[str, _Counted] = {}
        self._lock, self._counting = threading.Lock(), threading.Lock()

    def of(self, run_id: str, annotator: str) -> tuple[int, int]:
        """(tasks that this annotator answered or skipped, open ones that it may still answer), as of a moment ago."""
        kept = self._kept.get(run_id)
        if kept is None or time.monotonic() > kept.until:
            with self._counting:
                kept = self._kept.get(run_id)
                if kept is None or time.monotonic() > kept.until:
                    kept = self._count(run_id)
        answered, left = kept.progress.of(annotator)
        since = kept.since[annotator]
        return answered + since, max(0, left - since)

    def _count(self, run_id: str) -> _Counted:
        began = time.monotonic()
        progress = self._slots.progress(run_id, self._clock())
        took = time.monotonic() - began
        with self._lock:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            kept = self._kept[run_id] = _Counted(progress, began + took * SHARE)
        return kept

    def count(self, run_id: str, annotator: str, answers: int) -> None:
        """Somebody answered so many tasks of the run for the first time."""
        with self._lock:
            if kept := self._kept.get(run_id):
                kept.since[annotator] += answers
