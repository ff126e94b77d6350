"""How often one may ask: a bucket for each key that fills by itself. In this process alone; nothing is lost with it."""

import threading
from collections.abc import Callable

MOST_KEYS = 10_000


class Paces:
    """So many requests a second each, with a burst. Thread-safe."""

    def __init__(self, a_second: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = a_second, burst, clock
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str) -> bool:
        """Whether one more is allowed now."""
        now = self._clock()
        with self._lock:
            if len(self._left) > MOST_KEYS:
                self._left = {k: v for k, v in self._left.items() if now - v[1] < self._burst / self._rate}
            left, at = self._left.get(key, (self._burst, now))
            left = min(self._burst, left + (now - at) * self._rate)
            self._left[key] = (left - 1 if left >= 1 else left, now)
            return left >= 1
