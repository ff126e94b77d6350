"""What a run says of its tasks, read again when it may have changed: of a moment ago for most calls, of now where it matters."""

import threading
from collections.abc import Callable

from concord.kit import ids
from concord.kit.store import Store
from concord.tasks import queue
from concord.tasks.leases import Slot
from concord.tasks.queue import TasksState
from concord.v1.events_pb2 import Unit

# Seconds that a header may be old; a slot of another round than it says has it read anew.
FRESH_S = 0.5
MOST_KEPT = 1_000


class Headers:
    """A cache over the store's rows. Thread-safe."""

    def __init__(self, store: Store, service: str, clock: Callable[[], float]) -> None:
        self._store, self._service, self._clock = store, service, clock
        self._kept: dict[str, tuple[float, TasksState]] = {}
        self._lock = threading.Lock()

    def now(self, run_id: str) -> TasksState:
        """The run's header as it is; its tasks are not read."""
        read_at = self._clock()
        state = queue.restore(run_id, self._store.rows(self._service, run_id, ("run",)))
        with self._lock:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[run_id] = read_at, state
        return state

    def of(self, run_id: str) -> TasksState:
        """The header, at most FRESH_S old."""
        with self._lock:
            read_at, state = self._kept.get(run_id, (0.0, None))
        return state if state is not None and 0 <= self._clock() - read_at <= FRESH_S else self.now(run_id)

    def of_slot(self, slot: Slot) -> TasksState:
        """The header of the round that the slot is of, or of a later one."""
        state = self.of(slot.run_id)
        return state if is_of(slot, state) else self.now(slot.run_id)


def is_of(slot: Slot, state: TasksState) -> bool:
    """Whether the slot is of the round that is open now."""
    return ids.task_id(slot.run_id, unit_of(slot, state)) == slot.task_id


def unit_of(slot: Slot, state: TasksState) -> Unit:
    """The unit that an answer in this slot is a result of."""
    return Unit(stage=state.run.stage, round=state.run.round, number=slot.number)
