"""Dead letters: the items that were given up, and how they are put back.

A letter is named by its place in the dead letters' topic, `PARTITION/OFFSET`. Putting one back is recorded there too: a
mark in the same partition, in the same append, names the letter, and a letter with a mark is not put back again. Should a
crash lose the mark alone, a second time is harmless: work and facts are known by their names.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from concord.kit.errors import NotFound
from concord.kit.ids import event_id
from concord.kit.log import Entry, Log, Record, topics
from concord.kit.log.topics import DEAD_LETTERS
from concord.kit.loop.facts import entry_of
from concord.runs.state import ENDED, RunState
from concord.v1.events_pb2 import Event, StageRetried, Unit
from concord.v1.work_pb2 import DeadLetter, Work

# A letter holds a work item, which may be half a megabyte.
BATCH = 100
# A caller of the service waits for it: so many records of each partition, the last ones, and so many letters of each that are
# the run's.
MOST_READ = 2_000
MOST_HELD = 200


@dataclass(frozen=True)
class Letter:
    """One dead letter; `unit` and `run_id` are empty where its bytes do not decode."""

    name: str
    partition: int
    at: float
    key: bytes
    said: DeadLetter
    run_id: str = ""
    unit: Unit | None = None
    # When it was put back; None: not yet.
    back_at: float | None = None
    # How, and why, in words.
    back_says: str = ""


@dataclass(frozen=True)
class Step:
    """What putting a letter back comes to: entries for the log, or none and why nothing would change."""

    letter: Letter
    says: str
    entries: tuple[Entry, ...] = ()


def read(log: Log) -> list[Letter]:
    """All dead letters that the log still holds, in the order of their time."""
    return _in_order(letter for partition in range(DEAD_LETTERS.partitions) for letter in _letters(log, partition))


def latest(log: Log, run_id: str) -> list[Letter]:
    """The run's dead letters in the order of their time, of the last MOST_READ records of each partition MOST_HELD at most."""
    found: list[Letter] = []
    for partition in range(DEAD_LETTERS.partitions):
        found += _letters(log, partition, run_id, MOST_READ, MOST_HELD)
    return _in_order(found)


def _in_order(letters: Iterable[Letter]) -> list[Letter]:
    return sorted(letters, key=lambda letter: (letter.at, letter.name))


def _letters(log: Log, partition: int, run_id: str = "", records: int = 0, most: int = 0) -> Iterable[Letter]:
    """Those of the run, or of all where none is named: the last `most` among the last `records`; 0: all."""
    found: dict[str, Letter] = {}
    for record in _records(log, partition, records):
        said = DeadLetter.FromString(record.value)
        marked = f"{said.partition}/{said.offset}"
        if said.topic != DEAD_LETTERS.name:
            letter = _letter(record, said)
            if run_id in ("", letter.run_id):
                found[letter.name] = letter
            if most and len(found) > most:
                del found[next(iter(found))]
        elif marked in found and found[marked].back_at is None:
            found[marked] = replace(found[marked], back_at=record.at, back_says=said.error)
    return found.values()


def _records(log: Log, partition: int, last: int) -> Iterator[Record]:
    try:
        offset = max(0, log.end(DEAD_LETTERS, partition) - last) if last else 0
        while batch := log.read(DEAD_LETTERS, partition, offset, BATCH):
            yield from batch
            offset = batch[-1].offset + 1
    except NotFound:  # nothing was ever given up, so nobody has made the topic
        return


def _letter(record: Record, said: DeadLetter) -> Letter:
    name = f"{record.partition}/{record.offset}"
    try:
        work = Work.FromString(said.value)
    except DecodeError:
        return Letter(name, record.partition, record.at, record.key, said)
    unit = work.unit if work.run_id else None
    return Letter(name, record.partition, record.at, record.key, said, work.run_id, unit)


@dataclass(frozen=True)
class Order:
    """Who wants letters back, and why; both may be empty."""

    actor: str = ""
    reason: str = ""


def plan(letters: Sequence[Letter], state_of: Callable[[str], RunState], order: Order | None = None) -> list[Step]:
    """What putting back each of them would come to, now that their runs stand as they stand."""
    retried: set[tuple[str, int, int]] = set()
    return [_step(letter, state_of, retried, order or Order()) for letter in letters]


def _step(
    letter: Letter, state_of: Callable[[str], RunState], retried: set[tuple[str, int, int]], order: Order
) -> Step:
    if letter.back_at is not None:
        return Step(letter, "was put back before; should it have failed again, there is a newer letter of it")
    if letter.unit is None:
        return _raw(letter, order, "goes back as it came; its bytes did not decode, so have the worker mended first")
    state, unit = state_of(letter.run_id), letter.unit
    if (
        state.view.status in ENDED
        or state.open is None
        or (state.open.stage, state.open.round) != (unit.stage, unit.round)
    ):
        return Step(letter, "would change nothing: its stage is over, and what failed there stays out of the run")
    if unit.retry != state.open.retries.get(unit.number, 0):
        return Step(letter, "would change nothing: the unit was tried anew since")
    settled = state.settled.get(unit.number)
    if settled is None:
        return _raw(letter, order, "goes back as it came; nothing is known of its unit yet")
    if settled.WhichOneof("kind") != "unit_failed":
        return Step(letter, "would change nothing: the unit is done")
    return _retry(letter, state, retried, order)


def _raw(letter: Letter, order: Order, says: str) -> Step:
    topic = next((topic for topic in topics.ALL if topic.name == letter.said.topic), None)
    if topic is None:
        return Step(letter, f"cannot go back: there is no topic {letter.said.topic!r}")
    back = Entry(
        topic, letter.said.partition, letter.key, letter.said.value, (("requeued-from", letter.name.encode()),)
    )
    return Step(letter, says, (back, _mark(letter, order, "as it came")))


def _retry(letter: Letter, state: RunState, retried: set[tuple[str, int, int]], order: Order) -> Step:
    """A unit that failed is settled, and what is settled stays: only a retry, which is a fact, gives it a new name."""
    assert state.open is not None
    place = (letter.run_id, state.open.stage, state.open.round)
    says = "its stage is retried: all of its failed units go out again under new names"
    mark = _mark(letter, order, "by a retry of its stage")
    if place in retried:
        return Step(letter, says, (mark,))
    retried.add(place)
    event = Event(
        event_id=event_id(letter.run_id, f"retry/letter/{letter.name}"),
        run_id=letter.run_id,
        actor=order.actor,
        stage_retried=StageRetried(stage=state.open.stage, round=state.open.round, reason=order.reason),
    )
    return Step(letter, says, (entry_of(event), mark))


def _mark(letter: Letter, order: Order, how: str) -> Entry:
    """A dead letter that names a dead letter: it was put back."""
    offset = int(letter.name.partition("/")[2])
    says = f"put back {how}" + (f": {order.reason}" if order.reason else "")
    said = DeadLetter(topic=DEAD_LETTERS.name, partition=letter.partition, offset=offset, error=says)
    return Entry(DEAD_LETTERS, letter.partition, letter.key, said.SerializeToString(deterministic=True))


def put_back(log: Log, steps: Sequence[Step]) -> int:
    """Does what was planned; returns how many letters went back. Raises Unavailable: then the same again is harmless."""
    if entries := [entry for step in steps for entry in step.entries]:
        log.append(entries)
    return sum(bool(step.entries) for step in steps)
