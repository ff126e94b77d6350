"""The reactor: folds to the log's end before it asks, saves before it says, and any replica may die or be overtaken."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.ids import event_id, run_id, uri_of
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, LABEL, fact_partition
from concord.kit.loop.fold import Append, Dispatch, Fold
from concord.kit.loop.reactor import TICK_S, Reactor
from concord.kit.store import Position
from concord.kit.store.memory import MemoryStore
from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work
from tests.simulation.memory_log import Broker, MemoryLog
from tests.simulation.process import Crashed, Fuse, Process, ProcessBlobs, ProcessLog, ProcessStore

RUN = run_id("input", b"reactor")
PLACE = fact_partition(RUN)
DEADLINE_S = 60.0
ANSWERS = 3


@dataclass(frozen=True)
class Quiz:
    """A run of the tests: collects answers until there are three, or the time is up; then it says how it ended."""

    opened_at: float = 0.0
    answers: tuple[str, ...] = ()
    over: str = ""


def evolve(quiz: Quiz, events) -> tuple[Quiz, frozenset[str]]:
    for event, at in events:
        match event.WhichOneof("kind"):
            case "run_started":
                quiz = replace(quiz, opened_at=at)
            case "run_resumed":
                quiz = replace(quiz, answers=(*quiz.answers, event.run_resumed.cause_id))
            case "run_finished":
                quiz = replace(quiz, over=event.run_finished.dataset_uri)
    return quiz, frozenset({"quiz"})


def due(quiz: Quiz, context) -> list[Append | Dispatch]:
    if not quiz.opened_at or quiz.over:
        return []
    late = context.now >= quiz.opened_at + DEADLINE_S
    if len(quiz.answers) >= ANSWERS or late:
        content = ",".join(sorted(quiz.answers)).encode()
        over = Event(event_id=event_id(RUN, "over"), run_id=RUN, run_finished={"dataset_uri": uri_of(content)})
        return [Append(over, (content,))]
    work = Work(work_id=event_id(RUN, "work"), run_id=RUN)
    return [] if work.work_id in context.issued else [Dispatch(LABEL, 0, work)]


def row(quiz: Quiz, name: str) -> bytes:
    return repr((quiz.opened_at, quiz.answers, quiz.over)).encode()


def restore(run: str, rows) -> Quiz:
    return Quiz(*eval(rows["quiz"])) if "quiz" in rows else Quiz()


FOLD = Fold(1, lambda run: Quiz(), evolve, row, restore, due, lambda quiz: not quiz.over)


class Place:
    """A log, a store, blobs and a clock; reactors come and go."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.broker = Broker(lambda: self.now)
        self.log, self.store, self.blobs = MemoryLog(self.broker), MemoryStore(), MemoryBlobs()

    def reactor(self, process: Process | None = None, fold: Fold = FOLD, log=None, project=None, new_log="") -> Reactor:
        if process is None:
            return Reactor("quiz", fold, log or self.log, self.store, self.blobs, lambda: self.now, project, new_log)
        log, store = ProcessLog(self.log, process), ProcessStore(self.store, process)
        return Reactor("quiz", fold, log, store, ProcessBlobs(self.blobs, process), lambda: self.now, project)

    def say(self, *events: Event) -> None:
        entries = [Entry(FACTS, PLACE, RUN.encode(), event.SerializeToString()) for event in events]
        self.log.append(entries)

    def start(self) -> None:
        self.say(Event(event_id=event_id(RUN, "started"), run_id=RUN, run_started={}))

    def answer(self, *names: str) -> None:
        self.say(*[Event(event_id=event_id(RUN, name), run_id=RUN, run_resumed={"cause_id": name}) for name in names])

    def endings(self) -> list[str]:
        events = [Event.FromString(record.value) for record in self.log.read(FACTS, PLACE, 0, 1000)]
        return [event.run_finished.dataset_uri for event in events if event.HasField("run_finished")]

    def stored(self) -> Quiz:
        return restore(RUN, self.store.rows("quiz", RUN))

    def expel(self, reactor: Reactor) -> None:
        self.broker.group(FACTS, "quiz").expel(reactor._consumer)


