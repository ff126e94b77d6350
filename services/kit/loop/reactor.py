"""A reactor folds the facts of its partitions into states and appends what is due. One `step()` at a time.

Why a barrier stands before `due`: a time-out must not overtake an answer that already stands in the log. So the clock
is read first, then the log's end, then everything up to that end is folded, and only then is `due` asked.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import structlog
from google.protobuf.message import DecodeError

from concord.kit import telemetry, tracing
from concord.kit.blobs import Blobs
from concord.kit.errors import Fenced, InvalidInput
from concord.kit.ids import unit_name
from concord.kit.log import GONE, Entry, Log, Record
from concord.kit.log.topics import FACTS, Topic
from concord.kit.loop.facts import fact
from concord.kit.loop.fold import Append, Context, Dispatch, Fold, Folded, fold_records, restore_run
from concord.kit.store import Also, Position, RunChange, Store
from concord.v1.work_pb2 import Work

# A run, the names of its rows that changed, its state now; None: the run is forgotten here.
Change = tuple[str, frozenset[str], Any]
BATCH = 2000
# Runs that heard nothing new are asked this often all the same: for deadlines and for work that was lost.
TICK_S = 0.25
# What waits in the queues is looked at this often at most, and for no more than this share of the time.
QUEUES_S, QUEUES_SHARE = 5.0, 20
# Of a run's id: a UUID's text.
LONGEST_ID = 36


UNTRACED = nullcontext()


def _named(output: Append | Dispatch) -> str:
    """In a trace: the unit that is issued, or the kind of the fact."""
    return unit_name(output.work.unit) if isinstance(output, Dispatch) else str(output.event.WhichOneof("kind"))


def work_id_of(record: Record) -> str:
    """The unit's id; empty where the record is no work that this version can read."""
    try:
        return Work.FromString(record.value).work_id
    except DecodeError:
        return ""


