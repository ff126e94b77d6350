"""A few threads that do short things in turn: so many that a processor is kept busy, so few that nobody else waits for it."""

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

# Sending waits for gRPC's own thread and for the interpreter's lock more than for the network: more threads than this only fight.
SENDERS = 2
# Who is sent to for so long does not read: whoever waits behind gets another thread.
SLOW_S = 0.5


class Senders:
    """Threads that begin when there is something to do and end when there is nothing.

    At most SENDERS that get on, and beside them those that are held up for over SLOW_S.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: deque[Callable[[], None]] = deque()
        # Thread → since when it is at what it does now.
        self._busy: dict[int, float] = {}
        self._number = 0

    def do(self, one: Callable[[], None]) -> None:
        """Does it soon, in the order in which it was told."""
        with self._lock:
            self._due.append(one)
            self._widen()

    def look_after(self) -> None:
        """Replaces threads that are held up; to be called now and then while something is due."""
        with self._lock:
            self._widen()

    def idle(self) -> bool:
        """Whether nothing is due; what was begun may still be under way."""
        with self._lock:
            return not self._due

    def _held_up(self) -> int:
        long_ago = self._clock() - SLOW_S
        return sum(since < long_ago for since in self._busy.values())

    def _widen(self) -> None:
        held_up = self._held_up()
        running = len(self._busy) - held_up
        for _ in range(min(SENDERS - running, len(self._due))):
            self._number += 1
            self._busy[self._number] = self._clock()
            threading.Thread(
                target=self._work, args=(self._number,), name=f"sender-{self._number}", daemon=True
            ).start()

    def _work(self, number: int) -> None:
        while True:
            with self._lock:
                # Its own time does not count as held up here: it has just come back.
                self._busy[number] = self._clock()
                if not self._due or len(self._busy) > SENDERS + self._held_up():
                    del self._busy[number]
                    return
                one = self._due.popleft()
            try:
                one()
            except Exception:  # a bug: the others are still to be told
                structlog.get_logger().exception("a watcher was not told")
