"""Facts through a Reactor and work items through a Worker, beside bare kafka-python: what `benchmarks.cluster` repeats.

Both sides read the same records in groups of their own, in batches of the same size. The clock starts behind the first
batch, so that neither side's joining counts.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from uuid import uuid4

from kafka import KafkaConsumer

from benchmarks.facts import SHARD, facts
from concord.kit.blobs import Blobs, MemoryBlobs
from concord.kit.ids import run_id, uri_of, work_id
from concord.kit.log import Entry, Log
from concord.kit.log.kafka.consumer import FETCH_WAIT_MS
from concord.kit.log.kafka.log import KafkaLog, producer
from concord.kit.log.kafka.url import parse
from concord.kit.log.topics import FACTS, SCORE, fact_partition
from concord.kit.loop import reactor
from concord.kit.loop.fold import Fold
from concord.kit.loop.reactor import Reactor
from concord.kit.loop.units import Begun, of_future
from concord.kit.loop.worker import Worker
from concord.kit.store import SqlStore
from concord.operate import run_log
from concord.runs import service as runs
from concord.v1.events_pb2 import Event, Stage
from concord.v1.work_pb2 import Work
from concord.wiring import Stepper

SEED, APPENDED = 7, 2_000
# Six pairs of a run make a fact, about.
PAIRS_A_FACT = 6
# Workers' facts go where no run's facts are read.
SPARE = FACTS.partitions - 1
WAIT_S, PATIENCE_S = 0.5, 120.0
# Keeps how many facts a run has and decides nothing: what is left is the kit's own.
COUNTING: Fold[int] = Fold(
    1,
    lambda run: 0,
    lambda state, events: (state + len(events), frozenset({"count"})),
    lambda state, name: str(state).encode(),
    lambda run, rows: int(rows.get("count", b"0")),
    lambda state, context: (),
    lambda state: True,
)


class Rates:
    """A log with finished runs, all of the same facts, and `items` work items; methods return records a second."""

    def __init__(self, url: str, store: SqlStore, count: int, facts_each: int, items: int) -> None:
        url = f"{url}?prefix=rates-{uuid4().hex[:8]}."
        self._store, self._settings, self._log = store, parse(url), KafkaLog(url)
        self._bare = producer(self._settings)
        values = list(islice(facts(PAIRS_A_FACT * facts_each, SEED), facts_each))
        self.fact_bytes = sum(map(len, values)) / len(values)
        self.fact = next(value for value in values if Event.FromString(value).WhichOneof("kind") == "shard_scored")
        self.runs, self.facts, self.items = runs_in_partitions(count), len(values) * count, items
        for name in self.runs:
            append_run(self._log, name, values)
        append_work(self._log, self.runs[0], 0, items)

    def reactor(self, fold: Fold) -> float:
        """A Reactor that folds all facts and saves each batch in the store."""
        return self._drive(Reactor(uuid4().hex, fold, self._log, self._store, MemoryBlobs(), time.time), self.facts)

    def bare_facts(self, evolve: bool) -> float:
        """A consumer that polls, decodes and commits; with `evolve` it also folds, as runs does, and keeps it in memory."""
        fold, states = runs.fold(), {}

        def take(found) -> None:
            by_run: dict[bytes, list] = {}
            for record in (record for records in found.values() for record in records):
                by_run.setdefault(record.key, []).append((Event.FromString(record.value), record.timestamp / 1000))
            for name, events in by_run.items() if evolve else ():
                state = states.get(name) or fold.initial(name.decode())
                states[name] = fold.evolve(state, events)[0]

        return self._consume(FACTS.name, reactor.BATCH, self.facts, take)

    def worker(self, batch: int, blobs: Blobs) -> float:
        """A Worker whose units cost nothing, `batch` of them at once: each has its markers, its fact and its commit."""
        answer = Event()
        answer.shard_scored.CopyFrom(Event.FromString(self.fact).shard_scored)

        def start(work: Work) -> Begun:
            done: Future[Event] = Future()
            done.set_result(answer)
            return of_future(done)

        # `step` counts an item when it takes it, and again when it has said it.
        return self._drive(Worker(uuid4().hex, SCORE, start, self._log, blobs, time.time, batch), 2 * self.items) / 2

    def bare_work(self, batch: int) -> float:
        """A loop that polls, decodes, produces a fact of the same size for each item, waits for all and commits."""
        topic, event = self._settings.prefix + FACTS.name, Event.FromString(self.fact)

        def take(found) -> None:
            sent = []
            for record in (record for records in found.values() for record in records):
                work = Work.FromString(record.value)
                key, value = work.run_id.encode(), event.SerializeToString(deterministic=True)
                sent.append(self._bare.send(topic, value, key, partition=SPARE))
            self._bare.flush()
            assert all(future.succeeded() for future in sent)

        return self._consume(SCORE.name, batch, self.items, take)

    def replay(self) -> list[float]:
        """Facts a second of `concord replay`, run by run."""
        rates = []
        for name in self.runs:
            began = time.perf_counter()
            folded = run_log.fold(self._log, name)
            rates.append(len(folded.ids) / (time.perf_counter() - began))
        return rates

    def _drive(self, stepper: Stepper, whole: int) -> float:
        try:
            return _timed(lambda: stepper.step(WAIT_S), whole)
        finally:
            stepper.close()

    def _consume(self, topic: str, batch: int, whole: int, take: Callable[[dict], None]) -> float:
        consumer = KafkaConsumer(
            **self._settings.connection(),
            group_id=uuid4().hex,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        consumer.subscribe([self._settings.prefix + topic])

        def step() -> int:
            found = consumer.poll(int(WAIT_S * 1000), max_records=batch)
            if found:
                take(found)
                consumer.commit()
            return sum(map(len, found.values()))

        try:
            return _timed(step, whole)
        finally:
            consumer.close(autocommit=False)

    def close(self) -> None:
        """Leaves the topics where they are: the broker goes with its folder."""
        self._bare.close()
        self._log.close()


def _timed(step: Callable[[], int], whole: int) -> float:
    """Steps until `whole` is reached; how much a second, from the end of the first step that got anything."""
    first, deadline = 0, time.monotonic() + PATIENCE_S
    while not first:
        assert time.monotonic() < deadline, f"nothing came in {PATIENCE_S:.0f} s"
        first = step()
    began, taken = time.perf_counter(), first
    while taken < whole:
        assert time.monotonic() < deadline, f"{taken} of {whole} in {PATIENCE_S:.0f} s"
        taken += step()
    return (taken - first) / (time.perf_counter() - began)


def runs_in_partitions(count: int) -> list[str]:
    """Names of runs, the n-th in the n-th partition of the fact topic."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < count:
        name = run_id(f"rates {number}", b"")
        if (place := fact_partition(name)) < count:
            found.setdefault(place, name)
        number += 1
    return [found[place] for place in range(count)]


def append_run(log: Log, name: str, values: Sequence[bytes]) -> None:
    """The facts as those of run `name`: its id has as many bytes as that of the run that they were made for."""
    old, place = Event.FromString(values[0]).run_id.encode(), fact_partition(name)
    for at in range(0, len(values), APPENDED):
        renamed = [value.replace(old, name.encode()) for value in values[at : at + APPENDED]]
        log.append([Entry(FACTS, place, name.encode(), value) for value in renamed])


def append_work(log: Log, name: str, first: int, count: int) -> None:
    """So many work items of the run, spread over the topic's partitions."""
    for at in range(first, first + count, APPENDED):
        items = [_item(name, number) for number in range(at, min(at + APPENDED, first + count))]
        log.append([Entry(SCORE, work.unit.number % SCORE.partitions, b"", work.SerializeToString()) for work in items])


def _item(name: str, number: int) -> Work:
    unit = {"stage": Stage.STAGE_SCORE, "number": number}
    features = [uri_of(str(number).encode())]
    work = Work(run_id=name, unit=unit, score_shard={"features_uri": features[0], "first_index": number * SHARD})
    work.work_id = work_id(name, work.unit)
    return work
