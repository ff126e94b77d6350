"""How much each judge's endpoint bears, told by those who ask it: where it turns requests away and nobody said its limits.

Every process of labeling asks an endpoint for as much at once as it bears, and says how much that is of the most it would. Together
these are so many replicas' worth; more would be turned away more often. Held in memory, by each replica of runs for itself:
whoever works asks all of them, every second (`cancelled`), and what is old counts for nothing.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from concord.kit.errors import InvalidInput

# What a worker said is believed for so long.
FRESH_S = 60.0
# After an endpoint last turned away, replicas come back one at a time for so long.
CAUTIOUS_S = 600.0
# Who tells more names than that tells nothing true.
MOST_TOLD = 1_000


@dataclass(frozen=True)
class Told:
    """What one process said of one endpoint: requests that may be in flight, of at most so many."""

    window: int
    most: int
    at: float


class Bearing:
    """Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._told: dict[tuple[str, str], Told] = {}
        # URL → when one of its windows was last less than the most.
        self._narrow: dict[str, float] = {}

    def hear(self, worker: str, told: Iterable[tuple[str, int, int]]) -> None:
        """(URL, window, most) of one process. Raises InvalidInput for a window beyond its most."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            for url, window, most in told:
                if not 0 < window <= most:
                    raise InvalidInput(
                        f"paces: a window of {window} and a most of {most}: from 1 to the most is expected"
                    )
                if len(self._told) < MOST_TOLD or (worker, url) in self._told:
                    self._told[worker, url] = Told(window, most, now)
                    if window < most:
                        self._narrow[url] = now

    def replicas(self) -> Mapping[str, float]:
        """URL → how many replicas' worth of requests the endpoint bears, of those that turned some away; others have no limit."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            out: dict[str, float] = {}
            for url in self._narrow:
                mine = [told for (_, of), told in self._told.items() if of == url]
                if not mine:
                    continue
                worth = sum(told.window / told.most for told in mine)
                # While none of them is turned away there may be room for one more.
                is_narrow = any(told.window < told.most for told in mine)
                out[url] = worth if is_narrow else worth + 1
            return out

    def _forget(self, now: float) -> None:
        self._told = {key: told for key, told in self._told.items() if now - told.at < FRESH_S}
        self._narrow = {url: at for url, at in self._narrow.items() if now - at < CAUTIOUS_S}
