"""The cluster's time, and what is to happen at which."""

import heapq
from collections.abc import Callable

BEGIN_S = 1_000.0


class Clock:
    """Time passes only where somebody says so."""

    def __init__(self) -> None:
        self.now = BEGIN_S
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Calls once that time has passed; of two at the same time the one that was told first."""
        self._number += 1
        heapq.heappush(self._timers, (self.now + seconds, self._number, call))

    def repeat(self, act: Callable[[], float | None]) -> None:
        """Calls `act` now, and again after as many seconds as it answers; None ends it."""

        def again() -> None:
            wait = act()
            if wait is not None:
                self.after(wait, again)

        again()

    def due(self) -> bool:
        return bool(self._timers) and self._timers[0][0] <= self.now

    def fire(self) -> None:
        """Calls what is due first."""
        _, _, call = heapq.heappop(self._timers)
        call()

    def skip(self, at_most_s: float) -> None:
        """Nothing happens until the next timer, or for so long."""
        following = self._timers[0][0] if self._timers else float("inf")
        self.now = min(self.now + at_most_s, following)
