"""A command appends one fact and answers once the shared store has folded it: a caller reads its own writes.

The replica that answers may not own the run's partition; so it watches the store, not a reactor.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from concord.kit import tracing
from concord.kit.errors import Unavailable
from concord.kit.log import Log
from concord.kit.log.topics import fact_partition
from concord.kit.loop.facts import Headers, entry_of
from concord.kit.store import Store
from concord.v1.events_pb2 import Event

WAIT_S = 10.0
LOOK_AGAIN_S = 0.1


def append_and_wait(log: Log, store: Store, service: str, events: Sequence[Event], wait_s: float = WAIT_S) -> None:
    """Appends the events of one run and waits until `service` has folded them.

    Raises Unavailable when it takes longer than `wait_s`; the events are in the log then, and saying them again is
    harmless.
    """
    run_id = events[0].run_id
    with appending(events) as headers:
        offsets = log.append([entry_of(event, headers) for event in events])
    wait_for(store, service, fact_partition(run_id), max(offsets), wait_s)


@contextmanager
def appending(events: Sequence[Event]) -> Iterator[Headers]:
    """A span around the append of facts of one run; gives the headers that their records get."""
    run_id, kind = events[0].run_id, events[0].WhichOneof("kind") or "unknown"
    with tracing.span(f"append {kind}", run_id, kind="producer", concord__facts=len(events)):
        yield tracing.headers(run_id)


def wait_for(store: Store, service: str, partition: int, offset: int, wait_s: float = WAIT_S) -> None:
    """Waits until `service` has folded what stands there. Raises Unavailable when it takes longer than `wait_s`."""
    deadline = time.monotonic() + wait_s
    while not store.passed(service, partition, offset, LOOK_AGAIN_S):
        if time.monotonic() > deadline:
            raise Unavailable(f"the {service} service has not taken the command in within {wait_s:.0f} s; say it again")
