"""What `concord rm` and `concord gc` do: a run taken out of the folder, and blobs freed that no run names.

Only where the log is this machine's own file and nobody follows it: the locks of all services are held meanwhile, so that no
unit runs and nothing is put that a fact has yet to name.
"""

import fcntl
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from concord.client.results.results_dir import folder
from concord.kit.blobs import Blobs, FileBlobs, Stored, named, series
from concord.kit.errors import InvalidInput, Refused
from concord.kit.ids import result_id, work_id
from concord.kit.log import GONE, Log, Record, topics
from concord.kit.log.sqlite import SqliteLog, shrink
from concord.kit.log.topics import DEAD_LETTERS, FACTS, Topic, fact_partition
from concord.kit.loop.run_records import BATCH, records
from concord.kit.settings import Settings, open_blobs, open_log, open_store
from concord.kit.urls import without_secrets
from concord.operate import tamper
from concord.training.trainer import checkpoint_name, progress_name
from concord.v1.events_pb2 import Event, ModelManifest, Stage
from concord.v1.runs_service_pb2 import RunView
from concord.v1.work_pb2 import DeadLetter, Work

SQLITE = "sqlite:///"
WORK = tuple(topic for topic in topics.ALL if topic not in (FACTS, DEAD_LETTERS))


@contextmanager
def alone(settings: Settings, services: Collection[str]) -> Iterator[SqliteLog]:
    """The log, which no process follows for as long as the block lasts.

    Raises InvalidInput for a log that is not a file here, Refused where a process runs services on it.
    """
    if not settings.log_url.startswith(SQLITE):
        raise InvalidInput(
            f"CONCORD_LOG_URL={without_secrets(settings.log_url)}: on Kafka a fact stands for ever, and other machines may follow "
            "it: nothing is removed there. `concord cancel RUN` ends a run; facts go with their topics, and blobs by a rule of "
            "the bucket once nobody needs any run of it"
        )
    path = settings.log_url.removeprefix(SQLITE)
    if not Path(path).exists():
        raise Refused(f"there is no log at {path}, so there is nothing to remove; CONCORD_HOME names another folder")
    with ExitStack() as held:
        held.enter_context(unfollowed(settings, services))
        log = open_log(settings)
        held.callback(log.close)
        assert isinstance(log, SqliteLog)
        yield log


