"""Reads a Kafka topic without a group: replay, look-ups, ends. Readers are lent to one thread at a time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaTimeoutError

from concord.kit.log.kafka.settings import KafkaSettings, opened, translated

# A round trip for so much of a partition, and as many records as that can be.
FETCH_BYTES = 4 * 1024 * 1024
AT_ONCE = 100_000
WAIT_MS = 500
# A reader is a thread and its connections: after so long without use it goes when another is lent.
UNUSED_S = 300.0


class Reader:
    """One consumer without a group, standing somewhere in one partition with what it has fetched ahead."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._ask_ms = settings.ask_ms
        self.kafka = opened(
            KafkaConsumer,
            **settings.connection(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=FETCH_BYTES,
            metrics_enabled=False,
        )
        self.place: TopicPartition | None = None
        self.next = 0
        self.used_at = 0.0
        # Fetched and not asked for yet. kafka-python fetches on only when nothing of the last fetch is left with it.
        self._ahead: list[ConsumerRecord] = []
        self._ahead_to = 0
        # As last heard; the log only grows, so up to here there is something to wait for.
        self._known_end = 0

    def end(self, place: TopicPartition) -> int:
        return self.kafka.end_offsets([place], self._ask_ms)[place]

    def read(self, place: TopicPartition, offset: int, limit: int) -> list[ConsumerRecord]:
        if (self.place, self.next) != (place, offset):
            self.kafka.assign([place])
            self.kafka.seek(place, offset)
            self.place, self.next, self._ahead, self._ahead_to, self._known_end = place, offset, [], offset, 0
        while len(self._ahead) < limit and self._more(place):
            self._fetch(place)
        found, self._ahead = self._ahead[:limit], self._ahead[limit:]
        self.next = self._ahead[0].offset if self._ahead else self._ahead_to
        return found

    def holds(self) -> bool:
        """Whether it has fetched what nobody asked for yet."""
        return bool(self._ahead)

    def _more(self, place: TopicPartition) -> bool:
        if self._ahead_to >= self._known_end:
            self._known_end = self.end(place)
        return self._ahead_to < self._known_end

    def _fetch(self, place: TopicPartition) -> None:
        for _ in range(self._ask_ms // WAIT_MS):
            for records in self.kafka.poll(WAIT_MS, max_records=AT_ONCE).values():
                self._ahead += records
                self._ahead_to = records[-1].offset + 1
                return
            # What stands there may be no record: a transaction's mark, or a gap that retention left.
            reached = self.kafka.position(place, self._ask_ms)
            if reached > self._ahead_to:
                self._ahead_to = reached
                return
        raise KafkaTimeoutError(f"no records of {place} from {self._ahead_to} on, though its end is {self._known_end}")

    def close(self) -> None:
        self.kafka.close(autocommit=False, timeout_ms=self._ask_ms)


class Readers:
    """Readers that nobody uses just now. At most as many exist as threads ever read at once."""

    def __init__(self, settings: KafkaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._lock = threading.Lock()
        # Those used last stand last.
        self._idle: list[Reader] = []

    @contextmanager
    def lent(self, place: TopicPartition, offset: int = -1) -> Iterator[Reader]:
        """A reader for one thread, if possible the one that stands there; one that failed does not come back.

        Without an offset the reader must not be moved.
        """
        with translated(self._settings):
            reader = self._take(place, offset) or Reader(self._settings)
            try:
                self._close_unused()
                yield reader
            except BaseException:
                reader.close()
                raise
        reader.used_at = self._clock()
        with self._lock:
            self._idle.append(reader)

    def _take(self, place: TopicPartition, offset: int) -> Reader | None:
        """The one that stands there; else the newest that loses nothing by it, so that the others grow old; else the oldest."""
        with self._lock:
            newest_first = self._idle[::-1]
            stands = (reader for reader in newest_first if (reader.place, reader.next) == (place, offset))
            free = (reader for reader in newest_first if offset < 0 or not reader.holds())
            reader = next(chain(stands, free, self._idle), None)
            if reader is not None:
                self._idle.remove(reader)
            return reader

    def _close_unused(self) -> None:
        """What is needed was taken before: a log that is asked once in an hour keeps its one reader."""
        before = self._clock() - UNUSED_S
        with self._lock:
            unused = [reader for reader in self._idle if reader.used_at < before]
            self._idle = [reader for reader in self._idle if reader.used_at >= before]
        for reader in unused:
            reader.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()
