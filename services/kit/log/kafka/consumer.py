"""One member of a Kafka consumer group: what it owns, where each partition starts, what it may hand out.

Rebalances come only inside `poll`, on kafka-python's own thread, while the polling thread waits. They only note what
changed. A newly assigned partition is paused at once, and taken up at the next `poll`: only then is `start` asked (it
may read a store for seconds) and only then can a record of it be handed out. So a partition that was lost and came
back within one poll is seen to be gone in between.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError, RetriableError
from kafka.structs import OffsetAndMetadata

from concord.kit.log import WRITTEN, Record
from concord.kit.log.kafka.settings import KafkaSettings, opened, translated, unavailable
from concord.kit.log.kafka.workarounds.join import has_joined, keep_join
from concord.kit.log.topics import Topic

# A waiting poll looks up so often whether it was woken.
SLICE_S = 0.05
# The broker answers an empty fetch after so long; only then can a partition that was resumed be fetched.
FETCH_WAIT_MS = 100
# A member hears of a rebalance from the answer to its heartbeat.
HEARTBEAT_MS = 1000
# A rebalance takes two rounds, each after a heartbeat; whoever has nothing after that is a spare.
SETTLED_S = 3.0
# A broker that does not answer is said so often.
SAY_AGAIN_S = 60.0
LOGGER = structlog.get_logger()


class GroupMember:
    """A Consumer on Kafka. Eager assignors would stop all work at each scaling step; this one moves only what must."""

    def __init__(self, settings: KafkaSettings, topic: Topic, group: str, start: Callable[[int], int] | None) -> None:
        self._settings, self._topic, self._start = settings, topic, start
        self._name = settings.prefix + topic.name
        self._logger = LOGGER.bind(group=settings.prefix + group, topic=self._name)
        self._owned: set[int] = set()
        # Assigned, but not taken up yet.
        self._fresh: set[int] = set()
        # Positions whose commit fell into a rebalance: saved when it is over.
        self._unsaved: dict[int, int] = {}
        self._changed = self._joined = False
        # Since when the group has had this member in it, and nothing for it to do.
        self._idle_since: float | None = None
        # A silence is looked at twenty times a second, and broken now and then by a poll that meets no error.
        self._said_at = float("-inf")
        self._woken = threading.Event()
        with translated(settings):
            self._kafka = opened(
                KafkaConsumer,
                **settings.connection(),
                group_id=settings.prefix + group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                partition_assignment_strategy=(CooperativeStickyAssignor,),
                session_timeout_ms=settings.session_ms,
                heartbeat_interval_ms=min(HEARTBEAT_MS, settings.session_ms // 5),
                max_poll_interval_ms=settings.poll_interval_ms,
                fetch_max_wait_ms=FETCH_WAIT_MS,
            )
            self._kafka.subscribe([self._name], listener=_Listener(self._take_in, self._let_go))

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._name, partition)

    def _take_in(self, partitions: Iterable[TopicPartition]) -> None:
        for place in partitions:
            self._kafka.pause(place)
            if self._start is not None:
                # Any position will do until it is taken up: it saves asking for one that was committed.
                self._kafka.seek(place, 0)
            self._fresh.add(place.partition)
        self._changed = True

    def _let_go(self, partitions: Iterable[TopicPartition]) -> None:
        for place in partitions:
            self._fresh.discard(place.partition)
            self._owned.discard(place.partition)
            self._unsaved.pop(place.partition, None)
        self._changed = True

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        deadline = time.monotonic() + timeout_s
        self._changed = False
        self._take_up()
        self._look_whether_joined()
        self._save()
        while True:
            left = max(0.0, deadline - time.monotonic())
            found = self._fetch(min(left, SLICE_S), limit)
            if found or self._changed or left == 0 or self._woken.is_set():
                self._woken.clear()
                return found

    def _look_whether_joined(self) -> None:
        """An empty assignment counts only once it has lasted: it is also what a group gives before it knows the topic, and
        to a newcomer while the others still let go of what it shall have."""
        if self._owned or not has_joined(self._kafka):
            self._joined, self._idle_since = bool(self._owned), None
            return
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        self._joined = now - self._idle_since >= SETTLED_S

    def _take_up(self) -> None:
        """Where `start` fails the partition stays fresh, and the next poll tries again."""
        for partition in sorted(self._fresh):
            if self._start is not None:
                self._kafka.seek(self._place(partition), self._start(partition))
            self._kafka.resume(self._place(partition))
            self._fresh.discard(partition)
            self._owned.add(partition)

    def _fetch(self, timeout_s: float, limit: int) -> list[Record]:
        try:
            keep_join(self._kafka)
            found = self._kafka.poll(timeout_ms=int(timeout_s * 1000), max_records=limit)
        except RetriableError as error:
            if time.monotonic() - self._said_at >= SAY_AGAIN_S:
                self._logger.warning("Kafka does not answer; polling on", why=str(error) or type(error).__name__)
                self._said_at = time.monotonic()
            self._woken.wait(timeout_s)
            return []
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return [record for records in found.values() for record in records_of(self._topic, records)]

    def assignment(self) -> frozenset[int]:
        return frozenset(self._owned)

    def joined(self) -> bool:
        return self._joined and not self._fresh

    def ends(self) -> Mapping[int, int]:
        if not self._owned:
            return {}
        with translated(self._settings):
            ends = self._kafka.end_offsets([self._place(p) for p in self._owned], self._settings.ask_ms)
        return {place.partition: end for place, end in ends.items()}

    def behind(self) -> int:
        ends = self.ends()
        with translated(self._settings):
            found = {p: self._kafka.position(self._place(p), self._settings.ask_ms) for p in ends}
        return sum(max(0, ends[p] - position) for p, position in found.items() if position is not None)

    def pause(self, partitions: Iterable[int]) -> None:
        self._kafka.pause(*[self._place(p) for p in self._owned.intersection(partitions)])

    def resume(self, partitions: Iterable[int]) -> None:
        self._kafka.resume(*[self._place(p) for p in self._owned.intersection(partitions)])

    def seek(self, partition: int, offset: int) -> None:
        if partition in self._owned:
            self._kafka.seek(self._place(partition), offset)

    def commit(self, positions: Mapping[int, int]) -> None:
        self._unsaved |= {p: offset for p, offset in positions.items() if p in self._owned}
        self._save()

    def _save(self) -> None:
        if not self._unsaved:
            return
        offsets = {self._place(p): OffsetAndMetadata(offset, "", -1) for p, offset in self._unsaved.items()}
        try:
            self._kafka.commit(offsets, timeout_ms=self._settings.ask_ms)
        except RebalanceInProgressError:
            return
        except CommitFailedError:
            # The group gave this member up and its partitions to others, who start from what was committed before.
            self._logger.warning("not committed: the group goes on without this member", partitions=len(offsets))
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        self._unsaved = {}

    def wake(self) -> None:
        # Asked first: to set it takes a lock, and a step's many units all wake one poll.
        if not self._woken.is_set():
            self._woken.set()

    def close(self) -> None:
        try:
            self._kafka.close(autocommit=False, timeout_ms=self._settings.ask_ms)
        except KafkaError as error:
            self._logger.warning(
                "left the group without a word; others take over when the session ends", why=str(error)
            )
        self._owned.clear()


class _Listener(ConsumerRebalanceListener):
    """Hands kafka-python's notices on. Lost is revoked too late to commit, which is never done here."""

    def __init__(
        self, take_in: Callable[[Iterable[TopicPartition]], None], let_go: Callable[[Iterable[TopicPartition]], None]
    ) -> None:
        self._take_in, self._let_go = take_in, let_go

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._take_in(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._let_go(revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._let_go(lost)


def records_of(topic: Topic, records: Sequence[ConsumerRecord]) -> list[Record]:
    """Records in Concord's words; times are milliseconds in Kafka."""
    name = topic.name
    return [
        Record(name, r.partition, r.offset, r.key or b"", r.value or b"", _written(r), tuple(r.headers))
        for r in records
    ]


def _written(record: ConsumerRecord) -> float:
    """When the record was appended: the broker's word, but for one that was put back from a backup, which has brought its own."""
    for name, value in record.headers:
        if name == WRITTEN:
            with suppress(ValueError):
                return float(value)
    return record.timestamp / 1000
