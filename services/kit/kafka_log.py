"""The log on Kafka: what a cluster uses. The same promises as the SQLite log, kept by brokers.

One producer for all threads (acks=all, idempotent: a retry after a lost answer writes nothing twice), readers without
a group that are lent to one thread at a time, and group members (`kafka_consumer`). No transactions: they cannot cover
a blob or a store, and the ids inside the records cover the log already.
"""
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from services.kit import kafka_topics
from services.kit.errors import InvalidInput
from services.kit.kafka_consumer import GroupMember, record_of
from services.kit.kafka_settings import ASK_MS, KafkaSettings, parse, translated
from services.kit.log import Entry, Record
from services.kit.topics import FACTS, Topic

# One request's worth to one partition; an append of many small records then is one round trip, not twenty.
BATCH_BYTES = 512 * 1024
READ_WAIT_MS = 500


class KafkaLog:
    """A Log on the brokers that `url` names (see `kafka_settings`). Makes missing topics on their first use."""

    def __init__(self, url: str) -> None:
        """Raises Unavailable where no broker answers, InvalidInput where the URL or the fact topic is not as it must be."""
        self._settings = parse(url)
        self._topics_lock = threading.Lock()
        self._ready: set[Topic] = set()
        self._readers = _Readers(self._settings)
        with translated(self._settings):
            self._admin = KafkaAdminClient(**self._settings.connection())
            self.log_id = self._identify()
            self._producer = _producer(self._settings)

    def _identify(self) -> str:
        """A cluster that was set up anew, or a fact topic that was deleted and made again, is another log."""
        facts = kafka_topics.ready(self._admin, self._settings, FACTS)
        self._ready.add(FACTS)
        cluster = self._admin.describe_cluster()["cluster_id"]
        return f"{cluster}/{facts}" if facts else str(cluster)

    def _name(self, topic: Topic) -> str:
        """The topic's name on Kafka, where it now is for certain."""
        if topic not in self._ready:
            with self._topics_lock, translated(self._settings):
                kafka_topics.ready(self._admin, self._settings, topic)
                self._ready.add(topic)
        return self._settings.prefix + topic.name

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        names = {entry.topic: self._name(entry.topic) for entry in entries}
        for entry in entries:
            _check_size(entry)
        with translated(self._settings):
            send = self._producer.send
            sent = [
                send(names[entry.topic], entry.value, entry.key, list(entry.headers), entry.partition)
                for entry in entries
            ]
            # Undelivered records expire in the producer first, so nothing is sent after the caller heard of a failure.
            self._producer.flush(self._settings.timeout_s + 1)
            return [future.get(0).offset for future in sent]

    def read(self, topic: Topic, partition: int, offset: int, limit: int) -> Sequence[Record]:
        place = TopicPartition(self._name(topic), partition)
        with self._readers.lent(place, offset) as reader:
            return [record_of(topic, record) for record in reader.read(place, offset, limit)]

    def end(self, topic: Topic, partition: int) -> int:
        place = TopicPartition(self._name(topic), partition)
        with self._readers.lent(place) as reader:
            return reader.end(place)

    def offset_at(self, topic: Topic, partition: int, at: float) -> int:
        place = TopicPartition(self._name(topic), partition)
        # Rounded first: 1.003 s times 1000 is 1002.9999… in binary.
        milliseconds = max(0, math.ceil(round(at * 1000, 3)))
        with self._readers.lent(place) as reader:
            found = reader.kafka.offsets_for_times({place: milliseconds}, ASK_MS)[place]
            return reader.end(place) if found is None else found.offset

    def subscribe(self, topic: Topic, group: str, start: Callable[[int], int] | None = None) -> GroupMember:
        self._name(topic)
        return GroupMember(self._settings, topic, group, start)

    def close(self) -> None:
        """Group members are closed by whom they were handed to."""
        self._readers.close()
        self._admin.close()
        self._producer.close(timeout=ASK_MS / 1000)


def _producer(settings: KafkaSettings) -> KafkaProducer:
    return KafkaProducer(
        **settings.connection(),
        acks="all",
        enable_idempotence=True,
        batch_size=BATCH_BYTES,
        delivery_timeout_ms=settings.timeout_s * 1000,
        request_timeout_ms=min(10, settings.timeout_s) * 1000,
        max_block_ms=settings.timeout_s * 1000,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )


def _check_size(entry: Entry) -> None:
    size = len(entry.key) + len(entry.value) + sum(len(name) + len(value) for name, value in entry.headers)
    if size > kafka_topics.MAX_RECORD_BYTES:
        raise InvalidInput(
            f"a record of {size:,} bytes for {entry.topic.name} is over the log's limit of "
            f"{kafka_topics.MAX_RECORD_BYTES:,}; nothing was appended. Make the shards smaller"
        )


class _Reader:
    """One consumer without a group, standing somewhere in one partition with what it has fetched ahead."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.kafka = KafkaConsumer(
            **settings.connection(), group_id=None, enable_auto_commit=False, auto_offset_reset="earliest",
            allow_auto_create_topics=False, fetch_max_wait_ms=READ_WAIT_MS, metrics_enabled=False,
        )  # fmt: skip
        self.place: TopicPartition | None = None
        self.next = 0
        # As last heard; the log only grows, so up to here there is something to wait for.
        self._known_end = 0

    def end(self, place: TopicPartition) -> int:
        return self.kafka.end_offsets([place], ASK_MS)[place]

    def read(self, place: TopicPartition, offset: int, limit: int) -> list:
        if (self.place, self.next) != (place, offset):
            self.kafka.assign([place])
            self.kafka.seek(place, offset)
            self.place, self.next, self._known_end = place, offset, 0
        found: list = []
        deadline = time.monotonic() + ASK_MS / 1000
        while len(found) < limit and self._more(place):
            for records in self.kafka.poll(READ_WAIT_MS, max_records=limit - len(found)).values():
                found += records
                deadline = time.monotonic() + ASK_MS / 1000
            if time.monotonic() > deadline:
                raise KafkaTimeoutError(f"no records of {place} from {self.next} on, though its end is {self._known_end}")
            # Also past what is no record: a transaction's mark, or what retention took away.
            self.next = self.kafka.position(place, ASK_MS)
        return found

    def _more(self, place: TopicPartition) -> bool:
        if self.next >= self._known_end:
            self._known_end = self.end(place)
        return self.next < self._known_end


class _Readers:
    """Readers that nobody uses just now. At most as many exist as threads ever read at once."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._idle: list[_Reader] = []

    @contextmanager
    def lent(self, place: TopicPartition, offset: int = -1) -> Iterator[_Reader]:
        """A reader for one thread, if possible the one that stands there; one that failed does not come back."""
        with translated(self._settings):
            reader = self._take(place, offset) or _Reader(self._settings)
            try:
                yield reader
            except BaseException:
                reader.kafka.close(autocommit=False, timeout_ms=ASK_MS)
                raise
        with self._lock:
            self._idle.append(reader)

    def _take(self, place: TopicPartition, offset: int) -> _Reader | None:
        with self._lock:
            for reader in self._idle:
                if (reader.place, reader.next) == (place, offset):
                    self._idle.remove(reader)
                    return reader
            return self._idle.pop(0) if self._idle else None

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.kafka.close(autocommit=False, timeout_ms=ASK_MS)