def process() -> Process:
    return Process("quiz", lambda process, kind: None, lambda call: None)


@pytest.fixture
def place() -> Place:
    return Place()


def drive(reactor: Reactor, steps: int = 3) -> Reactor:
    """Steps: the first takes partitions over, the second asks, the third hears what was said."""
    for _ in range(steps):
        reactor.step(0)
    return reactor


def ended(*answers: str) -> str:
    return uri_of(",".join(sorted(answers)).encode())


def test_it_folds_and_says_what_is_due_and_hears_of_it_itself(place):
    place.start()
    place.answer("a", "b", "c")
    reactor = place.reactor()
    assert [reactor.step(0) for _ in range(4)] == [4, 1, 1, 0]
    assert place.endings() == [ended("a", "b", "c")]
    assert place.stored().over == ended("a", "b", "c")
    assert place.store.runs("quiz", active_only=True) == []


def test_what_an_event_names_lies_in_the_blob_store_before_it_is_said(place):
    place.start()
    place.answer("a", "b", "c")
    running = process()
    running.fuse = Fuse("outage before", 1, ("put",))
    reactor = place.reactor(running)
    with pytest.raises(Unavailable):
        drive(reactor)
    assert place.endings() == []
    drive(reactor)
    assert place.blobs.get(place.endings()[0]) == b"a,b,c"


def test_work_is_issued_once_by_a_replica_and_by_the_next_one_only_if_it_waits_no_more(place):
    place.start()
    reactor = place.reactor()
    for _ in range(4):
        reactor.step(0)
        place.now += 1.0
    assert place.log.end(LABEL, 0) == 1
    reactor.close()
    second = drive(place.reactor())
    assert place.log.end(LABEL, 0) == 1
    second.close()
    place.broker.group(LABEL, "labeling").committed[0] = 1
    drive(place.reactor())
    assert place.log.end(LABEL, 0) == 2


def test_a_time_out_never_overtakes_an_answer_that_stands_in_the_log(place):
    """The answer came in time but cannot be polled yet; the reactor sees the log's end and waits for it."""
    place.start()
    reactor = place.reactor()
    reactor.step(0)
    place.now += DEADLINE_S - 1.0
    place.broker.delay = lambda: 5.0
    place.answer("in time")
    place.now += 2.0
    reactor.step(0)
    assert place.endings() == []
    place.now += 5.0
    reactor.step(0)
    assert place.endings() == [ended("in time")]


def test_silence_is_noticed_by_the_clock_alone(place):
    place.start()
    reactor = place.reactor()
    reactor.step(0)
    place.now += DEADLINE_S + TICK_S
    reactor.step(0)
    assert place.endings() == [ended()]


def test_a_zombie_is_fenced_and_takes_up_what_it_gets_back(place):
    place.start()
    zombie = place.reactor()
    zombie.step(0)
    place.expel(zombie)
    place.answer("a")
    heir = place.reactor()
    heir.step(0)
    held = zombie._partitions[PLACE]
    assert zombie._take(PLACE, place.log.read(FACTS, PLACE, held.position.next_offset, 10)) == 0
    heir.close()
    place.answer("b", "c")
    for _ in range(3):
        zombie.step(0)
    assert place.stored().over == ended("a", "b", "c")


def test_an_owner_whom_a_late_zombie_overtook_takes_the_partition_up_anew(place):
    place.start()
    zombie = place.reactor()
    zombie.step(0)
    place.expel(zombie)
    heir = drive(place.reactor())
    place.answer("a")
    assert zombie._take(PLACE, place.log.read(FACTS, PLACE, 1, 10)) == 1
    drive(heir)
    place.answer("b", "c")
    drive(heir)
    assert place.stored().over == ended("a", "b", "c")


