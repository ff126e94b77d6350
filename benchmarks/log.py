"""How fast facts become durable and are read back, beside the nearest thing that does the same.

    python -m benchmarks.log [--kafka kafka://HOST:PORT] [--quick] [--json FILE]

On SQLite beside pyeventsourcing: its own way (events of an aggregate, saved 500 at a time) and its bare recorder (rows
that are ready). On Kafka beside bare kafka-python with the same settings. Every append is durable when it is counted:
SQLite with synchronous=FULL, Kafka with acks=all after each batch. A broker: `python -m tests.broker --port 9092 DIR`.
"""
import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

from benchmarks.measure import circumstances, interleaved, ratio, seconds, show, spread, write
from services.kit.log import Entry
from services.kit.sqlite_log import SqliteLog
from services.kit.topics import FACTS, TRIAGE

PAYLOAD_BYTES = 600
BATCH = 500
READ = 2000


def batches(count: int) -> list[list[bytes]]:
    """`count` payloads that differ, in batches; one batch holds the facts of one run."""
    values = [(b"%09d" % n).ljust(PAYLOAD_BYTES, b"x") for n in range(count)]
    return [values[at : at + BATCH] for at in range(0, count, BATCH)]


class Sqlite:
    """One repeat each: a fresh file, `count` facts; returns facts a second."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._batches, self._count = folder, batches(count), count

    def append_ours(self) -> float:
        with self._fresh() as path:
            log = SqliteLog(path)
            spent = seconds(lambda: [log.append([Entry(FACTS, 3, b"run", v) for v in batch]) for batch in self._batches])
            log.close()
            return self._count / spent

    def read_ours(self) -> float:
        with self._fresh() as path:
            log = SqliteLog(path)
            for batch in self._batches:
                log.append([Entry(FACTS, 3, b"run", value) for value in batch])
            found = 0

            def read() -> None:
                nonlocal found
                while records := log.read(FACTS, 3, found, READ):
                    found += len(records)

            spent = seconds(read)
            log.close()
            assert found == self._count
            return self._count / spent

    def append_aggregate(self) -> float:
        from eventsourcing.domain import Aggregate, event

        class Run(Aggregate):
            @event("Said")
            def say(self, text: str) -> None:
                pass

        with self._application() as application:
            run, texts = Run(), [[value.decode() for value in batch] for batch in self._batches]

            def save() -> None:
                for batch in texts:
                    for text in batch:
                        run.say(text)
                    application.save(run)

            return self._count / seconds(save)

    def append_recorder(self) -> float:
        with self._application() as application:
            return self._count / seconds(lambda: self._insert(application))

    def read_recorder(self) -> float:
        with self._application() as application:
            self._insert(application)
            found = 0

            def read() -> None:
                nonlocal found
                while chunk := application.recorder.select_notifications(found + 1, READ):
                    found += len(chunk)

            spent = seconds(read)
            assert found == self._count
            return self._count / spent

    def _insert(self, application) -> None:
        from eventsourcing.persistence import StoredEvent

        run, version = uuid4(), 0
        for batch in self._batches:
            application.recorder.insert_events([StoredEvent(run, version + n, "Said", v) for n, v in enumerate(batch)])
            version += len(batch)

    @contextmanager
    def _fresh(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            yield folder / "log.db"
        finally:
            shutil.rmtree(folder)

    @contextmanager
    def _application(self) -> Iterator:
        from eventsourcing.application import Application

        with self._fresh() as path:
            application: Application[UUID] = Application(
                env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
            )
            try:
                yield application
            finally:
                application.close()


class Kafka:
    """One repeat each: a partition of its own that holds `count` facts; returns facts a second."""

    def __init__(self, url: str, count: int) -> None:
        from kafka import TopicPartition

        from services.kit.kafka_log import KafkaLog, producer
        from services.kit.kafka_settings import parse

        self._url = f"{url}{'&' if '?' in url else '?'}prefix=bench-{uuid4().hex[:8]}."
        self._settings = parse(self._url)
        self._log = KafkaLog(self._url)
        self._bare = producer(self._settings)
        self._topic = self._settings.prefix + FACTS.name
        self._place = TopicPartition
        self._batches, self._count = batches(count), count
        self._log.append([Entry(FACTS, p, b"run", b"warm") for p in range(FACTS.partitions)])
        self._filled = 23
        for batch in self._batches:
            self._log.append([Entry(FACTS, self._filled, b"run", value) for value in batch])
            self._log.append([Entry(TRIAGE, n % TRIAGE.partitions, b"", value) for n, value in enumerate(batch)])

    def append_ours(self) -> float:
        return self._count / seconds(
            lambda: [self._log.append([Entry(FACTS, 1, b"run", v) for v in batch]) for batch in self._batches]
        )

    def append_bare(self) -> float:
        def send() -> None:
            for batch in self._batches:
                sent = [self._bare.send(self._topic, value, b"run", partition=2) for value in batch]
                self._bare.flush()
                assert all(future.succeeded() for future in sent)

        return self._count / seconds(send)

    def read_ours(self) -> float:
        found = 0

        def read() -> None:
            nonlocal found
            while records := self._log.read(FACTS, self._filled, found, READ):
                found = records[-1].offset + 1

        return self._count / self._checked(seconds(read), found - 1)

    def read_bare(self) -> float:
        consumer = self._consumer()
        place = self._place(self._topic, self._filled)
        consumer.assign([place])
        consumer.seek(place, 0)
        found = 0

        def read() -> None:
            nonlocal found
            end = consumer.end_offsets([place])[place]
            while found < end:
                found += sum(len(records) for records in consumer.poll(500, max_records=READ).values())

        spent = seconds(read)
        consumer.close()
        return self._count / self._checked(spent, found - 1)

    def poll_ours(self) -> float:
        member = self._log.subscribe(TRIAGE, uuid4().hex, start=lambda partition: 0)
        while len(member.assignment()) < TRIAGE.partitions:
            first = member.poll(0.1, 1)
        found = len(first)

        def poll() -> None:
            nonlocal found
            while found < self._count:
                found += len(member.poll(0.5, READ))

        spent = seconds(poll)
        member.close()
        return self._count / self._checked(spent, found)

    def poll_bare(self) -> float:
        consumer = self._consumer(group_id=uuid4().hex, enable_auto_commit=False)
        consumer.subscribe([self._settings.prefix + TRIAGE.name])
        found = 0
        while len(consumer.assignment()) < TRIAGE.partitions:
            found += sum(len(records) for records in consumer.poll(100, max_records=1).values())

        def poll() -> None:
            nonlocal found
            while found < self._count:
                found += sum(len(records) for records in consumer.poll(500, max_records=READ).values())

        spent = seconds(poll)
        consumer.close()
        return self._count / self._checked(spent, found)

    def _consumer(self, **more):
        from kafka import KafkaConsumer

        return KafkaConsumer(**self._settings.connection(), auto_offset_reset="earliest", **more)

    def _checked(self, spent: float, found: int) -> float:
        assert found == self._count, (found, self._count)
        return spent

    def close(self) -> None:
        from kafka import KafkaAdminClient

        self._bare.close()
        self._log.close()
        admin = KafkaAdminClient(**self._settings.connection())
        admin.delete_topics([self._settings.prefix + topic.name for topic in (FACTS, TRIAGE)])
        admin.close()


def compare(title: str, measures: dict[str, Callable[[], float]], repeats: int, wanted: dict[str, float]) -> dict:
    """Facts a second of each; the first is ours, and is divided by each other one. `wanted`: lowest good ratios."""
    found = interleaved(measures, repeats)
    ours, *others = measures
    ratios = {other: ratio(found[ours], found[other]) for other in others}
    show(title, {name: spread(values) for name, values in found.items()}, "facts/s")
    show("  ours divided by", ratios, "times")
    return {
        "facts_per_second": {name: spread(values) for name, values in found.items()},
        "ours_divided_by": {
            name: row | ({"wanted": wanted[name], "met": row["median"] >= wanted[name]} if name in wanted else {})
            for name, row in ratios.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", help="kafka://HOST:PORT of a broker that may be written to; without it SQLite alone")
    parser.add_argument("--quick", action="store_true", help="a tenth of the facts, three repeats")
    parser.add_argument("--json", help="write the figures to this file; - for standard output")
    given = parser.parse_args()
    count, repeats = (5_000, 3) if given.quick else (50_000, 7)
    settings = {"payload_bytes": PAYLOAD_BYTES, "batch": BATCH, "facts": count, "read_at_once": READ, "kafka": given.kafka}
    figures = circumstances(settings | {"sqlite": "WAL, synchronous=FULL", "folder": tempfile.gettempdir()})
    with tempfile.TemporaryDirectory() as folder:
        sqlite = Sqlite(Path(folder), count)
        figures["sqlite_append"] = compare(
            "SQLite: durable appends",
            {
                "ours": sqlite.append_ours,
                "eventsourcing, aggregate saved by 500": sqlite.append_aggregate,
                "eventsourcing, bare recorder": sqlite.append_recorder,
            },
            repeats,
            {"eventsourcing, aggregate saved by 500": 0.5},
        )
        figures["sqlite_read"] = compare(
            "SQLite: reading in order", {"ours": sqlite.read_ours, "eventsourcing, bare recorder": sqlite.read_recorder}, repeats, {}
        )
    if given.kafka:
        kafka = Kafka(given.kafka, count)
        for name, title in (("append", "durable appends"), ("read", "reading a partition"), ("poll", "a group member")):
            measures = {"ours": getattr(kafka, f"{name}_ours"), "bare kafka-python": getattr(kafka, f"{name}_bare")}
            figures[f"kafka_{name}"] = compare(f"Kafka: {title}", measures, repeats, {"bare kafka-python": 0.7})
        kafka.close()
    if given.json:
        write(given.json, figures)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
