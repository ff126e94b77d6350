"""The log on Kafka: what a cluster uses. The same promises as the SQLite log, kept by brokers.

One producer for all threads (acks=all, idempotent: a retry after a lost answer writes nothing twice), readers without
a group that are lent to one thread at a time, and group members (`kafka_consumer`). No transactions: they cannot cover
a blob or a store, and the ids inside the records cover the log already.
"""

import threading
from collections.abc import Callable, Iterator, Sequence

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.errors import CoordinatorNotAvailableError, KafkaError, KafkaTimeoutError

from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.log import Entry, Record
from concord.kit.log.kafka import topics
from concord.kit.log.kafka.consumer import GroupMember, records_of
from concord.kit.log.kafka.diagnose import why
from concord.kit.log.kafka.reader import Readers
from concord.kit.log.kafka.settings import KafkaSettings, opened, translated, unavailable
from concord.kit.log.kafka.url import parse
from concord.kit.log.kafka.workarounds.net import ProducerClient
from concord.kit.log.topics import FACTS, Topic

# One request's worth to one partition; an append of many small records then is one round trip, not twenty.
BATCH_BYTES = 512 * 1024
# Sees that a topic is there as it must be, and gives Kafka's own id of it.
Prepare = Callable[[KafkaAdminClient, KafkaSettings, Topic], str]


class KafkaLog:
    """A Log on the brokers that `url` names (see `kafka_url`)."""

    def __init__(self, url: str, prepare: Prepare = topics.ready) -> None:
        """`prepare` sees to a topic before its first use: `ready` makes it where it is missing, `found` makes nothing.

        Raises Unavailable where no broker answers, InvalidInput where the URL or the fact topic is not as it must be.
        """
        self._settings, self._prepare = parse(url), prepare
        self._topics_lock = threading.Lock()
        self._ready: set[Topic] = set()
        self._readers = Readers(self._settings)
        self._admin = _first_contact(self._settings)
        try:
            with translated(self._settings):
                self.log_id = self._identify()
                self._producer: KafkaProducer | None = producer(self._settings)
        except BaseException:
            self._admin.close()
            raise
        self._producer_lock = threading.Lock()

    def _identify(self) -> str:
        """A cluster that was set up anew, or a fact topic that was deleted and made again, is another log."""
        facts = self._prepare(self._admin, self._settings, FACTS)
        self._ready.add(FACTS)
        cluster = self._admin.describe_cluster()["cluster_id"]
        return f"{cluster}/{facts}" if facts else str(cluster)

    def _name(self, topic: Topic) -> str:
        """The topic's name on Kafka, where it now is for certain."""
        if topic not in self._ready:
            with self._topics_lock, translated(self._settings):
                self._prepare(self._admin, self._settings, topic)
                self._ready.add(topic)
        return self._settings.prefix + topic.name

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        _check_sizes(entries)
        # By identity: hashing a Topic for each of a thousand entries costs a tenth of the append.
        names = {key: self._name(topic) for key, topic in {id(entry.topic): entry.topic for entry in entries}.items()}
        with translated(self._settings):
            used = self._usable_producer()
            try:
                sent = [
                    used.send(names[id(entry.topic)], entry.value, entry.key, list(entry.headers), entry.partition)
                    for entry in entries
                ]
                # Undelivered records expire in the producer first, so nothing is sent after the caller heard of a failure.
                used.flush(self._settings.timeout_s + 1)
                return [future.get(0).offset for future in sent]
            except KafkaError:
                self._give_up(used)
                raise

    def _usable_producer(self) -> KafkaProducer:
        with self._producer_lock:
            if self._producer is None:
                self._producer = producer(self._settings)
            return self._producer

    def _give_up(self, used: KafkaProducer) -> None:
        """A producer in which a record expired after it was sent gives its id back, and kafka-python (3.0.12) never asks for
        another: nothing that it is handed from then on is sent. The next append takes a new one."""
        with self._producer_lock:
            if self._producer is used:
                self._producer = None
        # Whatever other threads have in it fails as well, and is said again by them.
        used.close(timeout=0)

    def read(self, topic: Topic, partition: int, offset: int, limit: int) -> Sequence[Record]:
        place = TopicPartition(self._name(topic), partition)
        with self._readers.lent(place, offset) as reader:
            return records_of(topic, reader.read(place, offset, limit))

    def end(self, topic: Topic, partition: int) -> int:
        place = TopicPartition(self._name(topic), partition)
        with self._readers.lent(place) as reader:
            return reader.end(place)

    def partitions(self, topic: Topic) -> int:
        """As the producer knows it: partitions that are added are known within five minutes."""
        name = self._name(topic)
        with translated(self._settings):
            return len(self._usable_producer().partitions_for(name)) or topic.partitions

    def waiting(self, topic: Topic, group: str) -> Iterator[Record]:
        committed = self._committed(topic, group)
        for partition in range(self.partitions(topic)):
            offset, end = committed.get(partition, 0), self.end(topic, partition)
            while offset < end and (records := self.read(topic, partition, offset, end - offset)):
                yield from records
                offset = records[-1].offset + 1

    def _committed(self, topic: Topic, group: str) -> dict[int, int]:
        name, full = self._name(topic), self._settings.prefix + group
        with self._topics_lock, translated(self._settings):
            try:
                found = self._admin.list_group_offsets(full)[full]
            except CoordinatorNotAvailableError:
                # No group has ever committed here, or one cannot know: all of it may wait.
                return {}
        return {place.partition: known.offset for place, known in found.items() if place.topic == name}

    def subscribe(self, topic: Topic, group: str, start: Callable[[int], int] | None = None) -> GroupMember:
        self._name(topic)
        return GroupMember(self._settings, topic, group, start)

    def close(self) -> None:
        """Group members are closed by whom they were handed to."""
        self._readers.close()
        self._admin.close()
        if self._producer is not None:
            self._producer.close(timeout=self._settings.ask_ms / 1000)


def _first_contact(settings: KafkaSettings) -> KafkaAdminClient:
    """The first client, which finds out whether we are let in; raises Unavailable that says why not."""
    given = settings.connection()
    try:
        return opened(KafkaAdminClient, **given)
    except KafkaTimeoutError as error:
        raise Unavailable(f"no way into Kafka: {why(settings, str(error))}") from error
    except KafkaError as error:
        raise unavailable(settings, error) from error


def producer(settings: KafkaSettings) -> KafkaProducer:
    """One for all threads. Durable means acknowledged by all copies that are in step."""
    return opened(
        KafkaProducer,
        ProducerClient,
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


def _check_sizes(entries: Sequence[Entry]) -> None:
    for entry in entries:
        size = len(entry.key) + len(entry.value)
        if entry.headers:
            size += sum(len(name) + len(value) for name, value in entry.headers)
        if size > topics.MAX_RECORD_BYTES:
            raise InvalidInput(
                f"a record of {size:,} bytes for {entry.topic.name} is over the log's limit of "
                f"{topics.MAX_RECORD_BYTES:,}; nothing was appended. Make the shards smaller"
            )