def is_run(key: bytes) -> bool:
    """Whether a run may be called so: any short text that a store can hold."""
    try:
        return len(key.decode()) <= LONGEST_ID and b"\0" not in key
    except UnicodeDecodeError:
        return False


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
        project: Callable[[Any, Sequence[Change]], None] | None = None,
        new_log: str = "",
    ) -> None:
        """`project(connection, [(run, changed row names, state)])` writes a service's own tables in save's transaction.

        `new_log`: the name of a log for which what the store holds of another one, or of a newer fold, may be thrown away.
        """
        self._service, self._fold, self._log, self._store = service, fold, log, store
        self._blobs, self._clock, self._project, self._new_log = blobs, clock, project, new_log
        # Partitions that a newer version has folded: they are left to it.
        self._aside: set[int] = set()
        # Runs that another replica may have issued work for, and the units that wait in the queues as last looked at.
        self._taken_over: set[str] = set()
        self._queued: frozenset[str] = frozenset()
        self._looked_at: set[Topic] = set()
        self._look_at_queues = float("-inf")
        self._partitions: dict[int, _Partition] = {}
        # Polled but not folded (the store failed, or another replica overtook us): to be taken up anew.
        self._lost: set[int] = set()
        self._overtaken: set[int] = set()
        self._unsure = False
        self._ticked = float("-inf")
        # The clock, and then the log's ends as they were at that time.
        self._barrier: tuple[float, Mapping[int, int]] = (float("-inf"), {})
        # The log's ends when the group took this replica in; up to there it has to come before it is ready.
        self._goals: dict[int, int] | None = None
        self._ready = False
        self._logger = structlog.get_logger(service=service)
        self._folded, self._fold_lag = telemetry.FOLDED.labels(service), telemetry.FOLD_LAG.labels(service)
        self._consumer = log.subscribe(FACTS, service, start=self._adopt)

    def _adopt(self, partition: int) -> int:
        """The group gave us this partition: take up where the store is, or fold again from the log's start."""
        position = self._store.position(self._service, partition)
        self._aside.discard(partition)
        if position != Position() and self._is_a_newer_version_s(position, partition):
            self._aside.add(partition)
            self._partitions.pop(partition, None)
            return position.next_offset
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
            self._taken_over.add(run_id)
        self._look_at_queues = float("-inf")
        self._partitions[partition] = held
        return position.next_offset

    def _is_a_newer_version_s(self, position: Position, partition: int) -> bool:
        """Whether a newer fold has been here, to which the partition is left: else two versions would fold it again and again,
        in turn, for as long as both run. Raises InvalidInput where the store followed another log: a question, for to answer it
        wrongly throws away what is right."""
        if self._new_log == self._log.log_id:
            return False
        if position.log_id != self._log.log_id:
            raise InvalidInput(
                f"the store CONCORD_STATE_URL was folded from the log {position.log_id}, and CONCORD_LOG_URL leads to "
                f"{self._log.log_id}. Does one of them name the wrong cluster? If this log is to take the other's place, what "
                f"the store holds of runs is thrown away and folded anew: set CONCORD_NEW_LOG={self._log.log_id}, once"
            )
        if position.fold_version <= self._fold.version:
            return False
        self._logger.error(
            "a newer version has folded this partition, which is left to it; upgrade this service. To go back to this version "
            f"for good, when no newer one runs any more: CONCORD_NEW_LOG={self._log.log_id}, once",
            partition=partition,
            stored=position.fold_version,
            known=self._fold.version,
        )
        return True

    def _forget(self, partition: int) -> Also | None:
        gone: list[Change] = [(run_id, frozenset(), None) for run_id in self._store.runs(self._service, partition)]
        return self._projection(gone)

    def _projection(self, changes: Sequence[Change]) -> Also | None:
        project = self._project
        return None if project is None else lambda connection: project(connection, changes)

    def step(self, timeout_s: float) -> int:
        """Folds what came, asks what is due where the log's end is reached; returns how many records and outputs."""
        owned = self._consumer.assignment()
        for partition in owned if self._unsure else self._lost & owned:
            self._consumer.seek(partition, self._adopt(partition))
        self._lost.clear()
        now, ends = self._barrier = self._next_barrier()
        by_partition: dict[int, list[Record]] = {}
        # A poll that fails half-way may have moved on all the same; a fold with a hole would be wrong for ever.
        self._unsure = True
        for record in self._consumer.poll(timeout_s, BATCH):
            by_partition.setdefault(record.partition, []).append(record)
        self._unsure = False
        if self._goals is None and self._consumer.joined():
            self._goals = dict(self._consumer.ends())
        owned = self._consumer.assignment()
        for partition in [p for p in self._partitions if p not in owned]:
            del self._partitions[partition]
        moved = 0
        self._lost = set(by_partition) & set(self._partitions)
        for partition in sorted(self._lost):
            moved += self._take(partition, by_partition[partition])
            self._lost.discard(partition)
        for partition in self._overtaken:
            self._partitions.pop(partition, None)
        self._lost |= self._overtaken
        self._overtaken = set()
        if tick := now - self._ticked >= TICK_S:
            self._ticked = now
            lag = 0
            for partition, held in self._partitions.items():
                lag += max(0, ends.get(partition, 0) - held.position.next_offset) if partition in owned else 0
            self._fold_lag.set(lag)
        for partition, held in list(self._partitions.items()):
            if not (held.runs and (tick or held.stirred)):
                continue
            asked = set(held.runs) if tick else held.stirred & set(held.runs)
            if asked and held.position.next_offset >= ends.get(partition, 1 << 62):
                moved += self._ask(held, now, asked)
        return moved

    def _next_barrier(self) -> tuple[float, Mapping[int, int]]:
        """A new one; the last one while a partition has not come to it, for whoever lags need not ask where the end is now."""
        now, (then, ends) = self._clock(), self._barrier
        if 0 <= now - then < TICK_S and any(
            held.position.next_offset < ends.get(partition, 0) for partition, held in self._partitions.items()
        ):
            return then, ends
        return now, self._consumer.ends()

    def _take(self, partition: int, records: Sequence[Record]) -> int:
        """Folds a batch and saves; a replica that was overtaken takes the partition up anew from the store."""
        held = self._partitions[partition]
        records = [record for record in records if record.offset >= held.position.next_offset]
        if not records:
            return 0
        changes: list[RunChange] = []
        projected: list[Change] = []
        for run_id, own in self._by_run(records).items():
            before = held.runs.get(run_id) or restore_run(self._fold, run_id, self._store.rows(self._service, run_id))
            run, rows = fold_records(self._fold, before, own)
            if run.corrupt and not before.corrupt:
                self._logger.error("run is corrupt", run=run_id, why=run.corrupt)
            if run.duplicates != before.duplicates:
                telemetry.DUPLICATES.inc(run.duplicates - before.duplicates)
            if run.unknown != before.unknown:
                telemetry.UNKNOWN_FACTS.inc(run.unknown - before.unknown)
            alive = self._fold.active(run.state) and not run.corrupt
            changes.append(RunChange(run_id, alive, rows))
            projected.append((run_id, frozenset(rows), run.state))
            held.runs[run_id] = run
            held.stirred.add(run_id)
        to = Position(records[-1].offset + 1, self._log.log_id, self._fold.version)
        also = self._projection(projected)
        try:
            self._store.save(self._service, partition, held.position, to, changes, also)
        except Fenced as error:
            self._logger.warning("overtaken; taking the partition up anew", partition=partition, why=str(error))
            self._overtaken.add(partition)
            return 0
        held.position = to
        self._folded.inc(len(records))
        for change in changes:
            if not change.active:
                held.runs.pop(change.run_id)
                held.issued.pop(change.run_id, None)
        return len(records)

    def _by_run(self, records: Sequence[Record]) -> dict[str, list[Record]]:
        """The records by the run that their key names; what names none is passed over, by every reader alike."""
        by_key: dict[bytes, list[Record]] = {}
        for record in records:
            by_key.setdefault(record.key, []).append(record)
        by_run: dict[str, list[Record]] = {}
        for key, own in by_key.items():
            if is_run(key):
                by_run[key.decode()] = own
            elif key != GONE:
                where = {"partition": own[0].partition, "offset": own[0].offset}
                self._logger.error("a fact that is no run's", **where, key=key[:80])
        return by_run

    def _ask(self, held: _Partition, now: float, run_ids: set[str]) -> int:
        outputs: list[tuple[str, Append | Dispatch]] = []
        for run_id in sorted(run_ids):
            run = held.runs[run_id]
            context = Context(now, held.issued.get(run_id, {}), run.offset, run.history.hex())
            try:
                outputs += [(run_id, output) for output in self._fold.due(run.state, context)]
            except Exception:  # a fault in one run's state must not hold up the others; it stands still, loudly
                self._logger.exception("due failed; the run stands still", run=run_id)
        outputs = self._without_queued(held, outputs, now)
        entries = self._entries(outputs)
        if entries:
            self._log.append(entries)
        for run_id, output in outputs:
            if isinstance(output, Dispatch):
                held.issued.setdefault(run_id, {})[output.work.work_id] = now
        held.stirred -= run_ids
        self._taken_over -= run_ids
        return len(entries)

    def _without_queued(
        self, held: _Partition, outputs: list[tuple[str, Append | Dispatch]], now: float
    ) -> list[tuple[str, Append | Dispatch]]:
        """Without the work that waits in a queue already: long silence there means many others before it, not that it is lost.

        Looked for is what was issued before, by this replica or, for all that it can know, by the one before it.
        """
        doubtful = {
            output.work.work_id: output.topic
            for run_id, output in outputs
            if isinstance(output, Dispatch) and (output.again or run_id in self._taken_over)
        }
        if not doubtful:
            return outputs
        self._look(set(doubtful.values()), now)
        left: list[tuple[str, Append | Dispatch]] = []
        for run_id, output in outputs:
            known = output.work.work_id if isinstance(output, Dispatch) else ""
            if known in doubtful and known in self._queued:
                held.issued.setdefault(run_id, {})[known] = now
            else:
                left.append((run_id, output))
        return left

    def _look(self, topics: set[Topic], now: float) -> None:
        """Learns which units wait in these queues or are under way, unless it has just looked."""
        topics |= self._looked_at
        if now < self._look_at_queues and topics == self._looked_at:
            return
        began = monotonic()
        found = (work_id_of(record) for topic in topics for record in self._log.waiting(topic, topic.group))
        self._queued, self._looked_at = frozenset(found), topics
        self._look_at_queues = now + max(QUEUES_S, QUEUES_SHARE * (monotonic() - began))

    def _entries(self, outputs: Sequence[tuple[str, Append | Dispatch]]) -> list[Entry]:
        entries = []
        for run_id, output in outputs:
            with tracing.span(f"due {_named(output)}", run_id, kind="producer") if tracing.on() else UNTRACED:
                entries.append(self._entry(run_id, output))
        return entries

    def _entry(self, run_id: str, output: Append | Dispatch) -> Entry:
        if isinstance(output, Dispatch):
            partition = output.place % self._log.partitions(output.topic)
            said = output.work.SerializeToString(deterministic=True)
            return Entry(output.topic, partition, b"", said, tracing.headers(run_id))
        for content in output.blobs:
            self._blobs.put(content)
        return fact(run_id, output.event.SerializeToString(deterministic=True), tracing.headers(run_id))

    def ready(self) -> bool:
        """Whether it has once come to where the log ended when its group took it in; a partition that left counts no more."""
        if not self._ready and self._goals is not None:
            owned = self._consumer.assignment()
            self._ready = all(
                self._reached(p) >= goal for p, goal in self._goals.items() if p in owned and p not in self._aside
            )
        return self._ready

    def _reached(self, partition: int) -> int:
        held = self._partitions.get(partition)
        return -1 if held is None else held.position.next_offset

    def drain(self) -> bool:
        """Nothing is ever under way between two steps."""
        return True

    def close(self) -> None:
        """Leaves the group; everything folded is saved already."""
        self._consumer.close()
