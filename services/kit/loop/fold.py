"""Folding one run's records into its state; what a reactor, a replay and a benchmark all call. Pure."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError

from concord.kit.ids import id_bytes
from concord.kit.log import Record
from concord.kit.log.erased import digest
from concord.kit.log.topics import Topic
from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work

State = TypeVar("State")


@dataclass(frozen=True)
class Append:
    """`due` wants this fact in the log; its blobs are written first, so whoever reads the fact finds them."""

    event: Event
    blobs: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Dispatch:
    """`due` wants this unit done."""

    topic: Topic
    # Its partition is this modulo those that the topic has.
    place: int
    work: Work
    # It was asked for before and is silent: only if it does not wait in its queue.
    again: bool = False


@dataclass(frozen=True)
class Context:
    """What `due` may know besides the state."""

    now: float
    # work_id → when this replica issued it last; lost on restart, which only issues again.
    issued: Mapping[str, float]
    # The last folded event of the run and the hash chain over its events up to there.
    offset: int
    history_sha256: str


@dataclass(frozen=True)
class Fold(Generic[State]):
    """The pure functions that make a reactor."""

    # Higher: stored snapshots are worthless, fold again from the log.
    version: int
    initial: Callable[[str], State]
    # (state, [(event, append time)]) → (new state, names of the rows that changed)
    evolve: Callable[[State, Sequence[tuple[Event, float]]], tuple[State, frozenset[str]]]
    row: Callable[[State, str], bytes | None]
    restore: Callable[[str, Mapping[str, bytes]], State]
    due: Callable[[State, Context], Sequence[Append | Dispatch]]
    active: Callable[[State], bool]


@dataclass(frozen=True)
class Folded(Generic[State]):
    """One run as folded so far. Pure: replay uses the very same."""

    state: State
    # Ids of all events folded so far, 16 bytes each.
    ids: set[bytes]
    offset: int = -1
    history: bytes = bytes(32)
    chunks: int = 0
    corrupt: str = ""
    duplicates: int = 0
    unknown: int = 0


def start_run(fold: Fold, run_id: str) -> Folded:
    """A run of which nothing is folded yet."""
    return Folded(fold.initial(run_id), set())


def fold_records(fold: Fold, run: Folded, records: Sequence[Record]) -> tuple[Folded, dict[str, bytes | None]]:
    """Folds one run's next records; returns the run and the rows that changed."""
    if run.corrupt or not records:
        return run, {}
    after, touched, new_ids = _folded(fold, run, records)
    rows: dict[str, bytes | None] = {name: fold.row(after.state, name) for name in touched}
    if run.offset < 0:
        # Where a reader begins.
        rows["~first"] = records[0].offset.to_bytes(8)
    rows["~folded"] = after.history + after.offset.to_bytes(8) + after.corrupt.encode()
    if new_ids:
        rows[f"~ids/{run.chunks:08}"] = b"".join(new_ids)
    return after, rows


def replay_records(fold: Fold, run: Folded, records: Sequence[Record]) -> Folded:
    """The run after its next records, for a reader that keeps no rows."""
    return run if run.corrupt or not records else _folded(fold, run, records)[0]


def _folded(fold: Fold, run: Folded, records: Sequence[Record]) -> tuple[Folded, frozenset[str], list[bytes]]:
    """The run after the records, the names of the rows that changed, the new ids.

    An event whose id is folded already is dropped: the first in the log wins. A record that does not decode, or that
    the fold cannot take, marks the run corrupt, and nothing behind it is folded, by every reader alike.
    """
    sha256 = hashlib.sha256
    fresh: list[tuple[Event, float]] = []
    history, ids, new_ids, corrupt, duplicates, unknown = run.history, run.ids, [], "", 0, 0
    for record in records:
        try:
            event = Event.FromString(record.value)
            key = id_bytes(event.event_id)
        except (DecodeError, ValueError, TypeError) as error:  # a damaged page of a log may give a number for bytes
            corrupt = f"offset {record.offset} of partition {record.partition} does not decode: {error}"
            break
        if key in ids:
            duplicates += 1
            continue
        ids.add(key)
        new_ids.append(key)
        history = sha256(history + (digest(record) if record.headers else sha256(record.value).digest())).digest()
        if event.WhichOneof("kind") is None:
            unknown += 1
            continue
        fresh.append((event, record.at))
    try:
        state, touched = fold.evolve(run.state, fresh) if fresh else (run.state, frozenset())
    except Exception as error:  # whatever a fact does to a fold, it must not stop the other runs
        ids.difference_update(new_ids)
        return _one_by_one(fold, run, records, error)
    offset = max(run.offset, records[-1].offset)
    chunks, seen = run.chunks + bool(new_ids), (run.duplicates + duplicates, run.unknown + unknown)
    return Folded(state, ids, offset, history, chunks, corrupt, *seen), touched, new_ids


def _one_by_one(
    fold: Fold, run: Folded, records: Sequence[Record], error: Exception
) -> tuple[Folded, frozenset[str], list[bytes]]:
    """Folds up to the record that `evolve` cannot take, and marks the run corrupt there: the same place for every reader."""
    if len(records) == 1:
        where = f"offset {records[0].offset} of partition {records[0].partition}"
        return replace(run, corrupt=f"{where} does not fit: {type(error).__name__}: {error}"), frozenset(), []
    touched: frozenset[str] = frozenset()
    new_ids: list[bytes] = []
    for record in records:
        run, more, ids = _folded(fold, run, [record])
        touched, new_ids = touched | more, new_ids + ids
        if run.corrupt:
            break
    return run, touched, new_ids


def last_folded(mark: bytes) -> tuple[int, str]:
    """Offset of the last folded record, and why the run is corrupt, of a `~folded` row."""
    return int.from_bytes(mark[32:40]), mark[40:].decode()


def restore_run(fold: Fold, run_id: str, rows: Mapping[str, bytes]) -> Folded:
    """The run as `fold_records` left it in a store's rows."""
    if "~folded" not in rows:
        return start_run(fold, run_id)
    chunks = [rows[name] for name in sorted(rows) if name.startswith("~ids/")]
    ids = {chunk[at : at + 16] for chunk in chunks for at in range(0, len(chunk), 16)}
    mark = rows["~folded"]
    own = {name: value for name, value in rows.items() if not name.startswith("~")}
    offset, corrupt = last_folded(mark)
    return Folded(fold.restore(run_id, own), ids, offset, mark[:32], len(chunks), corrupt)