def test_two_replicas_that_both_believe_to_own_a_partition_make_one_decision(place):
    place.start()
    zombie = place.reactor()
    zombie.step(0)
    place.expel(zombie)
    place.answer("a", "b", "c")
    heir = place.reactor()
    heir.step(0)
    zombie._take(PLACE, place.log.read(FACTS, PLACE, 1, 10))
    zombie._ask(zombie._partitions[PLACE], place.now, {RUN})
    for _ in range(3):
        heir.step(0)
    assert place.stored().over == ended("a", "b", "c")


@pytest.mark.parametrize("kind", ["outage before", "outage after", "crash before", "crash after"])
@given(number=st.integers(1, 60), batches=st.lists(st.sampled_from(["a", "b", "c"]), min_size=3, max_size=8))
def test_wherever_it_is_interrupted_the_run_ends_the_same(kind, number, batches):
    """The `number`-th call to the world fails or kills the process, between any two answers, some of them repeated."""
    place = Place()
    place.start()
    running = process()
    running.name = "runs"
    running.fuse = Fuse(kind, number)
    reactor = None
    said = [*batches, "a", "b", "c"]
    for _ in range(len(said) + 12):
        if said:
            place.answer(said.pop(0))
        try:
            reactor = reactor or place.reactor(running)
            reactor.step(0)
        except Unavailable:
            assert kind.startswith("outage")
        except Crashed:
            place.broker.group(FACTS, "quiz").expel(running.consumer)
            running, reactor = process(), None
        place.now += 1.0
    assert set(place.endings()) == {ended("a", "b", "c")}
    assert place.stored() == Quiz(1_000.0, place.stored().answers, ended("a", "b", "c"))
    assert sorted(place.stored().answers) == ["a", "b", "c"]


def test_a_poll_that_fails_after_it_moved_on_leaves_no_hole(place):
    place.start()
    running = process()
    running.name = "runs-0"
    reactor = place.reactor(running)
    reactor.step(0)
    place.answer("a", "b", "c")
    running.fuse = Fuse("outage after", 1, ("poll",))
    with pytest.raises(Unavailable):
        reactor.step(0)
    for _ in range(2):
        reactor.step(0)
    assert place.stored().over == ended("a", "b", "c")


@pytest.mark.parametrize("why", ["another log that was agreed to", "a newer fold", "a position behind the log's end"])
def test_a_store_that_followed_something_else_is_folded_again_from_the_start(place, why):
    place.start()
    place.answer("a")
    forgotten = []

    def project(connection, changes) -> None:
        forgotten.extend(run for run, names, state in changes if state is None)

    first = place.reactor()
    first.step(0)
    first.close()
    fold = replace(FOLD, version=2) if why == "a newer fold" else FOLD
    log = MemoryLog(place.broker)
    if why.startswith("another log"):
        log.log_id = "restored from elsewhere"
    if why == "a position behind the log's end":
        old = place.store.position("quiz", PLACE)
        place.store.save("quiz", PLACE, old, replace(old, next_offset=99), [], None)
    place.reactor(fold=fold, log=log, project=project, new_log=log.log_id).step(0)
    assert forgotten == [RUN]
    assert place.stored().answers == ("a",)
    assert place.store.position("quiz", PLACE) == Position(2, log.log_id, fold.version)


def test_a_store_that_followed_another_log_is_asked_about_and_nothing_of_it_is_thrown_away(place):
    place.start()
    place.answer("a")
    drive(place.reactor()).close()
    kept, log = place.stored(), MemoryLog(place.broker)
    log.log_id = "another cluster"
    with pytest.raises(InvalidInput, match="CONCORD_NEW_LOG=another cluster"):
        place.reactor(log=log).step(0)
    assert place.stored() == kept
    assert place.store.position("quiz", PLACE).log_id == place.log.log_id


def test_an_older_version_leaves_to_a_newer_one_what_that_has_folded_and_neither_folds_twice(place):
    """During a rollout both run, and partitions go from one to the other and back."""
    discards = []
    whole, place.store.discard = place.store.discard, lambda *given: (discards.append(given), whole(*given))
    place.start()
    place.answer("a")
    old = drive(place.reactor())
    newer = place.reactor(fold=replace(FOLD, version=2))
    for _ in range(6):
        newer.step(0), old.step(0)
    place.expel(old)
    drive(newer)
    assert place.store.position("quiz", PLACE).fold_version == 2
    for _ in range(3):
        place.expel(newer)
        drive(old)
        place.answer("b")
        assert place.store.position("quiz", PLACE).fold_version == 2
        drive(newer)
        place.expel(old)
        drive(newer)
    assert len(discards) == 1
    assert place.stored().answers == ("a", "b")


