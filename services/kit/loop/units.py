"""A unit under way: where its fact will be, and how it is stopped."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass

from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work


@dataclass(frozen=True)
class Begun:
    """What a worker knows of a unit that it began."""

    # The fact without its names; CancelledError where the unit was stopped.
    fact: "Future[Event]"
    # Returns at once; five seconds later nothing that the unit started computes any more.
    stop: Callable[[], object]


class Stop:
    """Whether a unit is to stop, and what is to be done the moment that it is said. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acts: list[Callable[[], object]] = []
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        """Says it; said again it does nothing."""
        with self._lock:
            self._asked.set()
            acts, self._acts = self._acts, []
            # Nobody leaves its block meanwhile: what an act ends is not another unit's yet.
            for act in acts:
                act()

    def check(self) -> None:
        """Raises CancelledError once it is said."""
        if self.asked:
            raise CancelledError

    def wait(self, seconds: float) -> None:
        """Waits, and no longer than until it is said; then raises CancelledError."""
        self._asked.wait(seconds)
        self.check()

    @contextmanager
    def then(self, act: Callable[[], object]) -> Iterator[None]:
        """Within the block `act` is called once it is said, at once where it was said before. It must not wait."""
        with self._lock:
            is_late = self.asked
            if not is_late:
                self._acts.append(act)
        if is_late:
            act()
        try:
            yield
        finally:
            with self._lock:
                if act in self._acts:
                    self._acts.remove(act)


def of_future(future: "Future[Event]") -> Begun:
    """A unit that stops when its future is cancelled, as calls of an event loop do, and those that have not begun."""
    return Begun(future, future.cancel)


def in_thread(pool: Executor, do: Callable[[Work, Stop], Event], work: Work) -> Begun:
    """A unit done by a thread of the pool that looks at its Stop."""
    stop = Stop()
    future = pool.submit(do, work, stop)

    def end() -> None:
        future.cancel()
        stop.ask()

    return Begun(future, end)
