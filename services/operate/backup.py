"""`concord backup` and `concord restore`: log, blobs and what only the store knows, in a folder, and back into an empty place.

The folder is laid out as a home is, so every command that reads works on it as it stands. The log is the truth: what a store folded
is not copied, services fold it again. The order makes a copy of a running cluster whole: first the store, whose answers the log may
not have yet; then the log up to where it ended at that moment; last the blobs, each of which was put before the fact that names it.
"""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from concord.kit.blobs import Blobs, FileBlobs
from concord.kit.errors import Corrupt, InvalidInput, Refused
from concord.kit.files import whole
from concord.kit.log import GONE, WRITTEN, Entry, Log, Record
from concord.kit.log.erased import is_erased
from concord.kit.log.sqlite import SqliteLog
from concord.kit.log.topics import FACTS
from concord.kit.loop.run_records import BATCH
from concord.kit.settings import Settings, from_environment, look_at_log, open_blobs, open_log
from concord.kit.store.copies import copied
from concord.kit.urls import without_secrets
from concord.labeling.answer_cache import ANSWERS
from concord.labeling.batch_notes import BATCHES
from concord.operate import verify
from concord.operate.local_records import here
from concord.tasks.tables import SLOTS

# What the log does not say: who holds which question and what was answered but not appended; answers that were paid for, and
# batches that wait for theirs.
KEPT = (SLOTS, ANSWERS, BATCHES)
# Of the home: whose the pseudonyms are, and the secret that links are signed with.
PEOPLE, SECRET = "people", "console-secret"
# What an S3 store has proven of itself says nothing of another one.
OWN = "writes-once/"
SAYS = "backup.json"
VERSION = 1


@dataclass(frozen=True)
class Backup:
    """What a folder holds; `at` in Unix seconds, when it was begun."""

    version: int
    at: float
    records: int
    blobs: int
    bytes: int
    markers: int
    rows: dict[str, int]
    runs: int
    # New since the copy before.
    new_records: int = 0
    new_blobs: int = 0


def made(settings: Settings, folder: Path) -> Backup:
    """Copies everything into the folder, which may hold an earlier copy of the same log: then only what is new is copied.

    Raises InvalidInput for a folder of something else, Corrupt where a record of it is not what the log has, Unavailable.
    """
    begun = time.time()
    there = _ready(folder)
    copy = _as_home(folder)
    with closing(look_at_log(settings)) as log, closing(SqliteLog(_path(copy))) as own:
        rows = copied(KEPT, settings.state_url, copy.state_url, anew=True)
        ends = {at: log.end(FACTS, at) for at in range(FACTS.partitions)}
        new_records, runs = _copy_log(log, own, ends, f"{without_secrets(settings.log_url)} and {folder}")
    blobs, own_blobs = open_blobs(settings), FileBlobs(folder / "blobs")
    new_blobs = _copy_blobs(blobs, own_blobs)
    markers = _copy_markers(blobs, own_blobs)
    _copy_people(Path(settings.home), folder)
    held = list(own_blobs.stored())
    backup = Backup(
        VERSION,
        begun,
        sum(ends.values()),
        len(held),
        sum(b.size for b in held),
        markers,
        rows,
        len(runs),
        new_records,
        new_blobs,
    )
    with whole(there) as unfinished:
        unfinished.write_text(json.dumps(asdict(backup), indent=2) + "\n")
    return backup


