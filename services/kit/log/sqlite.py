"""The log in one SQLite file: what a laptop and the tests use.

Write-ahead journal with `synchronous=FULL`: a record that `append` returned for survives a power cut. Threads that
append at the same moment share one transaction. One process a group, held by an OS lock; inside it, a pool.
"""

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from concord.kit.allowance import want
from concord.kit.errors import ConcordError, Corrupt, InvalidInput, Refused, Unavailable
from concord.kit.log import GONE, Entry, Record, topics
from concord.kit.log.topics import Topic

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    key BLOB NOT NULL, value BLOB NOT NULL, at REAL NOT NULL, headers TEXT,
    PRIMARY KEY (topic, partition, offset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ends (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    consumers TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (consumers, topic, partition)) WITHOUT ROWID;
"""
# Another process's append wakes nobody here: a waiting poll looks again after so long, and less often while it finds nothing.
LOOK_AGAIN_S, LOOK_AGAIN_MOST_S = 0.02, 0.1
READ = "SELECT offset, key, value, at, headers FROM records WHERE topic = ? AND partition = ? AND offset >= ? LIMIT ?"


class SqliteLog:
    """A Log in the file at `path`, made where it is missing."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._local = threading.local()
        self._waiting: list[_Batch] = []
        self._waiting_lock = threading.Lock()
        self._write_lock = threading.Lock()
        # One for each topic: an append wakes only those who read it.
        self.appended: dict[str, threading.Condition] = {topic.name: threading.Condition() for topic in topics.ALL}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"the log's folder {path.parent} cannot be made: {error.strerror}; choose another with CONCORD_LOG_URL"
            ) from error
        connection = self.connection()
        with translated(path):
            connection.executescript(SCHEMA)
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('log_id', ?)", (str(uuid4()),))
            (self.log_id,) = connection.execute("SELECT value FROM meta WHERE name = 'log_id'").fetchone()

    def connection(self) -> sqlite3.Connection:
        """This thread's own connection."""
        if not hasattr(self._local, "connection"):
            with translated(self._path):
                connection = sqlite3.connect(self._path, isolation_level=None, timeout=30, check_same_thread=False)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
        return self._local.connection

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        batch = _Batch(entries)
        with self._waiting_lock:
            self._waiting.append(batch)
        with self._write_lock:
            if batch.offsets is None and batch.error is None:
                with self._waiting_lock:
                    together, self._waiting = self._waiting, []
                self._write(together)
        if batch.error is not None:
            raise batch.error
        assert batch.offsets is not None
        return batch.offsets

    def _write(self, batches: "Sequence[_Batch]") -> None:
        """One transaction for all that waited; on an error all of them hear of it."""
        connection = self.connection()
        try:
            with translated(self._path):
                connection.execute("BEGIN IMMEDIATE")
                try:
                    offsets = [self._insert(connection, batch.entries) for batch in batches]
                    connection.execute("COMMIT")
                except BaseException:
                    # Where the disk is full SQLite has done so itself, and an error here would hide the one that says why.
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
        except ConcordError as error:
            for batch in batches:
                batch.error = error
            return
        for batch, given in zip(batches, offsets, strict=True):
            batch.offsets = given
        for topic in {entry.topic.name for batch in batches for entry in batch.entries}:
            with self.appended[topic]:
                self.appended[topic].notify_all()

    def _insert(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> list[int]:
        now = self._clock()
        places = {(entry.topic.name, entry.partition) for entry in entries}
        query = "SELECT next FROM ends WHERE topic = ? AND partition = ?"
        following = {place: (connection.execute(query, place).fetchone() or (0,))[0] for place in places}
        offsets, rows = [], []
        for entry in entries:
            place = (entry.topic.name, entry.partition)
            offsets.append(following[place])
            rows.append((*place, following[place], entry.key, entry.value, now, _headers_text(entry.headers)))
            following[place] += 1
        connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.executemany("INSERT OR REPLACE INTO ends VALUES (?, ?, ?)", [(*p, n) for p, n in following.items()])
        return offsets

    def read(self, topic: Topic, partition: int, offset: int, limit: int) -> Sequence[Record]:
        with translated(self._path):
            rows = self.connection().execute(READ, (topic.name, partition, offset, limit)).fetchall()
        name = topic.name
        try:
            return [
                Record(name, partition, at, key, value, when, _headers(text)) for at, key, value, when, text in rows
            ]
        except (TypeError, ValueError) as error:  # a damaged page may still be read, and hold anything
            raise Corrupt(damaged(self._path, str(error))) from error

    def put_back(self, records: Sequence[Record]) -> None:
        """Writes a copy's records at their old offsets and times; what stands there stays. For a log that nobody follows."""
        rows = [(r.topic, r.partition, r.offset, r.key, r.value, r.at, _headers_text(r.headers)) for r in records]
        ends = [(record.topic, record.partition, record.offset + 1) for record in records]
        with translated(self._path), self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            connection.executemany(
                "INSERT INTO ends VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next = max(next, excluded.next)", ends
            )

    def overwrite(self, topic: Topic, record: Record) -> None:
        """Puts the record in the place of the one at its offset: one that was erased. For a log that nobody follows."""
        new = "UPDATE records SET key = ?, value = ?, headers = ? WHERE topic = ? AND partition = ? AND offset = ?"
        row = (record.key, record.value, _headers_text(record.headers), topic.name, record.partition, record.offset)
        with translated(self._path), self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(new, row)

    def take_out(self, topic: Topic, partition: int, offsets: Sequence[int]) -> None:
        """Empties these records for good; their places stay. For a log that nobody follows at the moment."""
        rows = [(GONE, b"", topic.name, partition, offset) for offset in offsets]
        empty = "UPDATE records SET key = ?, value = ?, headers = NULL WHERE topic = ? AND partition = ? AND offset = ?"
        with translated(self._path), self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(empty, rows)

    def drop(self, topic: Topic, partition: int, offsets: Sequence[int]) -> None:
        """Deletes these records: of a topic in which nobody looks for gaps."""
        rows = [(topic.name, partition, offset) for offset in offsets]
        with translated(self._path), self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM records WHERE topic = ? AND partition = ? AND offset = ?", rows)

    def ends(self, topic: Topic) -> dict[int, int]:
        """Partition → end, for the partitions that hold anything."""
        with translated(self._path):
            return dict(self.connection().execute("SELECT partition, next FROM ends WHERE topic = ?", (topic.name,)))

    def end(self, topic: Topic, partition: int) -> int:
        return self.ends(topic).get(partition, 0)

    def partitions(self, topic: Topic) -> int:
        return topic.partitions

    def committed(self, topic: Topic, group: str) -> dict[int, int]:
        """Partition → the next offset that the group reads."""
        query = "SELECT partition, next FROM positions WHERE consumers = ? AND topic = ?"
        with translated(self._path):
            return dict(self.connection().execute(query, (group, topic.name)))

    def waiting(self, topic: Topic, group: str) -> Iterator[Record]:
        committed = self.committed(topic, group)
        for partition, end in self.ends(topic).items():
            if (begin := committed.get(partition, 0)) < end:
                yield from self.read(topic, partition, begin, end - begin)

    def subscribe(self, topic: Topic, group: str, start: Callable[[int], int] | None = None) -> "SqliteConsumer":
        return SqliteConsumer(self, self._path, topic, group, start)

    def close(self) -> None:
        if hasattr(self._local, "connection"):
            self._local.connection.close()
            del self._local.connection


class SqliteConsumer:
    """The one member of its group: it owns every partition for as long as it holds the lock."""

    def __init__(
        self, log: SqliteLog, path: Path, topic: Topic, group: str, start: Callable[[int], int] | None
    ) -> None:
        self._log, self._topic, self._group, self._start = log, topic, group, start
        self._lock_path = f"{path}.{group}.lock"
        try:
            self._lock: int | None = os.open(self._lock_path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            why = want(error) or f"{error.strerror}; choose another place with CONCORD_LOG_URL"
            raise Unavailable(f"the file {self._lock_path} cannot be opened: {why}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Refused(
                f"another process already runs the group {group!r} on {path}; stop it, or let it do the work"
            ) from None
        self._next: dict[int, int] = {}
        self._paused: set[int] = set()
        self._news = log.appended[topic.name]
        self._woken = False
        self._look_again_s = LOOK_AGAIN_S
        self._turn = 0

    def poll(self, timeout_s: float, limit: int) -> Sequence[Record]:
        if not self._next:
            self._take_all()
        deadline = time.monotonic() + timeout_s
        while True:
            found = self._look(limit)
            self._look_again_s = LOOK_AGAIN_S if found else min(1.25 * self._look_again_s, LOOK_AGAIN_MOST_S)
            left = deadline - time.monotonic()
            if found or self._woken or left <= 0:
                self._woken = False
                return found
            with self._news:
                if not self._woken:
                    self._news.wait(min(left, self._look_again_s))

    def _take_all(self) -> None:
        committed = self._log.committed(self._topic, self._group) if self._start is None else {}
        start = self._start or (lambda partition: committed.get(partition, 0))
        self._next = {partition: start(partition) for partition in range(self._topic.partitions)}

    def _look(self, limit: int) -> list[Record]:
        """Partitions in turn, so that a long one cannot starve the rest."""
        news = [p for p, end in self._log.ends(self._topic).items() if end > self._next[p] and p not in self._paused]
        self._turn += 1
        found: list[Record] = []
        for partition in sorted(news, key=lambda p: (p + self._turn) % self._topic.partitions):
            records = self._log.read(self._topic, partition, self._next[partition], limit - len(found))
            found.extend(records)
            if len(found) >= limit:
                break
        # Only now: a read that raised must not leave what was read before it behind.
        self._next |= {record.partition: record.offset + 1 for record in found}
        return found

    def assignment(self) -> frozenset[int]:
        return frozenset(self._next)

    def joined(self) -> bool:
        return bool(self._next)

    def ends(self) -> Mapping[int, int]:
        return defaultdict(int, self._log.ends(self._topic))

    def behind(self) -> int:
        ends = self._log.ends(self._topic)
        return sum(max(0, ends.get(partition, 0) - at) for partition, at in self._next.items())

    def pause(self, partitions: Iterable[int]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Iterable[int]) -> None:
        self._paused -= set(partitions)

    def seek(self, partition: int, offset: int) -> None:
        self._next[partition] = offset

    def commit(self, positions: Mapping[int, int]) -> None:
        rows = [(self._group, self._topic.name, partition, offset) for partition, offset in positions.items()]
        with translated(self._lock_path):
            self._log.connection().executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)", rows)

    def wake(self) -> None:
        with self._news:
            self._woken = True
            self._news.notify_all()

    def close(self) -> None:
        self._next = {}
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _Batch:
    """One caller's entries on their way into a shared transaction."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.offsets: list[int] | None = None
        self.error: ConcordError | None = None


def damaged(path: object, why: str) -> str:
    """What is said of a log's file that is not what was written."""
    return (
        f"the log {path} is damaged: {why}. Put a copy of it in its place, or save what can be read: "
        f"sqlite3 {path} .recover | sqlite3 saved.sqlite"
    )


def damage(path: Path) -> str:
    """What SQLite's own check finds first in the file, a log or not; empty where it finds nothing. Reads all of it."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # locked, or it cannot be opened: whoever opens it to write says more
        return ""
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if said == "ok" else str(said)


def shrink(path: Path) -> None:
    """Gives the room of what was deleted in a SQLite file back to the disk; nobody else may have it open."""
    with translated(path), closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


SIGNS = {
    # SQLite says so of every error but a full disk: a quota that is used up, a disk that fails.
    "disk I/O error": "; see whether a quota is used up (`quota`, `df -i`) or the disk fails (`dmesg`). Nothing was appended",
    "is full": "; make room, or name another place in CONCORD_LOG_URL. Nothing was appended",
    "readonly": "; let it be written, or name another place in CONCORD_LOG_URL. Nothing was appended",
}


class translated:
    """Turns SQLite's errors into Unavailable that names the file; Corrupt where the file itself is damaged."""

    def __init__(self, path: object) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if type(error) is sqlite3.DatabaseError:
            raise Corrupt(damaged(self._path, str(error))) from error
        if isinstance(error, sqlite3.Error):
            do = next((do for sign, do in SIGNS.items() if sign in str(error)), "")
            raise Unavailable(f"the log {self._path} does not answer: {error}{do}") from error


def _headers_text(headers: tuple[tuple[str, bytes], ...]) -> str | None:
    return json.dumps([[name, value.hex()] for name, value in headers]) if headers else None


def _headers(text: str | None) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, bytes.fromhex(value)) for name, value in json.loads(text)) if text else ()
