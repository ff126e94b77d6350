"""Whether a run was cancelled, for whoever works on it: a cancelled run must not go on spending.

Workers hold no database. They ask the front door, about all runs that they hold at once, and go on where it does not answer:
what a cancelled run's unit says then is heard by nobody.
"""

import threading
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import grpc
import structlog

from concord.kit import rpc
from concord.kit.errors import ConcordError
from concord.kit.store import Store
from concord.runs.state import restore
from concord.v1.runs_service_pb2 import RUN_STATUS_CANCELLED, EndpointPace, FindCancelledRequest
from concord.v1.runs_service_pb2_grpc import RunServiceStub

SERVICE = "runs"
# An answer is believed for so long.
FRESH_S = 1.0
# A call takes no longer; the thread that asks has more to do.
CALL_S = 0.5
# Whoever did not answer is asked again after so long.
AWAY_S = 5.0
# A run that nobody asked about for so long is forgotten.
FORGOTTEN_S = 300.0
# In one call; what is beyond it comes with the next one.
MOST_ASKED = 1_000

# Endpoints that are told of in one call.
MOST_PACES = 20

# (URL, window, most) of the endpoints that this process asks, those asked last at the end.
Paces = Callable[[], Sequence[tuple[str, int, int]]]
# Which of these runs were cancelled.
Look = Callable[[Sequence[str]], set[str]]


def in_store(store: Store) -> Look:
    """Looks into the rows of `runs` themselves."""

    def look(run_ids: Sequence[str]) -> set[str]:
        rows = store.rows_of(SERVICE, run_ids, ["state"])
        views = {run_id: restore(run_id, rows.get(run_id, {})).view for run_id in run_ids}
        return {run_id for run_id, view in views.items() if view.status == RUN_STATUS_CANCELLED}

    return look


def at_door(address: str, paces: Paces = tuple) -> tuple[Look, Callable[[], None]]:
    """Asks RunService at this address, and tells it what this process found out of endpoints; and what closes the connection."""
    channel, worker = rpc.channel(address), str(uuid4())
    stub = RunServiceStub(channel)

    def look(run_ids: Sequence[str]) -> set[str]:
        told = [EndpointPace(url=url, window=window, most=most) for url, window, most in paces()][-MOST_PACES:]
        asked = FindCancelledRequest(run_ids=run_ids, worker=worker, paces=told)
        return set(stub.FindCancelled(asked, timeout=CALL_S).run_ids)

    return look, channel.close


class Cancelled:
    """`cancelled(run_id)`, at most a second stale while somebody answers. Thread-safe."""

    def __init__(self, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        self._look, self._clock = look, clock
        self._lock = threading.Lock()
        # Run → when it was last asked about, and when it was last answered for.
        self._asked: dict[str, float] = {}
        self._answered: dict[str, float] = {}
        self._cancelled: set[str] = set()
        self._away_until = float("-inf")

    def __call__(self, run_id: str) -> bool:
        with self._lock:
            now = self._clock()
            self._asked[run_id] = now
            is_old = now - self._answered.get(run_id, float("-inf")) >= FRESH_S
            if is_old and run_id not in self._cancelled and now >= self._away_until:
                self._ask(run_id, now)
            return run_id in self._cancelled

    def _ask(self, run_id: str, now: float) -> None:
        """About this run, and about all others that are asked about now and then, so that one call serves them all."""
        for gone in [one for one, at in self._asked.items() if now - at > FORGOTTEN_S]:
            del self._asked[gone]
            self._answered.pop(gone, None)
            self._cancelled.discard(gone)
        others = [one for one in self._asked if one != run_id and one not in self._cancelled]
        names = [run_id, *sorted(others, key=lambda one: self._answered.get(one, 0.0))][:MOST_ASKED]
        try:
            self._cancelled |= self._look(names) & set(names)
        except (ConcordError, grpc.RpcError) as error:
            self._away_until = now + AWAY_S
            why = error.details() if isinstance(error, grpc.Call) else str(error)
            structlog.get_logger().warning("nobody says which runs were cancelled; working on", why=why)
            return
        self._answered |= dict.fromkeys(names, now)
