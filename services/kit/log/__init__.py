"""The log: what every implementation (SQLite, Kafka, the simulation's) promises, and nothing more.

A topic has partitions, a partition has records at offsets 0, 1, 2 …, a record never changes. `append` returns once the
records are durable. A consumer group gives each partition to one member at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from concord.kit.log.topics import Topic

# The key of a record whose content was taken out, because somebody removed its run: it holds the place, so that no reader takes
# what is missing for a loss.
GONE = b"\0gone"
# Of a record that was put back from a backup: when it was first appended, Unix seconds as text. A log that stamps each record
# itself would say of all of them that they are of today.
WRITTEN = "concord-written"


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to append; headers are for tracing and dead letters, the value alone must be enough to replay."""

    topic: Topic
    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Record(NamedTuple):
    """A record as read; `at` is the log's own append time in Unix seconds.

    A tuple, for a frozen dataclass takes five times as long to make, a tenth of what a reactor does with a fact.
    """

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    at: float
    headers: tuple[tuple[str, bytes], ...] = ()


class Consumer(Protocol):
    """One member of one group on one topic. Not thread-safe: the thread that polls does nothing else."""

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        """Up to `limit` records of the assigned, not paused partitions, each partition's in order without gaps.

        Waits up to `timeout_s` where there is nothing yet. Joining, leaving and rebalancing happen inside.
        """

    def assignment(self) -> frozenset[int]:
        """The partitions this member owns now."""

    def joined(self) -> bool:
        """Whether the group has taken this member in, be it with nothing to do, as of the last `poll`."""

    def ends(self) -> Mapping[int, int]:
        """For each owned partition the offset that the next appended record gets: a barrier, read from the log itself."""

    def behind(self) -> int:
        """How many records of the owned partitions `poll` has not handed out yet; asks the log as `ends` does."""

    def pause(self, partitions: Iterable[int]) -> None:
        """`poll` skips them until `resume`; they stay owned."""

    def resume(self, partitions: Iterable[int]) -> None: ...

    def seek(self, partition: int, offset: int) -> None:
        """`poll` goes on there; nothing of the partition fetched before is handed out."""

    def commit(self, positions: Mapping[int, int]) -> None:
        """Stores partition → next offset to read for the group. A partition not owned any more is left out."""

    def wake(self) -> None:
        """Ends a waiting `poll` soon; may be called from any thread."""

    def close(self) -> None:
        """Leaves the group, so that another member takes over at once."""


class Log(Protocol):
    """Where facts and work live. Thread-safe, but for the consumers it hands out."""

    log_id: str
    """Names this log: a store that followed another log is worthless here."""

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        """Makes the entries durable, in order within each partition, and returns their offsets.

        Raises Unavailable where durability is not certain; the entries may then be in the log all the same, which the
        ids inside them make harmless.
        """

    def read(self, topic: Topic, partition: int, offset: int, limit: int) -> Sequence[Record]:
        """Up to `limit` records from `offset` on; empty at the end. Belongs to no group and moves no position."""

    def end(self, topic: Topic, partition: int) -> int:
        """The offset that the next record gets."""

    def partitions(self, topic: Topic) -> int:
        """How many the topic has now."""

    def waiting(self, topic: Topic, group: str) -> Iterator[Record]:
        """The records that the group has not committed: those that wait and those that are under way."""

    def subscribe(self, topic: Topic, group: str, start: Callable[[int], int] | None = None) -> Consumer:
        """Joins a group. `start(partition)` gives the offset to begin at, asked whenever a partition is newly assigned;
        without it the group's committed position counts, and 0 where there is none.

        Raises Refused where the implementation allows one process a group and another process is it.
        """

    def close(self) -> None: ...
