"""A run read from the log: folded, printed, compared, done again. Nothing here writes, and no group's position moves."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice

from google.protobuf.json_format import MessageToDict

from concord.v1.events_pb2 import Event, Stage, Unit
from concord.v1.work_pb2 import Work
from services.kit.errors import InvalidInput, NotFound
from services.kit.fold import Folded, replay_records, start_run
from services.kit.ids import unit_name
from services.kit.log import Log, Record
from services.kit.store import Store
from services.kit.topics import FACTS, fact_partition
from services.runs import service as runs
from services.runs import state as run_state
from services.runs import work
from services.runs.state import RunState

# Facts read and folded at once: those that soon go away again keep the garbage collector from looking at all of them.
BATCH = 500


def find_run(store: Store, name: str, folder: str) -> str:
    """The run of this folder that `name` means: its id, an unambiguous beginning of it, or `last`."""
    known = store.runs(runs.SERVICE)
    if not known:
        raise NotFound(f"no runs in {folder} yet; `concord run` begins one")
    if name == "last" and known:
        return known[-1]
    found = [run_id for run_id in known if run_id.startswith(name)] if name else []
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput(f"{name!r} is the beginning of {len(found)} runs; give more of it: {', '.join(found[:5])}")
    raise NotFound(f"no run {name!r}; `concord runs` lists them")


def offset_until(log: Log, run_id: str, until: str) -> int | None:
    """`--until`: an offset, or a time (ISO 8601, local unless it says otherwise) before which facts count."""
    if not until:
        return None
    if until.isdigit():
        return int(until) + 1
    try:
        at = datetime.fromisoformat(until).timestamp()
    except ValueError:
        raise InvalidInput(f"--until {until!r}: an offset or a time such as 2026-01-31T12:00 is expected") from None
    return log.offset_at(FACTS, fact_partition(run_id), at)


def records(log: Log, run_id: str, until: int | None = None) -> Iterator[Record]:
    """The run's records in order, below offset `until`."""
    partition, offset, key = fact_partition(run_id), 0, run_id.encode()
    end = log.end(FACTS, partition) if until is None else until
    while offset < end:
        batch = log.read(FACTS, partition, offset, min(BATCH, end - offset))
        if not batch:
            return
        yield from (record for record in batch if record.key == key)
        offset = batch[-1].offset + 1


def fold(log: Log, run_id: str, until: int | None = None) -> Folded[RunState]:
    """The run as its facts say it is."""
    run, found = start_run(runs.fold(), run_id), records(log, run_id, until)
    while batch := list(islice(found, BATCH)):
        run = replay_records(runs.fold(), run, batch)
    return run


def events(log: Log, run_id: str, until: int | None = None) -> list[tuple[Event, float]]:
    """The run's facts and their append times, duplicates left out."""
    seen: set[str] = set()
    out = []
    for record in records(log, run_id, until):
        event = Event.FromString(record.value)
        if event.event_id not in seen:
            seen.add(event.event_id)
            out.append((event, record.at))
    return out


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
    """A fact as one JSON line: the format of the golden histories."""
    event = MessageToDict(Event.FromString(record.value), preserving_proto_field_name=True)
    return json.dumps({"offset": record.offset, "at": record.at, "event": event}, separators=(",", ":"))


def differences(one: object, other: object, path: str = "") -> Iterator[str]:
    """Where two JSON values differ, one line each."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted(set(one) | set(other)):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif one != other:
        yield f"{path}: log {json.dumps(one)} · store {json.dumps(other)}"


def parse_unit(text: str) -> Unit:
    """`LABEL/17`, `TRIAGE.2/0` → the unit."""
    stage, _, number = text.partition("/")
    name, _, round_ = stage.partition(".")
    try:
        return Unit(stage=Stage.Value(f"STAGE_{name.upper()}"), round=int(round_ or 0), number=int(number))
    except ValueError:
        raise InvalidInput(
            f"--unit {text!r}: STAGE/N or STAGE.ROUND/N is expected, such as LABEL/17 or TRIAGE.2/0"
        ) from None


def work_of(log: Log, run_id: str, unit: Unit) -> tuple[Work, Event]:
    """The work item that led to the unit's fact, made anew from the facts before it, and that fact."""
    before: list[Record] = []
    for record in records(log, run_id):
        event = Event.FromString(record.value)
        if event.unit == unit and event.WhichOneof("kind") not in ("unit_deferred", None):
            run = replay_records(runs.fold(), start_run(runs.fold(), run_id), before)
            if run.state.open is None:
                break
            return work.ask(run.state, unit.number).work, event
        before.append(record)
    raise NotFound(f"the run has no fact of unit {unit_name(unit)}; `--events` lists what it has")
