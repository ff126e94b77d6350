"""A reactor folds the facts of its partitions into states and appends what is due. One `step()` at a time.

Why a barrier stands before `due`: a time-out must not overtake an answer that already stands in the log. So the clock
is read first, then the log's end, then everything up to that end is folded, and only then is `due` asked.
"""
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from google.protobuf.message import DecodeError

from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work
from services.kit import telemetry
from services.kit.blobs import Blobs
from services.kit.errors import Fenced
from services.kit.log import Entry, Log, Record
from services.kit.store import Position, RunChange, Store
from services.kit.topics import FACTS, Topic, fact_partition

State = TypeVar("State")
BATCH = 2000
# Runs that heard nothing new are asked this often all the same: for deadlines and for work that was lost.
TICK_S = 0.25


@dataclass(frozen=True)
class Say:
    """`due` wants this fact in the log; its blobs are written first, so whoever reads the fact finds them."""

    event: Event
    blobs: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Ask:
    """`due` wants this unit done."""

    topic: Topic
    partition: int
    work: Work


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
    due: Callable[[State, Context], Sequence[Say | Ask]]
    active: Callable[[State], bool]


@dataclass(frozen=True)
class Folded(Generic[State]):
    """One run as folded so far. Pure: replay uses the very same."""

    state: State
    ids: frozenset[str] | set[str]
    offset: int = -1
    history: bytes = bytes(32)
    chunks: int = 0
    corrupt: str = ""


def start_run(fold: Fold, run_id: str) -> Folded:
    """A run of which nothing is folded yet."""
    return Folded(fold.initial(run_id), set())


def fold_records(fold: Fold, run: Folded, records: Sequence[Record]) -> tuple[Folded, dict[str, bytes | None]]:
    """Folds one run's next records; returns the run and the rows that changed.

    An event whose id is folded already is dropped: the first in the log wins. A record that does not decode marks the
    run corrupt, and nothing behind it is folded, by every reader alike.
    """
    if run.corrupt or not records:
        return run, {}
    fresh: list[tuple[Event, float]] = []
    history, ids, new_ids, corrupt = run.history, run.ids, [], ""
    for record in records:
        try:
            event = Event.FromString(record.value)
            key = UUID(event.event_id).bytes
        except (DecodeError, ValueError) as error:
            corrupt = f"offset {record.offset} of partition {record.partition} does not decode: {error}"
            break
        if event.event_id in ids:
            telemetry.DUPLICATES.inc()
            continue
        ids.add(event.event_id)  # type: ignore[union-attr]  # only this function's caller holds the set
        new_ids.append(key)
        history = hashlib.sha256(history + hashlib.sha256(record.value).digest()).digest()
        if event.WhichOneof("kind") is None:
            telemetry.UNKNOWN_FACTS.inc()
            continue
        fresh.append((event, record.at))
    state, touched = fold.evolve(run.state, fresh) if fresh else (run.state, frozenset())
    offset = max(run.offset, records[-1].offset)
    rows: dict[str, bytes | None] = {name: fold.row(state, name) for name in touched}
    rows["~folded"] = history + offset.to_bytes(8) + corrupt.encode()
    if new_ids:
        rows[f"~ids/{run.chunks:08}"] = b"".join(new_ids)
    folded = replace(
        run, state=state, ids=ids, offset=offset, history=history, chunks=run.chunks + bool(new_ids), corrupt=corrupt
    )
    return folded, rows


def restore_run(fold: Fold, run_id: str, rows: Mapping[str, bytes]) -> Folded:
    """The run as `fold_records` left it in a store's rows."""
    if "~folded" not in rows:
        return start_run(fold, run_id)
    chunks = [rows[name] for name in sorted(rows) if name.startswith("~ids/")]
    ids = {str(UUID(bytes=chunk[at : at + 16])) for chunk in chunks for at in range(0, len(chunk), 16)}
    mark = rows["~folded"]
    own = {name: value for name, value in rows.items() if not name.startswith("~")}
    offset, corrupt = int.from_bytes(mark[32:40]), mark[40:].decode()
    return Folded(fold.restore(run_id, own), ids, offset, mark[:32], len(chunks), corrupt)


@dataclass
class _Partition:
    """What this replica holds of one partition."""

    position: Position
    runs: dict[str, Folded] = field(default_factory=dict)
    stirred: set[str] = field(default_factory=set)
    issued: dict[str, dict[str, float]] = field(default_factory=dict)


