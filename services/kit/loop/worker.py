"""A worker turns one work item into one fact. One `step()` at a time; the thread that polls never works.

A unit's result is made once: the first to finish creates the marker `done/<event id>`, and the fact is made from the
marker. Order is always marker, fact, commit, so a crash anywhere repeats work at worst, never loses it.

Only what the unit did counts: an attempt counts when the unit raised. The death of the whole process is a suspicion:
after two of them the unit runs alone, and only deaths while alone count.
"""

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace

import structlog
from google.protobuf.message import DecodeError

from concord.kit import telemetry, tracing
from concord.kit.blobs import Blobs, attempts
from concord.kit.errors import Deferred, Permanent, Unavailable
from concord.kit.ids import id_bytes, result_id, unit_name
from concord.kit.log import Entry, Log, Record
from concord.kit.log.topics import Topic
from concord.kit.loop import facts
from concord.kit.loop.units import Begun
from concord.kit.plural import many
from concord.v1.events_pb2 import Usage
from concord.v1.work_pb2 import Work

ATTEMPTS = 3
# So many deaths of the process with the unit in it make it run alone.
SUSPICIONS = 2
# So many more, while it runs alone, and it is given up. Far above what chance does to an innocent unit: three evictions
# in the middle of a long one are nothing unusual, and a kill must never change a result.
DEATHS_ALONE = 10
RETRY_S = 2.0
# A unit that met a store that is away is not to blame; it is asked for again after so long.
AWAY_S = 5.0
# Where the blob store is away each write may wait for it; a process that is told to stop has not that long.
CLOSING_S = 5.0
# How often it is looked how much waits: a metric, and a request to the log.
LAG_S = 10.0
# While there is more to do, what is finished is committed so often: each commit waits for the broker, and of what a crash finds
# uncommitted only the fact is said again.
COMMIT_S = 0.1


@dataclass
class _Held:
    """A work item between poll and commit."""

    record: Record
    work: Work
    # Id of its result's fact.
    result: str
    not_before: float = 0.0
    started: float = 0.0
    # The number of the try that runs or ran last.
    begun: int = 0
    alone: bool = False
    running: Begun | None = None
    # What its records say of where they come from.
    headers: facts.Headers = ()


