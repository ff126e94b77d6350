"""Simulation: a hundred runs on twelve replicas, whose queues are longer than the silence after which work is issued again."""

from collections import Counter
from concurrent.futures import Future

from concord.kit.blobs import MemoryBlobs
from concord.kit.ids import event_id, run_id
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, LABEL, fact_partition
from concord.kit.loop.reactor import Reactor
from concord.kit.loop.units import of_future
from concord.kit.loop.worker import Worker
from concord.kit.store.memory import MemoryStore
from concord.runs import service as runs
from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work
from tests.run_world import config, result, shards_of
from tests.simulation.memory_log import Broker, MemoryLog

RUNS, REPLICAS, AT_ONCE, UNIT_S, STEP_S = 100, 12, 4, 40.0, 20.0
UNITS, PAIRS = 16, 64


class Hundred:
    """A hundred runs in LABEL, one replica of runs, twelve of labeling; time goes by in steps."""

    def __init__(self, count: int = RUNS) -> None:
        self.count = count
        self.now, self.blobs, self.store = 1_000.0, MemoryBlobs(), MemoryStore()
        self.broker = Broker(lambda: self.now)
        self.log = MemoryLog(self.broker)
        self.under_way: list[tuple[float, Work, Future]] = []
        # When each run's last unit so far ended.
        self.ended_at: dict[str, float] = {}
        self.names = [run_id(str(number), b"hundred") for number in range(count)]
        for name in self.names:
            self._start(name)
        self.reactor = self.new_reactor()
        begin = self._begin
        self.workers = [
            Worker("labeling", LABEL, begin, self.log, self.blobs, lambda: self.now, AT_ONCE) for _ in range(REPLICAS)
        ]

    def new_reactor(self) -> Reactor:
        return Reactor("runs", runs.fold(120.0), self.log, self.store, self.blobs, lambda: self.now)

    def _start(self, name: str) -> None:
        given = config(method="none", pilot=-1, window=UNITS)
        kinds: list[dict] = [{"run_created": {"config": given}}, {"pairs_added": {"shards": shards_of(PAIRS)}}]
        kinds.append({"run_started": {"pairs_uri": "pairs", "pairs": PAIRS}})
        for at, kind in enumerate(kinds):
            event = Event(event_id=event_id(name, str(at)), run_id=name, **kind)
            self.log.append([Entry(FACTS, fact_partition(name), name.encode(), event.SerializeToString())])

    def _begin(self, work: Work):
        future: Future = Future()
        self.under_way.append((self.now + UNIT_S, work, future))
        return of_future(future)

    def end_units(self) -> None:
        due = [one for one in self.under_way if one[0] <= self.now]
        self.under_way = [one for one in self.under_way if one[0] > self.now]
        for _, work, future in due:
            if future.set_running_or_notify_cancel():
                future.set_result(result(work))
                self.ended_at[work.run_id] = self.now

    def step(self) -> None:
        self.reactor.step(0)
        for worker in self.workers:
            worker.step(0)
        self.end_units()
        self.now += STEP_S

    def issued(self) -> Counter[str]:
        records = [record for records, _ in self.broker.topics[LABEL.name].values() for record in records]
        return Counter(Work.FromString(record.value).work_id for record in records)

    def labelled(self) -> bool:
        return len(self.issued()) >= self.count * UNITS and not list(self.log.waiting(LABEL, "labeling"))


def test_queues_of_minutes_make_no_unit_come_twice_and_a_new_replica_of_runs_issues_none_again():
    world = Hundred()
    for number in range(400):
        world.step()
        if number == 15:
            world.reactor.close()
            world.reactor = world.new_reactor()
        if world.labelled():
            break
    assert world.labelled(), "it does not end"
    assert world.now - 1_000.0 > 5 * 120, "queues were no longer than the silence: nothing was tried"
    assert set(world.issued().values()) == {1}
    # A unit that ends is noticed a step later, and the next one begun in the one after that.
    straight_s = RUNS * UNITS * (UNIT_S + 2 * STEP_S) / (REPLICAS * AT_ONCE)
    took = sorted(at - 1_000.0 for at in world.ended_at.values())
    assert len(took) == RUNS and took[int(0.95 * RUNS)] <= 1.5 * straight_s


def test_what_is_lost_comes_again_after_the_silence_and_nothing_else():
    world = Hundred(8)
    for _ in range(3):
        world.reactor.step(0)
    lost = world.broker.topics[LABEL.name][0][0]
    gone = [Work.FromString(record.value).work_id for record in lost]
    assert gone
    world.broker.group(LABEL, "labeling").committed[0] = len(lost)
    for number in range(400):
        world.step()
        if world.labelled() and number > 20:
            break
    more = {name for name, times in world.issued().items() if times > 1}
    assert more == set(gone)
