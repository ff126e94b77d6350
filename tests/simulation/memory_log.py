"""The log in memory, with what a broker does to its clients: several members a group, rebalances, expulsion, delay.

A member learns of a rebalance at its next `poll`, as with Kafka: until then it believes that it owns what it owned. A
member that is expelled (its process died or stalled) loses its partitions at once and hears of it when it polls again;
what it commits of them in between is ignored.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from threading import Lock

from concord.kit.log import Entry, Record
from concord.kit.log.topics import Topic

# partition → (records, from when on each may be polled)
Partitions = dict[int, tuple[list[Record], list[float]]]


class Broker:
    """What outlives its clients: the records and the groups."""

    def __init__(self, clock: Callable[[], float] = time.time, delay: Callable[[], float] = lambda: 0.0) -> None:
        """`delay()` gives the seconds for which a freshly appended record cannot be polled yet."""
        self.log_id = "memory"
        self.clock, self.delay = clock, delay
        self.topics: dict[str, Partitions] = defaultdict(dict)
        # Topic → how many records were appended to it, in a list of one that its consumers hold.
        self.appended: dict[str, list[int]] = defaultdict(lambda: [0])
        self.groups: dict[tuple[str, str], Group] = {}
        self.lock = Lock()
        # Hears of every commit that took effect: (topic, partition, from, to).
        self.committed: Callable[[str, int, int, int], None] = lambda topic, partition, old, new: None

    def partition(self, topic: str, partition: int) -> tuple[list[Record], list[float]]:
        return self.topics[topic].get(partition, ([], []))

    def add(self, entry: Entry) -> int:
        """Appends one entry; where the one before it cannot be polled yet, this one cannot either."""
        now = self.clock()
        records, visible = self.topics[entry.topic.name].setdefault(entry.partition, ([], []))
        offset = len(records)
        self.appended[entry.topic.name][0] += 1
        records.append(Record(entry.topic.name, entry.partition, offset, entry.key, entry.value, now, entry.headers))
        visible.append(max(now + self.delay(), visible[-1] if visible else 0.0))
        return offset

    def group(self, topic: Topic, name: str) -> "Group":
        return self.groups.setdefault((topic.name, name), Group(topic))


class Group:
    """Who owns which partition, and how far each is committed."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.members: list[MemoryConsumer] = []
        # Who shall own it, and who does: a partition changes hands only once its owner let go, or was expelled.
        self.target: dict[int, MemoryConsumer] = {}
        self.owner: dict[int, MemoryConsumer] = {}
        self.committed: dict[int, int] = {}
        self.generation = 0
        # Member → its partitions of the target, looked up once a generation.
        self.shares: dict[MemoryConsumer, set[int]] = {}

    def rebalance(self, chance: Random | None = None) -> None:
        """Spreads the partitions over the members: in turn, or by `chance`."""
        self.generation += 1
        self.shares = {}
        pick = (lambda at: chance.randrange(len(self.members))) if chance else (lambda at: at % len(self.members))
        self.target = {at: self.members[pick(at)] for at in range(self.topic.partitions)} if self.members else {}

    def join(self, member: "MemoryConsumer") -> None:
        self.members.append(member)
        self.rebalance()

    def expel(self, member: "MemoryConsumer") -> None:
        """Takes everything from a member that may know nothing of it."""
        if member in self.members:
            self.members.remove(member)
            self.owner = {at: owner for at, owner in self.owner.items() if owner is not member}
            self.rebalance()


