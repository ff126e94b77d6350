"""A run read from the log: folded, printed, compared, done again. Nothing here writes, and no group's position moves."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice, takewhile

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from concord.kit.errors import InvalidInput, NotFound
from concord.kit.ids import unit_name
from concord.kit.log import Log, Record
from concord.kit.loop.events import events_of
from concord.kit.loop.fold import Folded, replay_records, start_run
from concord.kit.loop.run_records import BATCH, records
from concord.kit.plural import many
from concord.runs import service as runs
from concord.runs import state as run_state
from concord.runs import work
from concord.runs.state import RunState
from concord.v1.events_pb2 import Event, Stage, Unit
from concord.v1.runs_service_pb2 import RunStatus, RunView
from concord.v1.work_pb2 import Work

# So many differing rows of a column are shown; a shorter column is shown whole.
MOST_ROWS = 3


def fold(log: Log, run_id: str, until: int | None = None) -> Folded[RunState]:
    """The run as its facts say it is."""
    return fold_of(run_id, records(log, run_id, until))


def fold_of(run_id: str, found: Iterable[Record]) -> Folded[RunState]:
    """The run as these of its records say it is."""
    run, found = start_run(runs.fold(), run_id), iter(found)
    while batch := list(islice(found, BATCH)):
        run = replay_records(runs.fold(), run, batch)
    return run


def view_of(run: Folded[RunState]) -> RunView:
    """The run as a caller sees it: CORRUPT, with why, where a fact cannot be folded."""
    view = RunView()
    view.CopyFrom(run.state.view)
    if run.corrupt:
        view.status, view.detail = RunStatus.RUN_STATUS_CORRUPT, run.corrupt
    return view


def cut(found: Iterable[Record], until: str) -> Iterator[Record]:
    """The records that `--until` leaves: up to an offset (inclusive), or before a time (ISO 8601, local unless it says
    otherwise); all of them where it is empty. Raises InvalidInput at once."""
    if not until:
        return iter(found)
    if until.isdecimal():
        return takewhile(lambda record: record.offset <= int(until), found)
    try:
        at = datetime.fromisoformat(until).timestamp()
    except ValueError:
        raise InvalidInput(f"--until {until!r}: an offset or a time such as 2026-01-31T12:00 is expected") from None
    return takewhile(lambda record: record.at < at, found)


def events(log: Log, run_id: str, until: int | None = None) -> list[tuple[Event, float]]:
    """The run's facts and their append times, duplicates left out."""
    return events_of(records(log, run_id, until))


def as_json(run: Folded[RunState]) -> dict[str, object]:
    """A run's state for people and for comparison."""
    state = run.state
    return {
        "offset": run.offset,
        "history_sha256": run.history.hex(),
        "facts": len(run.ids),
        "duplicates": run.duplicates,
        "unknown": run.unknown,
        "corrupt": run.corrupt or None,
        "state": MessageToDict(run_state.snapshot(state), preserving_proto_field_name=True),
        "last_round": MessageToDict(state.view.last_round, preserving_proto_field_name=True),
        "settled_units": {str(n): event.WhichOneof("kind") for n, event in sorted(state.settled.items())},
        "shards": len(state.shards),
    }


def event_line(record: Record) -> str:
    """A fact as one JSON line: the format of the golden histories. What does not decode is given as its bytes in hex."""
    try:
        event = MessageToDict(Event.FromString(record.value), preserving_proto_field_name=True)
    except DecodeError:
        return json.dumps(
            {"offset": record.offset, "at": record.at, "undecodable": record.value.hex()}, separators=(",", ":")
        )
    return json.dumps({"offset": record.offset, "at": record.at, "event": event}, separators=(",", ":"))


def differences(one: object, other: object, path: str = "", names: tuple[str, str] = ("log", "store")) -> Iterator[str]:
    """Where two JSON values differ, one line each; columns of the same length are compared row by row."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted(set(one) | set(other)):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key), names)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other) > MOST_ROWS:
        rows = [(at, here, there) for at, (here, there) in enumerate(zip(one, other, strict=True)) if here != there]
        shown = ", ".join(f"[{at}] {json.dumps(here)} → {json.dumps(there)}" for at, here, there in rows[:MOST_ROWS])
        if rows:
            more = ", …" if len(rows) > MOST_ROWS else ""
            yield f"{path}: {len(rows):,} of {many(len(one), 'row')} differ ({names[0]} → {names[1]}): {shown}{more}"
    elif one != other:
        yield f"{path}: {names[0]} {json.dumps(one)} · {names[1]} {json.dumps(other)}"


def parse_unit(text: str) -> Unit:
    """`LABEL/17`, `TRIAGE.2/0`, `LABEL/17~1` (as it was retried) → the unit."""
    stage, _, number = text.partition("/")
    name, _, round_ = stage.partition(".")
    number, _, retry = number.partition("~")
    try:
        found = Unit(stage=Stage.Value(f"STAGE_{name.upper()}"), round=int(round_ or 0), number=int(number))
        found.retry = int(retry or 0)
        return found
    except ValueError:
        raise InvalidInput(
            f"--unit {text!r}: STAGE/N or STAGE.ROUND/N is expected, such as LABEL/17 or TRIAGE.2/0"
        ) from None


def work_of(log: Log, run_id: str, unit: Unit) -> tuple[Work, Event]:
    """The work item that led to the unit's fact, made anew from the facts before it, and that fact.

    A unit that failed and was retried is `LABEL/17` and then `LABEL/17~1`: each has its own fact.
    """
    before: list[Record] = []
    for record in records(log, run_id):
        try:
            event = Event.FromString(record.value)
        except DecodeError:  # the run is corrupt from here on: nothing behind it counts
            break
        if event.unit == unit and event.WhichOneof("kind") not in ("unit_deferred", None):
            run = replay_records(runs.fold(), start_run(runs.fold(), run_id), before)
            if run.state.open is None:
                break
            return work.work_item(run.state, unit.number).work, event
        before.append(record)
    raise NotFound(f"the run has no fact of unit {unit_name(unit)}; `--events` lists what it has")
