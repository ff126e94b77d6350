"""The worker: one fact per unit whatever fails, tries that outlive the process, nothing committed before it is said."""

from concurrent.futures import Future
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import Deferred, Permanent, Unavailable
from concord.kit.ids import result_id, run_id, work_id
from concord.kit.log import Entry
from concord.kit.log.topics import DEAD_LETTERS, FACTS, LABEL, fact_partition
from concord.kit.loop import worker as worker_module
from concord.kit.loop.units import Begun, of_future
from concord.kit.loop.worker import COMMIT_S, LAG_S, Worker
from concord.v1.events_pb2 import Event, Stage
from concord.v1.work_pb2 import DeadLetter, Work
from tests.simulation.memory_log import Broker, MemoryLog
from tests.simulation.process import Crashed, Fuse, Process, ProcessBlobs, ProcessLog

RUN = run_id("input", b"worker")


class Place:
    """A log, blobs and a clock; workers come and go."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.broker = Broker(lambda: self.now)
        self.log, self.blobs = MemoryLog(self.broker), MemoryBlobs()
        self.started: list[tuple[Work, Future]] = []

    def worker(self, start=None, concurrency: int = 2, process: Process | None = None, **more) -> Worker:
        log = ProcessLog(self.log, process) if process else self.log
        blobs = ProcessBlobs(self.blobs, process) if process else self.blobs
        return Worker("labeling", LABEL, start or self.start, log, blobs, lambda: self.now, concurrency, **more)

    def start(self, work: Work) -> Begun:
        self.started.append((work, Future()))
        return of_future(self.started[-1][1])

    def ask(self, *numbers: int, partition: int = 0) -> list[Work]:
        units = [{"stage": Stage.STAGE_LABEL, "number": number} for number in numbers]
        items = [Work(run_id=RUN, unit=unit, label_shard={}) for unit in units]
        for item in items:
            item.work_id = work_id(RUN, item.unit)
        self.log.append([Entry(LABEL, partition, b"", item.SerializeToString()) for item in items])
        return items

    def facts(self) -> list[Event]:
        return [Event.FromString(r.value) for r in self.log.read(FACTS, fact_partition(RUN), 0, 1000)]

    def kinds(self) -> list[tuple[int, str]]:
        return [(fact.unit.number, fact.WhichOneof("kind")) for fact in self.facts()]

    def dead(self) -> list[DeadLetter]:
        records = [r for at in range(DEAD_LETTERS.partitions) for r in self.log.read(DEAD_LETTERS, at, 0, 100)]
        return [DeadLetter.FromString(record.value) for record in records]

    def committed(self, partition: int = 0) -> int:
        return self.broker.group(LABEL, "labeling").committed.get(partition, 0)


def process() -> Process:
    return Process("labeling", lambda process, kind: None, lambda call: None)


def inline(do):
    """A `start` that does the unit on the spot."""

    def start(work: Work) -> Begun:
        future: Future = Future()
        try:
            future.set_result(do(work))
        except Exception as error:
            future.set_exception(error)
        return of_future(future)

    return start


def label(work: Work) -> Event:
    return Event(shard_labeled={"pair_index": [work.unit.number]})


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_work_item_becomes_one_fact_named_after_its_unit(place):
    (item,) = place.ask(3)
    place.worker(inline(label)).step(0)
    (fact,) = place.facts()
    assert fact.event_id == result_id(RUN, item.unit)
    assert (fact.run_id, fact.unit, list(fact.shard_labeled.pair_index)) == (RUN, item.unit, [3])
    assert place.committed() == 1


def lag() -> float:
    return REGISTRY.get_sample_value("concord_work_lag", {"service": "labeling"})


def test_what_is_not_settled_of_its_partitions_is_a_metric_taken_or_not(place):
    """Two units at once take four at most; ten wait."""
    place.ask(*range(10))
    worker = place.worker(concurrency=2)
    worker.step(0)
    assert lag() == 10
    for work, future in place.started[:2]:
        future.set_result(label(work))
    place.now += LAG_S / 2
    worker.step(0)
    assert lag() == 10, "it is looked at now and then alone"
    place.now += LAG_S
    worker.step(0)
    assert lag() == 8


def test_a_log_that_does_not_say_how_much_waits_stops_no_work(place):
    worker = place.worker(inline(label))
    worker.step(0)

    def away() -> int:
        raise Unavailable("the log is away")

    worker._consumer.behind = away
    place.ask(1)
    place.now += LAG_S
    worker.step(0)
    assert place.kinds() == [(1, "shard_labeled")]


def test_only_the_finished_front_of_a_partition_is_committed(place):
    place.ask(0, 1, 2)
    worker = place.worker(concurrency=3)
    worker.step(0)
    for number in (2, 1):
        place.started[number][1].set_result(label(place.started[number][0]))
        worker.step(0)
        assert place.committed() == 0
    place.started[0][1].set_result(label(place.started[0][0]))
    worker.step(0)
    assert place.committed() == 3
    assert [number for number, _ in place.kinds()] == [2, 1, 0]


def test_it_begins_no_more_units_than_it_may_and_keeps_polling(place):
    place.ask(*range(9))
    worker = place.worker(concurrency=2)
    for _ in range(5):
        worker.step(0)
    assert len(place.started) == 2
    for work, future in list(place.started):
        future.set_result(label(work))
    for _ in range(3):
        worker.step(0)
    assert [work.unit.number for work, _ in place.started] == [0, 1, 2, 3]


def test_a_result_is_made_once_and_said_again_without_doing_the_unit_again(place):
    place.ask(0)
    first = place.worker(inline(label))
    first.step(0)
    first.close()
    place.ask(0)

    def never(work: Work) -> Event:
        raise AssertionError("done already")

    place.worker(inline(never)).step(0)
    assert [fact.event_id for fact in place.facts()] == [place.facts()[0].event_id] * 2


def test_the_first_of_two_results_wins_in_both_replicas(place):
    """A zombie and its successor finish the same unit with different contents: they say the same fact."""
    (item,) = place.ask(0)
    group = place.broker.group(LABEL, "labeling")
    zombie = place.worker()
    zombie.step(0)
    group.expel(zombie._consumer)
    heir = place.worker()
    heir.step(0)
    place.started[1][1].set_result(Event(shard_labeled={"pair_index": [22]}))
    heir.step(0)
    place.started[0][1].set_result(Event(shard_labeled={"pair_index": [11]}))
    zombie._collect()
    zombie._say_all()
    assert [list(fact.shard_labeled.pair_index) for fact in place.facts()] == [[22], [22]]
    assert item.unit == place.facts()[0].unit


def test_three_raises_make_a_dead_letter_and_a_failure_and_the_partition_moves_on(place):
    place.ask(0, 1)

    def do(work: Work) -> Event:
        if work.unit.number == 0:
            raise RuntimeError("it always breaks")
        return label(work)

    worker = place.worker(inline(do))
    for _ in range(2):
        worker.step(0)
    assert place.kinds() == [(1, "shard_labeled")]
    assert place.committed() == 0
    for _ in range(20):
        place.now += 1.0
        worker.step(0)
    assert place.kinds() == [(1, "shard_labeled"), (0, "unit_failed")]
    assert place.facts()[1].unit_failed.attempts == 3
    (letter,) = place.dead()
    assert (letter.topic, letter.partition, letter.offset, letter.attempts) == (LABEL.name, 0, 0, 3)
    assert "it always breaks" in letter.error
    assert Work.FromString(letter.value).unit.number == 0
    assert place.committed() == 2


def test_it_waits_longer_after_each_raise(place):
    place.ask(0)
    tries: list[float] = []

    def do(work: Work) -> Event:
        tries.append(place.now)
        raise RuntimeError

    worker = place.worker(inline(do))
    for _ in range(60):
        worker.step(0)
        place.now += 0.5
    assert [second - first for first, second in pairwise(tries)] == [4.0, 8.0]


def test_raises_are_counted_across_processes(place):
    place.ask(0)
    for _ in range(worker_module.ATTEMPTS):

        def do(work: Work) -> Event:
            raise RuntimeError("it always breaks")

        worker = place.worker(inline(do))
        worker.step(0)
        worker.close()
    assert place.kinds() == [(0, "unit_failed")]


def test_what_cannot_be_helped_by_trying_fails_at_once(place):
    place.ask(0)

    def do(work: Work) -> Event:
        raise Permanent("the key is refused")

    place.worker(inline(do)).step(0)
    assert place.facts()[0].unit_failed.error == "the key is refused"
    assert len(place.dead()) == 1


@pytest.mark.parametrize(
    ("error", "again_s"), [(Deferred("the LLM is down", 12.0), 12.0), (Unavailable("S3"), worker_module.AWAY_S)]
)
def test_a_dependency_that_is_down_defers_the_unit_as_often_as_it_is_asked_and_makes_no_dead_letter(
    place, error, again_s
):
    def do(work: Work) -> Event:
        raise error

    worker = place.worker(inline(do))
    for times in range(1, 6):
        place.ask(0)
        worker.step(0)
        assert [fact.unit_deferred.times for fact in place.facts()] == list(range(1, times + 1))
    assert place.facts()[0].unit_deferred.retry_after_s == again_s
    assert len({fact.event_id for fact in place.facts()}) == 5
    assert place.dead() == []
    assert place.committed() == 5


@pytest.mark.parametrize(
    "poison",
    [
        b"\xff\xff\xff",
        b"",
        Work(work_id="x", run_id=RUN).SerializeToString(),
        Work(work_id=RUN, run_id="x").SerializeToString(),
    ],
)
def test_poison_goes_to_the_dead_letters_and_stops_nobody(place, poison):
    place.log.append([Entry(LABEL, 0, b"", poison)])
    place.ask(1)
    worker = place.worker(inline(label))
    for _ in range(3):
        worker.step(0)
    (letter,) = place.dead()
    assert (letter.value, letter.attempts) == (poison, 1)
    assert place.kinds() == [(1, "shard_labeled")]
    assert place.committed() == 2


def test_the_work_of_a_cancelled_run_is_passed_over(place):
    place.ask(0)
    place.worker(inline(label), cancelled=lambda run: run == RUN).step(0)
    assert place.facts() == []
    assert place.committed() == 1


def test_the_unit_of_a_run_that_is_cancelled_in_its_middle_is_stopped_and_its_item_is_settled(place):
    place.ask(0)
    cancelled: list[str] = []
    worker = place.worker(cancelled=cancelled.__contains__)
    worker.step(0)
    assert not place.started[0][1].cancelled()
    cancelled.append(RUN)
    worker.step(0)
    assert place.started[0][1].cancelled()
    assert place.facts() == []
    assert place.committed() == 1


def finish(place: Place, *numbers: int) -> None:
    for work, future in place.started:
        if work.unit.number in numbers:
            future.set_result(label(work))


def test_with_more_to_do_what_is_finished_is_committed_now_and_then_and_the_last_at_once(place):
    place.ask(0, 1, 2, 3)
    worker = place.worker(concurrency=4)
    worker.step(0)
    seen = []
    for number, later in ((0, 0.0), (1, COMMIT_S / 2), (2, COMMIT_S), (3, 0.0)):
        place.now += later
        finish(place, number)
        worker.step(0)
        seen.append(place.committed())
    assert seen == [1, 1, 3, 4]
    assert [number for number, _ in place.kinds()] == [0, 1, 2, 3]


def test_what_a_crash_finds_uncommitted_is_said_again_and_not_done_again(place):
    place.ask(0, 1, 2)
    first = place.worker(concurrency=3)
    first.step(0)
    for number in (0, 1):
        finish(place, number)
        first.step(0)
    assert place.committed() == 1
    first._consumer.close()
    second = place.worker(concurrency=3)
    second.step(0)
    assert [work.unit.number for work, _ in place.started] == [0, 1, 2, 2]
    assert [number for number, _ in place.kinds()] == [0, 1, 1]


def test_a_worker_that_is_to_stop_commits_what_it_has_finished_before_it_is_done(place):
    place.ask(0, 1, 2)
    worker = place.worker(concurrency=2)
    worker.step(0)
    finish(place, 0)
    worker.step(0)
    finish(place, 1)
    assert not worker.drain()
    worker.step(0)
    assert worker.drain()
    assert place.committed() == 2, "and the third is left to another"


def test_a_partition_that_was_taken_away_is_neither_finished_nor_committed(place):
    place.ask(0)
    worker = place.worker()
    worker.step(0)
    other = place.worker()
    for _ in range(2):
        worker.step(0)
        other.step(0)
    held_by = worker if 0 in worker._consumer.assignment() else other
    assert place.started[0][1].cancelled() == (held_by is other)
    place.started[-1][1].set_result(label(place.started[-1][0]))
    held_by.step(0)
    assert place.kinds() == [(0, "shard_labeled")]


def test_what_was_done_before_a_partition_came_back_does_not_commit_what_is_still_to_do(place):
    """The fact of item 1 waits for the log while the partition goes away and comes back; item 0 was never finished."""
    place.ask(0, 1)
    running = process()
    worker = place.worker(process=running)
    worker.step(0)
    place.started[1][1].set_result(label(place.started[1][0]))
    running.fuse = Fuse("outage before", 1, ("append",))
    with pytest.raises(Unavailable):
        worker.step(0)
    (group,) = place.broker.groups.values()
    group.expel(running.consumer)
    running.fuse = Fuse("outage before", 1, ("poll",))
    with pytest.raises(Unavailable):
        worker.step(0)
    worker._consumer.assignment = frozenset
    worker._drop_revoked()
    worker._consumer.assignment = running.consumer.assignment
    worker._consumer.poll(0, 0)
    worker._say_all()
    assert place.kinds() == [(1, "shard_labeled")]
    assert place.committed() == 0


def die(place: Place, times: int) -> None:
    """So many processes die with the unit in them."""
    for _ in range(times):
        worker = place.worker()
        worker.step(0)
        place.broker.group(LABEL, "labeling").expel(worker._consumer)


def test_a_unit_in_which_two_processes_died_waits_for_the_others_and_runs_alone(place):
    place.ask(0)
    die(place, worker_module.SUSPICIONS)
    place.started.clear()
    place.ask(1)
    worker = place.worker(concurrency=4)
    (group,) = place.broker.groups.values()
    # The harmless one is under way already when the suspect comes.
    group.committed[0] = 1
    worker.step(0)
    worker._consumer.go_back(9)
    worker.step(0)
    place.ask(2)
    worker.step(0)
    assert [work.unit.number for work, _ in place.started] == [1], "nothing begins while the suspect waits"
    for expected in ([1, 0], [1, 0, 2]):
        work, future = place.started[-1]
        future.set_result(label(work))
        worker.step(0)
        worker.step(0)
        assert [work.unit.number for work, _ in place.started] == expected


def test_a_unit_that_kills_its_process_also_when_it_is_alone_becomes_a_dead_letter(place):
    place.ask(0)
    die(place, worker_module.SUSPICIONS + worker_module.DEATHS_ALONE)
    place.worker().step(0)
    assert place.kinds() == [(0, "unit_failed")]
    assert "died 10 times" in place.dead()[0].error


def test_a_unit_that_is_done_at_last_was_not_to_blame_for_the_processes_that_died(place):
    place.ask(0)
    die(place, worker_module.SUSPICIONS + worker_module.DEATHS_ALONE - 1)
    worker = place.worker(inline(label))
    worker.step(0)
    assert place.kinds() == [(0, "shard_labeled")] and not place.dead()


def test_rebalances_and_orderly_ends_are_no_deaths(place):
    place.ask(0)
    for _ in range(10):
        worker = place.worker()
        worker.step(0)
        worker.close()
    worker = place.worker(inline(label))
    worker.step(0)
    assert place.kinds() == [(0, "shard_labeled")]
    assert not any(
        place.blobs.marker(f"begun/{work_id(RUN, place.facts()[0].unit)}.{n}") == b"alone" for n in range(12)
    )


class NoEnds(MemoryBlobs):
    """Cannot write how the first `lost` units ended; each try takes `takes_s` of the place's time."""

    def __init__(self, place: Place, lost: int, takes_s: float) -> None:
        super().__init__()
        self.place, self.lost, self.takes_s = place, lost, takes_s
        self.refused = 0

    def note(self, name: str, content: bytes) -> None:
        if name.startswith("ended/") and self.refused < self.lost:
            self.refused += 1
            self.place.now += self.takes_s
            raise Unavailable("the blobs are away")
        super().note(name, content)