def _ready(folder: Path) -> Path:
    """The file that says the copy is whole, which from now on it is not. Raises InvalidInput for a folder of something else."""
    says = folder / SAYS
    begun = folder / f"{SAYS}.begun"
    try:
        if folder.is_dir() and any(folder.iterdir()) and not says.exists() and not begun.exists():
            raise InvalidInput(
                f"{folder} holds something, and no backup: name an empty folder, or one of an earlier backup"
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        begun.touch()
        says.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInput(f"the folder {folder} cannot be written: {error.strerror}; name another") from error
    return says


def _as_home(folder: Path) -> Settings:
    """Settings of a home that lies in the folder, whatever the environment says."""
    return from_environment({}, home=str(folder))


def _path(settings: Settings) -> Path:
    return Path(settings.log_url.removeprefix("sqlite:///"))


def _copy_log(log: Log, own: SqliteLog, ends: Mapping[int, int], where: str) -> tuple[int, set[bytes]]:
    """Appends the new facts; how many those are, and the runs of all. What was erased since goes from the copy too."""
    new, runs = 0, set()
    for at, end in ends.items():
        theirs, mine = _records(log, at, 0, end), _records(own, at, 0, own.end(FACTS, at))
        fresh: list[Record] = []
        for record in theirs:
            runs |= {record.key} if record.key != GONE else set()
            kept = next(mine, None)
            if kept is None:
                fresh.append(_as_first_written(record))
            elif _essence(kept) != _essence(record):
                if not is_erased(record):
                    raise Corrupt(
                        f"{where}: record {record.offset} of partition {at} is another one in the copy; {OTHER}"
                    )
                own.overwrite(FACTS, record)
            if len(fresh) == BATCH:
                own.put_back(fresh)
                fresh, new = [], new + BATCH
        if next(mine, None) is not None:
            raise Corrupt(f"{where}: partition {at} ends at {end}, and the copy has more; {OTHER}")
        own.put_back(fresh)
        new += len(fresh)
    return new, runs


# What is said where a folder holds a copy of something else.
OTHER = "it is of another log, or this one lost or changed facts since. Keep that copy, and name another folder"


def _records(log: Log, partition: int, begin: int, end: int) -> Iterator[Record]:
    """The facts of the partition, one by one. Raises Corrupt where one is missing."""
    while begin < end:
        batch = log.read(FACTS, partition, begin, min(BATCH, end - begin))
        for record in batch:
            if record.offset != begin:
                break
            yield record
            begin += 1
        else:
            if batch:
                continue
        raise Corrupt(
            f"the log has no record {begin} in partition {partition} of {FACTS.name}, though it ends at {end}"
        )


def _essence(record: Record) -> tuple[int, bytes, bytes]:
    return record.offset, record.key, record.value


def _as_first_written(record: Record) -> Record:
    """Without the word of an earlier restoration, which `at` says already."""
    return record._replace(headers=tuple(header for header in record.headers if header[0] != WRITTEN))


def _copy_blobs(source: Blobs, target: Blobs) -> int:
    """Those that are new; their hash is looked at on the way."""
    there = {blob.uri for blob in target.stored()}
    new = [blob.uri for blob in source.stored() if blob.uri not in there]
    for uri in new:
        target.put_pieces(source.pieces(uri))
    return len(new)


def _copy_markers(source: Blobs, target: Blobs) -> int:
    count = 0
    for name in source.markers():
        if not name.startswith(OWN) and (content := source.marker(name)) is not None:
            target.put_if_absent(name, content)
            count += 1
    return count


def _copy_people(source: Path, target: Path) -> None:
    """Names behind pseudonyms, the forgotten ones as forgotten, and the links' secret; of a cluster that is a Secret of its own."""
    if source.resolve() == target.resolve():
        return
    if (source / PEOPLE).is_dir():
        shutil.copytree(source / PEOPLE, target / PEOPLE, dirs_exist_ok=True)
        (target / PEOPLE).chmod(0o700)
    if (source / SECRET).is_file() and not (target / SECRET).exists():
        shutil.copy2(source / SECRET, target / SECRET)


def looked_at(folder: Path) -> Backup:
    """What the folder says it holds. Raises InvalidInput where it is no backup, or one that never came to its end."""
    try:
        said = json.loads((folder / SAYS).read_text())
        backup = Backup(**said)
    except FileNotFoundError:
        begun = (folder / f"{SAYS}.begun").exists()
        why = "was begun and never came to its end: the same `concord backup` goes on" if begun else "is no backup"
        raise InvalidInput(f"{folder} {why} ({SAYS} is missing)") from None
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"{folder / SAYS} cannot be read: {error}") from None
    if backup.version != VERSION:
        raise InvalidInput(f"{folder / SAYS}: version {backup.version}; this Concord reads version {VERSION}")
    return backup


def flaws(folder: Path) -> dict[str, list[str]]:
    """Run → what is wrong with it in the copy: every fact, blob and dataset is read and held against the others."""
    looked_at(folder)
    settings = _as_home(folder)
    found: dict[str, list[str]] = {}
    with here(settings) as place:
        for run_id in _runs(place.log):
            found[run_id] = [flaw.says for flaw in verify.verified(place, run_id).flaws]
    return found


def _runs(log: Log) -> list[str]:
    keys: dict[bytes, None] = {}
    for at in range(FACTS.partitions):
        keys |= dict.fromkeys(record.key for record in _records(log, at, 0, log.end(FACTS, at)) if record.key != GONE)
    return [key.decode(errors="replace") for key in keys]


def restored(folder: Path, settings: Settings) -> Backup:
    """Puts a copy back into what the settings name, which must be empty but for what an earlier try put there.

    Nothing may run there meanwhile. The facts come last: until they stand, nobody takes the place for whole. Raises Refused where
    other facts stand already.
    """
    backup = looked_at(folder)
    copy = _as_home(folder)
    if Path(settings.home).resolve() == folder.resolve():
        raise InvalidInput(f"{folder} is the backup itself: CONCORD_HOME names the folder to restore to")
    with closing(SqliteLog(_path(copy))) as own, closing(open_log(settings)) as log:
        begins = {at: _agreed(own, log, at) for at in range(FACTS.partitions)}
        blobs = open_blobs(settings)
        _copy_blobs(FileBlobs(folder / "blobs"), blobs)
        _copy_markers(FileBlobs(folder / "blobs"), blobs)
        copied(KEPT, copy.state_url, settings.state_url)
        _copy_people(folder, Path(settings.home))
        for at, begin in begins.items():
            rest = _records(own, at, begin, own.end(FACTS, at))
            while batch := list(islice(rest, BATCH)):
                _append(log, batch)
    return backup


def _agreed(own: SqliteLog, log: Log, partition: int) -> int:
    """How many facts of the partition stand there already: those of the copy. Raises Refused for others."""
    end = log.end(FACTS, partition)
    copy = _records(own, partition, 0, own.end(FACTS, partition))
    for record in _records(log, partition, 0, end):
        mine = next(copy, None)
        if mine is None or _essence(mine) != _essence(record):
            raise Refused(
                f"the log holds other facts already (record {record.offset} of partition {partition}): a backup is restored to an "
                "empty place; name another with CONCORD_HOME or the CONCORD_*_URL"
            )
    return end


def _append(log: Log, batch: Sequence[Record]) -> None:
    if isinstance(log, SqliteLog):
        log.put_back(batch)
        return
    entries = [
        Entry(FACTS, r.partition, r.key, r.value, (*r.headers, (WRITTEN, f"{r.at:.3f}".encode()))) for r in batch
    ]
    given = list(log.append(entries))
    if given != [record.offset for record in batch]:
        raise Refused(
            f"partition {batch[0].partition} gave offset {given[0]} to what stood at {batch[0].offset}: somebody else writes to "
            "this log. End all services, delete the topics and restore again"
        )