def test_a_replica_that_leaves_all_to_a_newer_version_is_ready_all_the_same(place):
    place.start()
    drive(place.reactor(fold=replace(FOLD, version=2))).close()
    assert drive(place.reactor()).ready()


def queue(place) -> list[Work]:
    return [Work.FromString(record.value) for record in place.log.waiting(LABEL, "labeling")]


def impatient(quiz: Quiz, context) -> list[Append | Dispatch]:
    """Asks for the work again after every minute of silence."""
    work = Work(work_id=event_id(RUN, "work"), run_id=RUN)
    issued = context.issued.get(work.work_id)
    return [Dispatch(LABEL, 0, work, issued is not None)] if issued is None or context.now - issued >= 60 else []


def test_silent_work_is_issued_again_only_once_it_waits_in_its_queue_no_more(place):
    place.start()
    reactor = drive(place.reactor(fold=replace(FOLD, due=impatient)))
    for _ in range(10):
        place.now += 61
        drive(reactor)
    assert len(queue(place)) == 1, "it waits: nothing is lost"
    place.broker.group(LABEL, "labeling").committed[0] = 1
    for _ in range(2):
        place.now += 61
        drive(reactor)
    assert len(queue(place)) == 1, "it was taken and never heard of again: once more"


def test_work_goes_to_all_partitions_that_its_topic_has_by_now(place):
    place.log.partitions = lambda topic: 100
    fold = replace(FOLD, due=lambda quiz, context: [Dispatch(LABEL, 60, Work(work_id=event_id(RUN, "w"), run_id=RUN))])
    place.start()
    drive(place.reactor(fold=fold))
    assert place.log.end(LABEL, 60) > 0


def test_a_deleted_store_is_made_anew_by_the_next_replica(place):
    place.start()
    place.answer("a", "b", "c")
    first = drive(place.reactor())
    kept = place.store.rows("quiz", RUN)
    first.close()
    place.store = MemoryStore()
    drive(place.reactor())
    again = place.store.rows("quiz", RUN)
    assert {name: again[name] for name in ("quiz", "~folded")} == {name: kept[name] for name in ("quiz", "~folded")}


def test_a_corrupt_run_stops_and_the_others_of_its_partition_go_on(place):
    place.start()
    place.log.append([Entry(FACTS, PLACE, b"another run", b"\xff\xff")])
    place.answer("a", "b", "c")
    drive(place.reactor())
    assert place.stored().over == ended("a", "b", "c")
    assert place.store.runs("quiz", active_only=True) == []
    assert b"does not decode" in place.store.rows("quiz", "another run")["~folded"]


def test_a_projection_hears_of_every_change_in_the_transaction_that_makes_it(place):
    heard: list[tuple[str, frozenset[str]]] = []

    def project(connection, changes) -> None:
        assert place.store.position("quiz", PLACE) == Position()
        heard.extend((run, names) for run, names, state in changes)

    place.start()
    place.reactor(project=project).step(0)
    ((run, names),) = heard
    assert run == RUN
    assert "quiz" in names


@pytest.mark.parametrize("key", [b"x" * 37, b"a\0b", b""])
def test_a_fact_of_no_possible_run_is_passed_over_and_the_others_are_folded(place, key):
    place.start()
    place.log.append([Entry(FACTS, PLACE, key, Event(event_id=event_id(RUN, "stray"), run_id=RUN).SerializeToString())])
    place.answer("a")
    reactor = place.reactor()
    reactor.step(0)
    assert place.stored().answers == ("a",)
    assert place.store.position("quiz", PLACE).next_offset == 3
    assert place.store.runs("quiz") in ([RUN], [RUN, ""])
