"""The SQLite log beside pyeventsourcing's: what `benchmarks.log` repeats."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import UUID, uuid4

from benchmarks.measure import seconds
from concord.kit.log import Entry
from concord.kit.log.sqlite import SqliteLog
from concord.kit.log.topics import FACTS

PAYLOAD_BYTES = 600
BATCH = 500
READ = 2000


def batches(count: int) -> list[list[bytes]]:
    """`count` payloads that differ, in batches; one batch holds the facts of one run."""
    values = [(b"%09d" % n).ljust(PAYLOAD_BYTES, b"x") for n in range(count)]
    return [values[at : at + BATCH] for at in range(0, count, BATCH)]


@cache
def aggregate() -> type:
    """An aggregate with one kind of event; made once, as the library remembers classes by their name."""
    from eventsourcing.domain import Aggregate, event

    class Run(Aggregate):
        @event("Said")
        def say(self, text: str) -> None:
            pass

    return Run


class Sqlite:
    """One repeat each: a fresh file, `count` facts; returns facts a second."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._batches, self._count = folder, batches(count), count

    def append_ours(self) -> float:
        """Facts a second through `SqliteLog.append`, a batch and a flushed transaction each; more is better, as everywhere here."""
        with self._fresh() as path:
            log = SqliteLog(path)
            spent = seconds(
                lambda: [log.append([Entry(FACTS, 3, b"run", v) for v in batch]) for batch in self._batches]
            )
            log.close()
            return self._count / spent

    def read_ours(self) -> float:
        """Facts a second through `SqliteLog.read`, from the log's start to its end."""
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
        """The same facts as events of eventsourcing's aggregate, saved a batch at a time."""
        with self._application() as application:
            run, texts = aggregate()(), [[value.decode() for value in batch] for batch in self._batches]

            def save() -> None:
                for batch in texts:
                    for text in batch:
                        run.say(text)
                    application.save(run)

            return self._count / seconds(save)

    def append_recorder(self) -> float:
        """The same through eventsourcing's recorder alone, without aggregate and mapper."""
        with self._application() as application:
            return self._count / seconds(lambda: self._insert(application))

    def read_recorder(self) -> float:
        """Notifications a second that the recorder gives, from the first to the last."""
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
