"""Workers of one group on a real broker: what moves is ended, what stays goes on, what closes is taken over at once."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from concord.kit.blobs import MemoryBlobs
from concord.kit.ids import result_id, run_id, work_id
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, TRIAGE, fact_partition
from concord.kit.loop.units import Begun
from concord.kit.loop.worker import Worker
from concord.v1.events_pb2 import Event, Stage
from concord.v1.work_pb2 import Work

RUN = run_id("workers", b"")
# Three units in each partition.
UNITS = 3 * TRIAGE.partitions


def item(number: int) -> Work:
    unit = {"stage": Stage.STAGE_TRIAGE, "number": number}
    work = Work(run_id=RUN, unit=unit, triage_round={})
    work.work_id = work_id(RUN, work.unit)
    return work


class Member:
    """A worker whose units go on until the test ends them."""

    def __init__(self, log, blobs) -> None:
        self.units: dict[int, Future] = {}
        self.begun: list[int] = []
        self.worker = Worker("triage", TRIAGE, self._start, log, blobs, lambda: 1_000.0, UNITS)

    def _start(self, work: Work) -> Begun:
        self.begun.append(work.unit.number)
        future = self.units[work.unit.number] = Future()
        future.set_running_or_notify_cancel()
        return Begun(future, lambda: self.units.pop(work.unit.number, None))

    @property
    def partitions(self) -> frozenset[int]:
        return self.worker._consumer.assignment()


def step(members: list[Member], until: Callable[[], bool]) -> None:
    for _ in range(600):
        if until():
            return
        for member in members:
            member.worker.step(0.02)
    raise AssertionError([(sorted(member.partitions), sorted(member.units)) for member in members])


@pytest.fixture
def place(open_kafka):
    log, blobs = open_kafka(session_ms=30_000), MemoryBlobs()
    log.append(
        [Entry(TRIAGE, number % TRIAGE.partitions, b"", item(number).SerializeToString()) for number in range(UNITS)]
    )
    return log, blobs


def test_when_a_third_worker_joins_units_of_kept_partitions_go_on_and_only_those_that_moved_are_ended(place):
    log, blobs = place
    one, two = Member(log, blobs), Member(log, blobs)
    step([one, two], lambda: len(one.partitions) == len(two.partitions) == 4 and len({*one.units, *two.units}) == UNITS)
    before = {member: (member.partitions, dict(member.units), len(member.begun)) for member in (one, two)}
    three = Member(log, blobs)
    step([one, two, three], lambda: len(three.partitions) == 2 and len(three.units) == 6)
    moved = three.partitions
    assert sorted(three.units) == [number for number in range(UNITS) if number % TRIAGE.partitions in moved]
    for member in (one, two):
        partitions, units, begun = before[member]
        kept = {number: future for number, future in units.items() if number % TRIAGE.partitions not in moved}
        # The very same futures: nothing of them was ended, nothing begun anew.
        assert member.partitions == partitions - moved
        assert member.units == kept and len(member.begun) == begun
    for member in (one, two, three):
        for number, future in member.units.items():
            future.set_result(Event(round_triaged={"asked": [number]}))
    step([one, two, three], lambda: log.end(FACTS, fact_partition(RUN)) >= UNITS)
    said = [Event.FromString(record.value) for record in log.read(FACTS, fact_partition(RUN), 0, 1000)]
    assert sorted(event.event_id for event in said) == sorted(
        result_id(RUN, item(number).unit) for number in range(UNITS)
    )
    for member in (one, two, three):
        member.worker.close()


def test_a_worker_that_closes_leaves_its_unfinished_units_to_the_others_at_once(place):
    log, blobs = place
    one, two = Member(log, blobs), Member(log, blobs)
    step([one, two], lambda: len(one.partitions) == len(two.partitions) == 4 and len({*one.units, *two.units}) == UNITS)
    left = set(two.units)
    two.worker.close()
    assert not two.units
    # Sessions last 30 s here: nobody waits for that.
    step([one], lambda: set(one.units) == set(range(UNITS)))
    assert left <= set(one.begun)
    one.worker.close()