class Reactor:
    """Drives one fold over the partitions that the group gives it. Owns its consumer; `step` is not thread-safe."""

    def __init__(
        self,
        service: str,
        fold: Fold,
        log: Log,
        store: Store,
        blobs: Blobs,
        clock: Callable[[], float],
        project: Callable[[Any, Sequence[tuple[str, frozenset[str], Any]]], None] | None = None,
    ) -> None:
        """`project(connection, [(run, changed row names, state)])` writes a service's own tables in save's transaction."""
        self._service, self._fold, self._log, self._store = service, fold, log, store
        self._blobs, self._clock, self._project = blobs, clock, project
        self._partitions: dict[int, _Partition] = {}
        self._ticked = float("-inf")
        self._logger = structlog.get_logger(service=service)
        self._consumer = log.subscribe(FACTS, service, start=self._adopt)

    def _adopt(self, partition: int) -> int:
        """The group gave us this partition: take up where the store is, or fold again from the log's start."""
        position = self._store.position(self._service, partition)
        wanted = (self._log.log_id, self._fold.version)
        stale = (position.log_id, position.fold_version) != wanted
        if position != Position() and (stale or position.next_offset > self._log.end(FACTS, partition)):
            self._logger.warning("folding again from the log's start", partition=partition, stored=vars(position))
            self._store.discard(self._service, partition, self._forget(partition))
            position = Position()
        held = _Partition(position)
        for run_id in self._store.runs(self._service, partition, active_only=True):
            held.runs[run_id] = restore_run(self._fold, run_id, self._store.rows(self._service, run_id))
            held.stirred.add(run_id)
        self._partitions[partition] = held
        return position.next_offset

    def _forget(self, partition: int):
        if self._project is None:
            return None
        gone = [(run_id, frozenset(), None) for run_id in self._store.runs(self._service, partition)]
        return lambda connection: self._project(connection, gone)

    def step(self, timeout_s: float) -> int:
        """Folds what came, asks what is due where the log's end is reached; returns how many records and outputs."""
        now = self._clock()
        ends = self._consumer.ends()
        by_partition: dict[int, list[Record]] = {}
        for record in self._consumer.poll(timeout_s, BATCH):
            by_partition.setdefault(record.partition, []).append(record)
        owned = self._consumer.assignment()
        for partition in [p for p in self._partitions if p not in owned]:
            del self._partitions[partition]
        moved = 0
        for partition, records in by_partition.items():
            if partition in self._partitions:
                moved += self._take(partition, records)
        if tick := now - self._ticked >= TICK_S:
            self._ticked = now
        for partition, held in list(self._partitions.items()):
            if held.position.next_offset >= ends.get(partition, 1 << 62):
                moved += self._ask(held, now, set(held.runs) if tick else held.stirred & set(held.runs))
        return moved

    def _take(self, partition: int, records: Sequence[Record]) -> int:
        """Folds a batch and saves; a replica that was overtaken takes the partition up anew from the store."""
        held = self._partitions[partition]
        records = [record for record in records if record.offset >= held.position.next_offset]
        if not records:
            return 0
        by_run: dict[str, list[Record]] = {}
        for record in records:
            by_run.setdefault(record.key.decode(errors="replace"), []).append(record)
        changes, projected = [], []
        for run_id, own in by_run.items():
            before = held.runs.get(run_id) or restore_run(self._fold, run_id, self._store.rows(self._service, run_id))
            run, rows = fold_records(self._fold, before, own)
            if run.corrupt and not before.corrupt:
                self._logger.error("run is corrupt", run=run_id, why=run.corrupt)
            alive = self._fold.active(run.state) and not run.corrupt
            changes.append(RunChange(run_id, alive, rows))
            projected.append((run_id, frozenset(rows), run.state))
            held.runs[run_id] = run
            held.stirred.add(run_id)
        to = Position(records[-1].offset + 1, self._log.log_id, self._fold.version)
        also = (lambda connection: self._project(connection, projected)) if self._project else None
        try:
            self._store.save(self._service, partition, held.position, to, changes, also)
        except Fenced as error:
            self._logger.warning("overtaken; taking the partition up anew", partition=partition, why=str(error))
            del self._partitions[partition]
            self._consumer.seek(partition, self._adopt(partition))
            return 0
        held.position = to
        telemetry.FOLDED.labels(self._service).inc(len(records))
        for change in changes:
            if not change.active:
                held.runs.pop(change.run_id)
                held.issued.pop(change.run_id, None)
        return len(records)

    def _ask(self, held: _Partition, now: float, run_ids: set[str]) -> int:
        outputs: list[tuple[str, Say | Ask]] = []
        for run_id in sorted(run_ids):
            run = held.runs[run_id]
            context = Context(now, held.issued.get(run_id, {}), run.offset, run.history.hex())
            outputs += [(run_id, output) for output in self._fold.due(run.state, context)]
        entries = [self._entry(run_id, output) for run_id, output in outputs]
        if entries:
            self._log.append(entries)
        for run_id, output in outputs:
            if isinstance(output, Ask):
                held.issued.setdefault(run_id, {})[output.work.work_id] = now
        held.stirred -= run_ids
        return len(entries)

    def _entry(self, run_id: str, output: Say | Ask) -> Entry:
        if isinstance(output, Ask):
            return Entry(output.topic, output.partition, b"", output.work.SerializeToString(deterministic=True))
        for content in output.blobs:
            self._blobs.put(content)
        value = output.event.SerializeToString(deterministic=True)
        return Entry(FACTS, fact_partition(run_id), run_id.encode(), value)

    def close(self) -> None:
        """Leaves the group; everything folded is saved already."""
        self._consumer.close()
