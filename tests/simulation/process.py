"""A process that may die, stall or lose its connection at any call that it makes to the world outside."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import Unavailable
from concord.kit.log import Entry, Record
from concord.kit.log.topics import FACTS, Topic
from concord.kit.store import Also, Position, RunChange
from concord.kit.store.memory import MemoryStore
from tests.simulation.memory_log import MemoryConsumer, MemoryLog

# Who appended a record; and field 2015 of a message, which this version does not know.
BY = "simulated-by"
NEWER = b"\xfa\x7d\x05newer"


class Crashed(BaseException):
    """The process is gone; nothing in production code can catch this."""


@dataclass
class Fuse:
    """What happens at the `calls`-th call from now; `only` names the calls that count, none: all."""

    kind: str
    calls: int
    only: tuple[str, ...] = ()


class Process:
    """One operating-system process; all that it does to the world goes through `io`."""

    def __init__(
        self, name: str, fired: Callable[["Process", str], None], later: Callable[[Callable[[], object]], None]
    ) -> None:
        """`fired(process, kind)` hears of a fuse that burnt down; `later(call)` makes a call land some time later."""
        self.name, self._fired, self._later = name, fired, later
        self.fuse: Fuse | None = None
        self.busy = False
        self.dead = False
        # Of its clock, seconds; and whether it runs the next version.
        self.skew, self.newer = 0.0, False
        self.consumer: MemoryConsumer | None = None

    def io(self, name: str, call: Callable, *given: Any) -> Any:
        """Makes the call, unless the fuse says otherwise."""
        fuse = self.fuse
        if fuse is None or (fuse.only and name not in fuse.only):
            return call(*given)
        if not self._applies(fuse.kind, name, given):
            return call(*given)
        fuse.calls -= 1
        if fuse.calls > 0:
            return call(*given)
        self.fuse = None
        self._fired(self, fuse.kind)
        match fuse.kind:
            case "crash before":
                raise Crashed
            case "crash after":
                call(*given)
                raise Crashed
            case "outage before":
                raise Unavailable(f"{name} fails, nothing happened")
            case "outage after":
                call(*given)
                raise Unavailable(f"{name} fails, though it happened")
            case "late":
                self._later(lambda: call(*given))
                raise Unavailable(f"{name} fails, and happens later")
            case "twice":
                call(*given)
            case "torn append":
                # A broker takes each partition's batch by itself: the first ones may stand, and the rest not.
                call(given[0][: len(given[0]) // 2])
                raise Unavailable(f"{name} fails half-way")
            case "work lost":
                return call([entry for entry in given[0] if entry.topic == FACTS])
        return call(*given)

    def _applies(self, kind: str, name: str, given: tuple) -> bool:
        if kind == "torn append":
            return name == "append" and len(given[0]) > 1
        if kind == "work lost":
            return any(entry.topic != FACTS for entry in given[0])
        # A poll that fails has handed nothing out; reactors are to bear even one that breaks this promise.
        return not (kind == "outage after" and name == "poll" and not self.name.startswith(("runs", "tasks")))


class ProcessLog:
    """The process's client of the log."""

    def __init__(self, log: MemoryLog, process: Process) -> None:
        self._log, self._process, self.log_id = log, process, log.log_id
        self.end, self.read, self.partitions, self.waiting = log.end, log.read, log.partitions, log.waiting

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        return self._process.io("append", self._log.append, [self._signed(entry) for entry in entries])

    def _signed(self, entry: Entry) -> Entry:
        """With the process's name, for the check of who may say what; a newer version's facts hold a field more."""
        more = NEWER if self._process.newer and entry.topic == FACTS else b""
        return replace(entry, value=entry.value + more, headers=(*entry.headers, (BY, self._process.name.encode())))

    def subscribe(self, topic: Topic, group: str, start: Callable[[int], int] | None = None) -> "ProcessConsumer":
        self._process.consumer = self._log.subscribe(topic, group, start)
        return ProcessConsumer(self._process.consumer, self._process)

    def close(self) -> None: ...


class ProcessConsumer:
    """The process's membership of a group."""

    def __init__(self, consumer: MemoryConsumer, process: Process) -> None:
        self._consumer, self._process = consumer, process
        self.assignment, self.ends, self.seek = consumer.assignment, consumer.ends, consumer.seek
        self.joined, self.behind = consumer.joined, consumer.behind
        self.pause, self.resume, self.wake, self.close = (
            consumer.pause,
            consumer.resume,
            consumer.wake,
            consumer.close,
        )

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        return self._process.io("poll", self._consumer.poll, timeout_s, limit)

    def commit(self, positions: Mapping[int, int]) -> None:
        self._process.io("commit", self._consumer.commit, positions)


class ProcessStore:
    """The process's connection to the shared store."""

    def __init__(self, store: MemoryStore, process: Process) -> None:
        self._store, self._process, self.alone = store, process, store.alone

    def position(self, service: str, partition: int) -> Position:
        return self._process.io("position", self._store.position, service, partition)

    def positions(self, service: str) -> dict[int, int]:
        return self._process.io("positions", self._store.positions, service)

    def save(
        self,
        service: str,
        partition: int,
        read: Position,
        to: Position,
        changes: Sequence[RunChange],
        also: Also | None,
    ) -> None:
        self._process.io("save", self._store.save, service, partition, read, to, changes, also)

    def discard(self, service: str, partition: int, also: Also | None) -> None:
        self._process.io("discard", self._store.discard, service, partition, also)

    def rows(self, service: str, run_id: str, only: Sequence[str] = ()) -> dict[str, bytes]:
        return self._process.io("rows", self._store.rows, service, run_id, only)

    def runs(self, service: str, partition: int | None = None, active_only: bool = False) -> Iterable[str]:
        return self._store.runs(service, partition, active_only)


class FrontStore(ProcessStore):
    """For handlers of commands: whatever was appended counts as folded, so no handler waits for another replica."""

    def passed(self, service: str, partition: int, offset: int, wait_s: float) -> bool:
        return True


class ProcessBlobs:
    """The process's client of the blob store."""

    def __init__(self, blobs: MemoryBlobs, process: Process) -> None:
        self._blobs, self._process = blobs, process
        self.get = blobs.get

    def put(self, content: bytes) -> str:
        return self._process.io("put", self._blobs.put, content)

    def put_if_absent(self, name: str, content: bytes) -> bytes:
        return self._process.io("put_if_absent", self._blobs.put_if_absent, name, content)

    def note(self, name: str, content: bytes) -> None:
        self._process.io("note", self._blobs.note, name, content)

    def marker(self, name: str) -> bytes | None:
        return self._process.io("marker", self._blobs.marker, name)