class MemoryLog:
    """A client of a Broker; any number of them share one."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.log_id = broker.log_id

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        with self._broker.lock:
            return [self._broker.add(entry) for entry in entries]

    def read(self, topic: Topic, partition: int, offset: int, limit: int) -> Sequence[Record]:
        return self._broker.partition(topic.name, partition)[0][offset : offset + limit]

    def end(self, topic: Topic, partition: int) -> int:
        return len(self._broker.partition(topic.name, partition)[0])

    def partitions(self, topic: Topic) -> int:
        return topic.partitions

    def waiting(self, topic: Topic, group: str) -> Iterator[Record]:
        committed = self._broker.group(topic, group).committed
        for partition, (records, _) in self._broker.topics[topic.name].items():
            yield from records[committed.get(partition, 0) :]

    def subscribe(self, topic: Topic, group: str, start: Callable[[int], int] | None = None) -> "MemoryConsumer":
        return MemoryConsumer(self._broker, self._broker.group(topic, group), start)

    def close(self) -> None: ...


class MemoryConsumer:
    """One member of a group. `poll` never waits: in the simulation time passes elsewhere."""

    def __init__(self, broker: Broker, group: Group, start: Callable[[int], int] | None) -> None:
        self._broker, self.group, self._start = broker, group, start
        self._partitions = broker.topics[group.topic.name]
        # What this member believes to own, and where each goes on.
        self._next: dict[int, int] = {}
        self._paused: set[int] = set()
        self.generation = -1
        self._turn = 0
        # Until then, and as long as the topic holds only so many records, there is nothing new.
        self.silent_at, self.silent_until, self.appended = -1, 0.0, broker.appended[group.topic.name]
        group.join(self)

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        if self.generation != self.group.generation:
            self._rejoin()
        self._turn += 1
        found: list[Record] = []
        now = self._broker.clock()
        news = self.news(now)
        if len(news) > 1:
            news.sort(key=lambda p: (p + self._turn) % self.group.topic.partitions)
        for partition in news:
            records, visible = self._partitions[partition]
            while self._next[partition] < len(records) and len(found) < limit and visible[self._next[partition]] <= now:
                found.append(records[self._next[partition]])
                self._next[partition] += 1
        return found

    def news(self, now: float) -> list[int]:
        """Partitions of which `poll` would hand something out."""
        appended = self.appended[0]
        if self.silent_at == appended and now < self.silent_until:
            return []
        found, until, following, paused = [], float("inf"), self._next, self._paused
        for partition, (records, visible) in self._partitions.items():
            at = following.get(partition)
            if at is not None and at < len(records) and partition not in paused:
                seen = visible[at]
                if seen <= now:
                    found.append(partition)
                if seen < until:
                    until = seen
        self.silent_at, self.silent_until = -1 if found else appended, until
        return found

    def has_news(self, now: float) -> bool:
        """Whether the next `poll` brings records or another assignment."""
        return self.generation != self.group.generation or bool(self.news(now))

    def stale(self) -> bool:
        """Whether the next `poll` brings another assignment."""
        return self.generation != self.group.generation

    def go_back(self, records: int) -> None:
        """The broker hands out again what it handed out last, in every partition."""
        self.silent_at = -1
        self._next = {partition: max(0, at - records) for partition, at in self._next.items()}

    def leave(self) -> None:
        """The group gives this member up; it hears of that when it polls again, if it ever does."""
        self.group.expel(self)

    def _rejoin(self) -> None:
        """Lets go of what others shall own, takes what is free; goes on doing so until all that it shall own is its."""
        self.silent_at = -1
        group = self.group
        if self not in group.members:
            self._next = {}
            group.join(self)
        generation = group.generation
        mine = group.shares.get(self)
        if mine is None:
            mine = {partition for partition, member in group.target.items() if member is self}
            group.shares[self] = mine
        # As with Kafka, a partition that comes back later is not paused any more.
        self._paused &= mine & set(self._next)
        for partition in [p for p in self._next if p not in mine or group.owner.get(p) is not self]:
            del self._next[partition]
            if group.owner.get(partition) is self:
                del group.owner[partition]
        for partition in sorted(mine - set(self._next)):
            if group.owner.get(partition, self) is self:
                begin = self._start(partition) if self._start else group.committed.get(partition, 0)
                # While it was asked, the group may have gone on without this member.
                if group.target.get(partition) is self and group.owner.get(partition, self) is self:
                    self._next[partition] = begin
                    group.owner[partition] = self
        if mine == set(self._next) and group.generation == generation:
            self.generation = generation

    def assignment(self) -> frozenset[int]:
        return frozenset(self._next)

    def joined(self) -> bool:
        return not self.stale()

    def ends(self) -> Mapping[int, int]:
        partitions = self._partitions
        return {at: len(partitions[at][0]) if at in partitions else 0 for at in self._next}

    def behind(self) -> int:
        return sum(max(0, end - self._next[partition]) for partition, end in self.ends().items())

    def pause(self, partitions: Iterable[int]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Iterable[int]) -> None:
        self.silent_at = -1
        self._paused -= set(partitions)

    def seek(self, partition: int, offset: int) -> None:
        self.silent_at = -1
        self._next[partition] = offset

    def commit(self, positions: Mapping[int, int]) -> None:
        for partition, offset in positions.items():
            if self.group.owner.get(partition) is self:
                old = self.group.committed.get(partition, 0)
                self.group.committed[partition] = offset
                self._broker.committed(self.group.topic.name, partition, old, offset)

    def wake(self) -> None: ...

    def close(self) -> None:
        self._next = {}
        self.group.expel(self)
