"""A run's facts are read where they lie, and not from the partition's beginning."""

import pytest

from concord.kit.blobs import MemoryBlobs
from concord.kit.ids import event_id, run_id
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.reactor import Reactor
from concord.kit.loop.run_records import places, records, records_at
from concord.kit.store.memory import MemoryStore
from concord.runs import service as runs
from concord.v1.events_pb2 import Event
from tests.run_world import config
from tests.simulation.memory_log import Broker, MemoryLog

NAMES = [name for name in (run_id(str(n), b"places") for n in range(400)) if fact_partition(name) == 3][:6]


class World:
    """Six runs in one partition, one after the other; the third comes back at the end."""

    def __init__(self) -> None:
        self.log, self.store = MemoryLog(Broker(lambda: 1.0)), MemoryStore()
        for name in NAMES:
            self.say(name, "created", run_created={"config": config()})
            for number in range(20):
                self.say(name, f"budget {number}", budget_changed={"human_budget": number})

    def say(self, name: str, what: str, **kind: object) -> None:
        event = Event(event_id=event_id(name, what), run_id=name, **kind)
        self.log.append([Entry(FACTS, 3, name.encode(), event.SerializeToString())])

    def fold(self) -> None:
        reactor = Reactor("runs", runs.fold(), self.log, self.store, MemoryBlobs(), lambda: 1.0)
        for _ in range(3):
            reactor.step(0)
        reactor.close()

    def read(self, name: str) -> int:
        """So many records are gone through; what is found is what a reading of everything finds."""
        parts = places(self.log, self.store, "runs", name)
        assert list(records_at(self.log, name, parts)) == list(records(self.log, name))
        return sum(end - begin for begin, end in parts)


@pytest.fixture
def world() -> World:
    return World()


def test_only_the_part_between_a_runs_first_and_last_fact_is_read(world):
    world.fold()
    assert [world.read(name) for name in NAMES] == [21] * len(NAMES)


def test_what_is_not_folded_yet_is_looked_through_as_well(world):
    world.fold()
    world.say(NAMES[2], "late", budget_changed={"human_budget": 7})
    assert (world.read(NAMES[2]), world.read(NAMES[0])) == (22, 22)
    world.fold()
    assert world.read(NAMES[0]) == 21
    assert world.read(NAMES[2]) == 4 * 21 + 1, "its facts lie that far apart"


def test_where_the_store_knows_nothing_everything_is_read(world):
    assert world.read(NAMES[1]) == 6 * 21


def test_a_corrupt_run_is_read_to_the_end(world):
    world.log.append([Entry(FACTS, 3, NAMES[1].encode(), b"\xff\xff")])
    world.fold()
    assert world.read(NAMES[1]) == 5 * 21 + 1