@contextmanager
def unfollowed(settings: Settings, services: Collection[str]) -> Iterator[None]:
    """Holds the locks of all services on a log that is a file here, made or not; of another log nobody can be sure.

    Raises Refused where a process runs services on it.
    """
    path = settings.log_url.removeprefix(SQLITE)
    with ExitStack() as held:
        for name in services if path != settings.log_url else ():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(open(f"{path}.{name}.lock", "ab"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(
                    f"a process runs `{name}` on {path} now: units may be under way. End it (or wait for its run), then try again"
                ) from None
        yield


def family(views: Iterable[RunView], run_id: str) -> list[RunView]:
    """The run and what was begun beside it. Raises Refused where another run goes on from one of them."""
    views = list(views)
    found = [view for view in views if run_id in (view.run_id, view.side_of)]
    ids = {view.run_id for view in found}
    for view in views:
        if view.config.parent.run_id in ids and view.run_id not in ids:
            raise Refused(
                f"run {view.run_id} goes on from it, with its pairs and people's answers: remove that one first, or keep both"
            )
    return found


@dataclass(frozen=True)
class Removed:
    """What went with a run."""

    facts: int
    items: int
    markers: int
    folder: Path | None


def remove(settings: Settings, log: SqliteLog, run_id: str) -> Removed:
    """Takes the run out of log, store, markers and results. Said again after a crash it does what is left."""
    kept = list(records(log, run_id))
    events = tamper.decoded(run_id, kept)[0].events
    blobs = open_blobs(settings)
    markers = list(_markers(run_id, events, blobs))
    if isinstance(blobs, FileBlobs):
        for name in markers:
            blobs.drop_marker(name)
    items = sum(_drop(log, topic, run_id) for topic in (*WORK, DEAD_LETTERS))
    results = folder(settings.home, run_id)
    if results.is_dir():
        shutil.rmtree(results)
    # The facts last: until they are gone the run is found, and can be removed again.
    store = open_store(settings)
    store.forget(run_id)
    store.close()
    log.take_out(FACTS, fact_partition(run_id), [record.offset for record in kept])
    return Removed(len(kept), items, len(markers), results)


def _markers(run_id: str, events: Sequence[Event], blobs: Blobs) -> Iterator[str]:
    """The names of what workers wrote down about the run's units."""
    units = {event.unit.SerializeToString(): event.unit for event in events if event.unit.stage in Stage.values()}
    for unit in units.values():
        yield f"done/{result_id(run_id, unit)}"
        for number in range(1, MOST_ATTEMPTS + 1):
            yield f"begun/{work_id(run_id, unit)}.{number}"
            yield f"ended/{work_id(run_id, unit)}.{number}"
        for name in (checkpoint_name, progress_name):
            yield from series.names(blobs, name(work_id(run_id, unit)))


# A unit is given up long before.
MOST_ATTEMPTS = 20


def _drop(log: SqliteLog, topic: Topic, run_id: str) -> int:
    """Deletes the run's work items, or its dead letters; how many there were."""
    count = 0
    for partition in log.ends(topic):
        mine = [record.offset for record in _all(log, topic, partition) if _run_of(topic, record) == run_id]
        log.drop(topic, partition, mine)
        count += len(mine)
    return count


def _run_of(topic: Topic, record: Record) -> str:
    try:
        value = DeadLetter.FromString(record.value).value if topic == DEAD_LETTERS else record.value
        return Work.FromString(value).run_id
    except DecodeError:
        return ""


def _all(log: Log, topic: Topic, partition: int) -> Iterator[Record]:
    offset = 0
    while batch := log.read(topic, partition, offset, BATCH):
        yield from batch
        offset = batch[-1].offset + 1


@dataclass(frozen=True)
class Garbage:
    """Blobs of a folder: those that no run names and that are old enough to go, and what stays."""

    gone: tuple[Stored, ...]
    young: int
    kept: int
    kept_bytes: int
    runs: int

    @property
    def bytes(self) -> int:
        return sum(blob.size for blob in self.gone)


def garbage(log: SqliteLog, blobs: FileBlobs, now: float, grace_s: float) -> Garbage:
    """What `sweep` would free: named by no fact of any run, by no result that waits to be said, and older than `grace_s`."""
    names, runs = _named(log, blobs)
    gone, young, kept, size = [], 0, 0, 0
    for blob in blobs.stored():
        if blob.uri in names:
            kept, size = kept + 1, size + blob.size
        elif now - blob.written_at < grace_s:
            young += 1
        else:
            gone.append(blob)
    return Garbage(tuple(gone), young, kept, size, runs)


def _named(log: SqliteLog, blobs: FileBlobs) -> tuple[set[str], int]:
    """Every blob that is named somewhere, and by how many runs."""
    names: set[str] = set()
    runs: set[str] = set()
    opened: set[str] = set()
    for partition in log.ends(FACTS):
        for record in _all(log, FACTS, partition):
            if record.value and record.key != GONE:
                names |= _of(record.value, Event, blobs, opened)
                runs.add(record.key.decode(errors="replace"))
    for topic in WORK:
        for partition in log.ends(topic):
            for record in _all(log, topic, partition):
                names |= _of(record.value, Work, blobs, opened) | _begun(record.value, blobs)
    for content in blobs.results():
        names |= _of(content, Event, blobs, opened)
    return names, len(runs)


def _of(value: bytes, kind: type[Event] | type[Work], blobs: FileBlobs, opened: set[str]) -> set[str]:
    try:
        return set(named.of_messages([kind.FromString(value)], blobs.get, opened))
    except DecodeError:
        return set()


def _begun(value: bytes, blobs: FileBlobs) -> set[str]:
    """What was kept of a training that has not come to its end."""
    try:
        work = Work.FromString(value)
        if blobs.marker(f"done/{result_id(work.run_id, work.unit)}") is not None:
            return set()
        _, content = series.last(blobs, checkpoint_name(work.work_id))
        return {uri for _, uri in named.in_message(ModelManifest.FromString(content))}
    except (DecodeError, ValueError):
        return set()


def sweep(settings: Settings, blobs: FileBlobs, found: Garbage) -> None:
    """Frees the blobs, and gives the room of removed runs in log and store back to the disk."""
    for blob in found.gone:
        blobs.drop(blob.uri)
    compact(settings)


def compact(settings: Settings) -> None:
    """Leaves nothing of what was deleted in files of SQLite; nobody else may have them open."""
    for url in (settings.log_url, settings.state_url):
        if url.startswith(SQLITE) and (path := Path(url.removeprefix(SQLITE))).exists():
            shrink(path)
