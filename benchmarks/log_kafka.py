"""The Kafka log beside bare kafka-python with the same settings: what `benchmarks.log` repeats."""

import time
from uuid import uuid4

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from benchmarks.log_sqlite import READ, batches
from benchmarks.measure import seconds
from concord.kit.log import Entry
from concord.kit.log.kafka.log import KafkaLog, producer
from concord.kit.log.kafka.url import parse
from concord.kit.log.topics import FACTS, TRIAGE

# A bare member that has not got everything by then never will.
STALLED_S = 60.0
TRIES = 3


class Kafka:
    """One repeat each: a partition of its own that holds `count` facts; returns facts a second."""

    def __init__(self, url: str, count: int) -> None:
        self._url = f"{url}{'&' if '?' in url else '?'}prefix=bench-{uuid4().hex[:8]}."
        self._settings = parse(self._url)
        self._log = KafkaLog(self._url)
        self._bare = producer(self._settings)
        self._topic = self._settings.prefix + FACTS.name
        self._batches, self._count = batches(count), count
        self._log.append([Entry(FACTS, p, b"run", b"warm") for p in range(FACTS.partitions)])
        self._filled = 23
        for batch in self._batches:
            self._log.append([Entry(FACTS, self._filled, b"run", value) for value in batch])
            self._log.append([Entry(TRIAGE, n % TRIAGE.partitions, b"", value) for n, value in enumerate(batch)])

    def append_ours(self) -> float:
        """Facts a second through `KafkaLog.append`, a batch each; more is better, as everywhere here."""
        return self._count / seconds(
            lambda: [self._log.append([Entry(FACTS, 1, b"run", v) for v in batch]) for batch in self._batches]
        )

    def append_bare(self) -> float:
        """The same batches through kafka-python's producer, flushed after each."""

        def send() -> None:
            for batch in self._batches:
                sent = [self._bare.send(self._topic, value, b"run", partition=2) for value in batch]
                self._bare.flush()
                assert all(future.succeeded() for future in sent)

        return self._count / seconds(send)

    def read_ours(self) -> float:
        """Facts a second through `KafkaLog.read`, from the partition's start to its end."""
        found = 0

        def read() -> None:
            nonlocal found
            while records := self._log.read(FACTS, self._filled, found, READ):
                found = records[-1].offset + 1

        return self._count / self._checked(seconds(read), found - 1)

    def read_bare(self) -> float:
        """The same partition through a consumer without a group."""
        consumer = self._consumer()
        place = TopicPartition(self._topic, self._filled)
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
        """Records a second that a member of a group of its own is handed, once it owns all partitions."""
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
        """The same through kafka-python's consumer, with its own way of sharing partitions.

        Such a member may be forgotten by its group and then get nothing for ever (`workarounds/join.py`): after STALLED_S
        another one begins anew. Raises SystemExit where TRIES of them stall.
        """
        for _ in range(TRIES):
            if rate := self._poll_bare(time.monotonic() + STALLED_S):
                return rate
        raise SystemExit(f"{TRIES} bare members of a group got nothing within {STALLED_S:.0f} s each; begin again")

    def _poll_bare(self, until: float) -> float | None:
        """Facts a second; None where the member has not got all of them by `until`."""
        consumer = self._consumer(group_id=uuid4().hex, enable_auto_commit=False)
        consumer.subscribe([self._settings.prefix + TRIAGE.name])
        found = 0
        while len(consumer.assignment()) < TRIAGE.partitions and time.monotonic() < until:
            found += sum(len(records) for records in consumer.poll(100, max_records=1).values())

        def poll() -> None:
            nonlocal found
            while found < self._count and time.monotonic() < until:
                found += sum(len(records) for records in consumer.poll(500, max_records=READ).values())

        spent = seconds(poll)
        consumer.close()
        return self._count / spent if found == self._count else None

    def _consumer(self, **more):
        return KafkaConsumer(**self._settings.connection(), auto_offset_reset="earliest", **more)

    def _checked(self, spent: float, found: int) -> float:
        assert found == self._count, (found, self._count)
        return spent

    def close(self) -> None:
        """Ends both sides and deletes their topics."""
        self._bare.close()
        self._log.close()
        admin = KafkaAdminClient(**self._settings.connection())
        admin.delete_topics([self._settings.prefix + topic.name for topic in (FACTS, TRIAGE)])
        admin.close()
