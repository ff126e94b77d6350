"""What is appended: a run's facts; of a unit its result, that it failed or waits, the dead letter of its item. Pure."""

from concord.kit.ids import event_id, unit_name
from concord.kit.log import Entry, Record
from concord.kit.log.topics import DEAD_LETTERS, FACTS, fact_partition
from concord.v1.events_pb2 import Event, UnitDeferred, UnitFailed, Usage
from concord.v1.work_pb2 import DeadLetter, Work

MOST_WORDS = 2_000
# Of a record: what led to it (kit/tracing.py).
Headers = tuple[tuple[str, bytes], ...]


def named(work: Work, event: Event, result: str) -> bytes:
    """The unit's result, whose id is `result`, as it stands in the log: `kind` and `usage` are the unit's own."""
    event.event_id, event.run_id = result, work.run_id
    event.unit.CopyFrom(work.unit)
    return event.SerializeToString(deterministic=True)


def fact(run_id: str, value: bytes, headers: Headers = ()) -> Entry:
    """A fact of the run, as a record of the run's partition."""
    return Entry(FACTS, fact_partition(run_id), run_id.encode(), value, headers)


def entry_of(event: Event, headers: Headers = ()) -> Entry:
    """The same of an event that names its run."""
    return fact(event.run_id, event.SerializeToString(deterministic=True), headers)


def failed(work: Work, attempts: int, error: str, usage: Usage | None = None) -> Entry:
    """Tries are spent; `usage` is what the last one cost all the same."""
    return _say(work, "failed", usage=usage, unit_failed=UnitFailed(error=error[:MOST_WORDS], attempts=attempts))


def deferred(work: Work, reason: str, retry_after_s: float, times: int, usage: Usage | None = None) -> Entry:
    """A dependency is down, for the `times`-th time; `usage` is what was spent until then."""
    said = UnitDeferred(reason=reason[:MOST_WORDS], retry_after_s=retry_after_s, times=times)
    return _say(work, f"deferred-{times}", usage=usage, unit_deferred=said)


def _say(work: Work, name: str, **kind: object) -> Entry:
    own = event_id(work.run_id, name, unit_name(work.unit))
    return entry_of(Event(event_id=own, run_id=work.run_id, unit=work.unit, **kind))


def dead_letter(record: Record, attempts: int, error: str) -> Entry:
    """The item as it came, where people look for it."""
    letter = DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        attempts=attempts,
        error=error[:MOST_WORDS],
        value=record.value,
    )
    place = record.offset % DEAD_LETTERS.partitions
    return Entry(DEAD_LETTERS, place, record.key, letter.SerializeToString(deterministic=True))