def test_an_end_that_cannot_be_written_holds_up_neither_the_other_ends_nor_the_group(place):
    place.blobs = NoEnds(place, lost=1, takes_s=0)
    items = place.ask(0, 1, 2)
    worker = place.worker(concurrency=3)
    worker.step(0)
    worker.close()
    assert all(future.cancelled() for _, future in place.started)
    assert [place.blobs.marker(f"ended/{item.work_id}.1") for item in items] == [None, b"stopped", b"stopped"]
    place.worker(inline(label)).step(0)
    assert place.kinds() == [(0, "shard_labeled"), (1, "shard_labeled")]


def test_blobs_that_stay_away_hold_up_an_end_only_once(place):
    place.blobs = NoEnds(place, lost=100, takes_s=45)
    place.ask(*range(8))
    worker = place.worker(concurrency=8)
    worker.step(0)
    worker.close()
    assert place.blobs.refused == 1
    assert all(future.cancelled() for _, future in place.started)


CALLS = ("poll", "append", "commit", "marker", "put_if_absent", "note")


@pytest.mark.parametrize("kind", ["outage before", "outage after", "crash before", "crash after"])
@given(number=st.integers(1, 40), raises=st.booleans())
def test_wherever_it_is_interrupted_every_unit_gets_its_fact_and_attempts_are_not_counted_twice(kind, number, raises):
    """The `number`-th call to the world fails or kills the process; whoever goes on brings it to the same end."""
    place = Place()
    place.ask(0, 1, 2)
    done: dict[int, int] = {}

    def do(work: Work) -> Event:
        done[work.unit.number] = done.get(work.unit.number, 0) + 1
        if raises and done[work.unit.number] <= 2:
            raise RuntimeError("not the third time")
        return label(work)

    running = process()
    running.fuse = Fuse(kind, number, CALLS if kind != "outage after" else CALLS[1:])
    worker = place.worker(inline(do), process=running)
    for _ in range(30):
        try:
            worker.step(0)
        except Unavailable:
            assert kind.startswith("outage")
        except Crashed:
            place.broker.group(LABEL, "labeling").expel(running.consumer)
            worker = place.worker(inline(do), process=process())
        place.now += 2.0
    assert {number for number, _ in place.kinds()} == {0, 1, 2}
    assert {kind for _, kind in place.kinds()} == {"shard_labeled"}
    assert place.committed() == 3
    assert place.dead() == []


def test_a_worker_that_drains_finishes_what_it_began_and_leaves_the_rest_to_others():
    place = Place()
    worker = place.worker(concurrency=1)
    place.ask(0, 1)
    worker.step(0)
    assert not worker.drain()
    place.started[0][1].set_result(Event(shard_labeled={}))
    worker.step(0)
    assert place.kinds() == [(0, "shard_labeled")]
    assert worker.drain() and len(place.started) == 1
    worker.close()
    place.worker().step(0)
    assert [work.unit.number for work, _ in place.started] == [0, 1]