class Worker:
    """Drives `start` over the work that the group gives it; `step` is not thread-safe."""

    def __init__(
        self,
        service: str,
        topic: Topic,
        start: Callable[[Work], Begun],
        log: Log,
        blobs: Blobs,
        clock: Callable[[], float],
        concurrency: int,
        cancelled: Callable[[str], bool] = lambda run_id: False,
    ) -> None:
        """`start(work)` begins a unit elsewhere (thread, loop, child) and answers at once with what is to be known of it.

        Its fact carries `kind` and `usage`; the worker adds the names. `cancelled(run)` may be stale. A unit that was taken
        away or whose run was cancelled is stopped, be it begun or not.
        """
        self._service, self._start, self._log, self._blobs, self._clock = service, start, log, blobs, clock
        self._concurrency, self._cancelled = concurrency, cancelled
        self._held: dict[str, _Held] = {}
        # partition → offset → finished?; what is finished from the front on is committed.
        self._open: dict[int, dict[int, bool]] = {}
        # Finished units whose entries are not in the log yet.
        self._unsaid: list[tuple[Record, list[Entry]]] = []
        self._full = self._draining = False
        self._lag_at = self._committed_at = float("-inf")
        self._logger = structlog.get_logger(service=service)
        self._in_flight, self._unit_seconds = (
            telemetry.IN_FLIGHT.labels(service),
            telemetry.UNIT_SECONDS.labels(service),
        )
        self._units = {how: telemetry.UNITS.labels(service, how) for how in ("done", "failed", "deferred")}
        self._consumer = log.subscribe(topic, service)

    def step(self, timeout_s: float) -> int:
        """Takes work, begins units, says finished ones; returns how many items moved."""
        room = max(1, 2 * self._concurrency - len(self._held))
        records = self._consumer.poll(timeout_s, room)
        for record in records:
            self._accept(record)
        self._drop_revoked()
        self._drop_cancelled()
        self._begin()
        self._collect()
        said = self._say_all()
        self._pause_when_full()
        self._say_lag()
        return len(records) + said

    def _say_lag(self) -> None:
        """What is not handed out yet, and what is not finished of what was."""
        if self._clock() - self._lag_at < LAG_S:
            return
        self._lag_at = self._clock()
        with suppress(Unavailable):
            unfinished = sum(not finished for places in self._open.values() for finished in places.values())
            telemetry.WORK_LAG.labels(self._service).set(self._consumer.behind() + unfinished)

    def _running(self) -> list[_Held]:
        return [held for held in self._held.values() if held.running is not None]

    def _drop_revoked(self) -> None:
        """Units of a partition that another member owns now are ended and not committed."""
        owned = self._consumer.assignment()
        for partition in [p for p in self._open if p not in owned]:
            del self._open[partition]
        for key, held in list(self._held.items()):
            if held.record.partition not in owned:
                self._stop(held)
                del self._held[key]

    def _drop_cancelled(self) -> None:
        """Units of a run that was cancelled are ended, and committed without a fact: nobody waits for them."""
        for key, held in list(self._held.items()):
            if self._cancelled(held.work.run_id):
                self._stop(held)
                del self._held[key]
                self._unsaid.append((held.record, []))

    def _stop(self, held: _Held) -> None:
        if held.running is not None:
            held.running.stop()
            attempts.end(self._blobs, held.work.work_id, held.begun, attempts.STOPPED)

    def _accept(self, record: Record) -> None:
        """Takes note of the item. Touches nothing outside, so that an outage cannot make a polled item forgotten."""
        places = self._open.setdefault(record.partition, {})
        if places.get(record.offset) is False:
            return
        places[record.offset] = False
        try:
            work = Work.FromString(record.value)
            # Fails here, and not later, for ids that are no UUIDs and for a stage that only newer code knows.
            id_bytes(work.work_id)
            result = result_id(work.run_id, work.unit)
        except (DecodeError, ValueError) as error:
            telemetry.DEAD_LETTERS.labels(self._service).inc()
            self._unsaid.append((record, [facts.dead_letter(record, 1, f"does not decode: {error}")]))
            return
        if (known := self._held.get(work.work_id)) is None:
            self._held[work.work_id] = _Held(record, work, result)
        elif (known.record.partition, known.record.offset) != (record.partition, record.offset):
            self._unsaid.append((record, []))

    def _begin(self) -> None:
        """Starts what may start now; units whose result stands already only say it again."""
        if self._draining:
            return
        now, running = self._clock(), self._running()
        for held in [h for h in self._held.values() if h.running is None and h.not_before <= now]:
            # One that runs alone is the first of those that run.
            if len(running) >= self._concurrency or (running and running[0].alone):
                break
            if (marker := self._blobs.marker(f"done/{held.result}")) is not None:
                self._conclude(held, [facts.fact(held.work.run_id, marker)])
                continue
            before = attempts.past(self._blobs, held.work.work_id)
            held.alone = attempts.deaths(before, alone_only=False) >= SUSPICIONS
            if held.alone and (died := attempts.deaths(before, alone_only=True)) >= DEATHS_ALONE:
                self._conclude(
                    held, self._failed(held, died, f"its process died {many(died, 'time')} while it ran alone")
                )
                continue
            if held.alone and running:
                break
            held.begun, held.started = len(before) + 1, now
            attempts.begin(self._blobs, held.work.work_id, held.begun, held.alone)
            # What the unit asks of others from here on, in whichever thread or loop, is part of this span.
            with self._span(held):
                held.running = self._start(held.work)
                held.headers = tracing.headers(held.work.run_id)
            held.running.fact.add_done_callback(self._wake)
            running.append(held)
        self._in_flight.set(len(running))

    def _span(self, held: _Held) -> AbstractContextManager[object]:
        """The beginning of the unit; linked to whoever issued it."""
        work = held.work
        came = tracing.of_headers(held.record.headers)
        return tracing.span(
            f"begin {unit_name(work.unit)}", work.run_id, kind="consumer", links=(came,), concord__attempt=held.begun
        )

    def _wake(self, done: Future) -> None:
        self._consumer.wake()

    def _conclude(self, held: _Held, entries: list[Entry]) -> None:
        self._unsaid.append((held.record, entries))
        del self._held[held.work.work_id]

    def _collect(self) -> None:
        """An outage in the middle leaves the future where it is: its outcome is taken again, with the same result."""
        for held in self._running():
            assert held.running is not None
            if not held.running.fact.done():
                continue
            entries = self._outcome(held)
            self._unit_seconds.observe(self._clock() - held.started)
            held.running = None
            if tracing.on():
                entries = self._ended(held, entries)
            if entries:
                self._conclude(held, entries)

    def _ended(self, held: _Held, entries: list[Entry]) -> list[Entry]:
        """The entries with a word on the unit that they come from; a span says how it ended."""
        seconds, unit = self._clock() - held.started, unit_name(held.work.unit)
        came = tracing.of_headers(held.headers)
        with tracing.span(f"end {unit}", held.work.run_id, kind="producer", parent=came, concord__seconds=seconds):
            headers = tracing.headers(held.work.run_id)
        return [replace(entry, headers=(*entry.headers, *headers)) for entry in entries]

    def _outcome(self, held: _Held) -> list[Entry]:
        """The entries that settle the unit; none where it is to be tried again."""
        assert held.running is not None
        work = held.work
        try:
            event = held.running.fact.result()
        except (Deferred, Unavailable) as error:
            self._units["deferred"].inc()
            again_s = error.retry_after_s if isinstance(error, Deferred) else AWAY_S
            return [facts.deferred(work, str(error), again_s, self._end(held, attempts.DEFERRED), error.usage)]
        except Permanent as error:
            self._end(held, attempts.RAISED)
            return self._failed(held, 1, str(error), error.usage)
        except CancelledError:
            self._end(held, attempts.STOPPED)
            return []
        except Exception as error:  # whatever a unit raises is its own failure, counted and reported
            return self._raised(held, error)
        made = self._blobs.put_if_absent(f"done/{held.result}", facts.named(work, event, held.result))
        self._units["done"].inc()
        return [facts.fact(work.run_id, made)]

    def _raised(self, held: _Held, error: Exception) -> list[Entry]:
        times = self._end(held, attempts.RAISED)
        name = unit_name(held.work.unit)
        self._logger.warning("unit raised", run=held.work.run_id, unit=name, attempt=times, error=repr(error))
        if times >= ATTEMPTS:
            return self._failed(held, times, repr(error))
        held.not_before = self._clock() + RETRY_S * 2**times
        return []

    def _end(self, held: _Held, how: bytes) -> int:
        return attempts.end(self._blobs, held.work.work_id, held.begun, how)

    def _failed(self, held: _Held, attempts: int, error: str, usage: Usage | None = None) -> list[Entry]:
        self._units["failed"].inc()
        telemetry.DEAD_LETTERS.labels(self._service).inc()
        self._logger.error("unit failed", run=held.work.run_id, unit=unit_name(held.work.unit), error=error)
        return [facts.dead_letter(held.record, attempts, error), facts.failed(held.work, attempts, error, usage)]

    def _say_all(self) -> int:
        """Appends what is to be said, then commits. Where the append fails all of it is said again at the next step."""
        if entries := [entry for _, said in self._unsaid for entry in said]:
            self._log.append(entries)
        said, self._unsaid = self._unsaid, []
        for record, _ in said:
            places = self._open.get(record.partition, {})
            if record.offset in places:
                places[record.offset] = True
        self._commit()
        return len(said)

    def _commit(self) -> None:
        """Commits what is finished, now and then while there is more to do; where that fails, the next step does it."""
        now = self._clock()
        if self._held and not self._draining and 0 <= now - self._committed_at < COMMIT_S:
            return
        if not (fronts := self._fronts()):
            return
        self._consumer.commit(fronts)
        self._committed_at = now
        for partition, front in fronts.items():
            rest = {offset: finished for offset, finished in self._open[partition].items() if offset >= front}
            self._open[partition] = rest

    def _fronts(self) -> dict[int, int]:
        """Partition → where its finished front ends, of those that have one that is not committed."""
        fronts: dict[int, int] = {}
        for partition, places in self._open.items():
            for offset in sorted(places):
                if not places[offset]:
                    break
                fronts[partition] = offset + 1
        return fronts

    def _pause_when_full(self) -> None:
        """A full worker keeps polling, so that the group keeps it; it only gets nothing."""
        full = self._draining or len(self._held) >= 2 * self._concurrency
        if full or self._full:
            (self._consumer.pause if full else self._consumer.resume)(self._consumer.assignment())
        self._full = full

    def ready(self) -> bool:
        """Whether the group has taken this worker in."""
        return self._consumer.joined()

    def drain(self) -> bool:
        """Begins nothing from now on; whether all that was begun is said and committed, so that closing ends nothing."""
        self._draining = True
        return not self._running() and not self._unsaid and not self._fronts()

    def close(self) -> None:
        """Ends what runs and leaves the group, whatever is away; nothing unfinished is committed."""
        try:
            self._end_running()
        finally:
            self._consumer.close()

    def _end_running(self) -> None:
        """Writes how the units ended, as many as can be written: each of the others seems to have killed its process."""
        running, until = self._running(), self._clock() + CLOSING_S
        for held in running:
            assert held.running is not None
            held.running.stop()
        unwritten, why = 0, ""
        for held in running:
            if unwritten and self._clock() >= until:
                unwritten += 1
                continue
            try:
                self._end(held, attempts.STOPPED)
            except Unavailable as error:
                unwritten, why = unwritten + 1, str(error)
        if unwritten:
            self._logger.warning(
                "ends of units not written; they look like deaths of this process", units=unwritten, why=why
            )
