"""Holds a run against everything that was kept of it: its facts, its stage manifests, stores, markers, blobs, its dataset."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from concord.client.results.records import Records
from concord.kit.blobs import named
from concord.kit.blobs.pieces import Hashed
from concord.kit.errors import ConcordError, NotFound, Unavailable
from concord.kit.log import Log, Record
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.run_records import BATCH
from concord.kit.plural import many
from concord.operate import tamper
from concord.operate.local_records import Here
from concord.operate.tamper import Facts, Flaw
from concord.preference import datasets
from concord.runs import service as runs
from concord.tasks import service as tasks
from concord.triage.dataset import sha256_of

# So many blobs that are missing or broken are named.
MOST_NAMED = 5


@dataclass(frozen=True)
class Verified:
    """What was found, what was looked at, and the last fact that nothing speaks against."""

    run_id: str
    flaws: tuple[Flaw, ...]
    notes: tuple[str, ...]
    good: int | None
    # Whether the run has come to its end: until then nothing holds its last facts but the stores.
    ended: bool = True

    @property
    def first(self) -> int | None:
        """The first offset that is known to be wrong."""
        return min((flaw.offset for flaw in self.flaws if flaw.offset is not None), default=None)


def facts_of(run_id: str, records: list[Record], read: tamper.Read | None) -> tuple[Facts, list[Flaw], int | None]:
    """What the facts alone say of each other: the facts, what is wrong, the last stage that its manifest vouches for."""
    facts, flaws = tamper.decoded(run_id, records)
    flaws += tamper.misnamed(facts)
    unlike, good = tamper.unlike_manifest(run_id, facts, read)
    return facts, [*flaws, *unlike, *tamper.unlike_chain(facts), *tamper.secretly_erased(facts)], good


def verified(place: Records, run_id: str) -> Verified:
    """Everything that can be looked at from this place; through a front door that is less. Raises NotFound, Unavailable."""
    # Before the log is read: while services run, a store must not seem to know more than it.
    witnesses = _witnesses(place, run_id) if isinstance(place, Here) else []
    records = list(place.of(run_id))
    facts, flaws, good = facts_of(run_id, records, place.blob)
    notes = [
        f"{many(len(records), 'fact')}, the last at offset {records[-1].offset} of partition {fact_partition(run_id)}"
    ]
    if isinstance(place, Here):
        flaws += [flaw for witness in witnesses for flaw in tamper.unlike_store(facts, witness)]
        flaws += tamper.unlike_marker(facts, place.blobs.marker)
        notes.append(f"of the stores, {' and '.join(one.service for one in witnesses) or 'none'} knows the run")
        covered = _covered(facts) if not flaws else -1
        flaws += [flaw for flaw in _gaps(place.log, run_id) if flaw.offset is None or flaw.offset > covered]
    else:
        notes.append("not looked at through a front door: gaps in the log, the stores, the units' markers")
    flaws += [*_blobs(facts, place, notes), *_dataset(facts, place.blob, notes)]
    in_order = sorted(flaws, key=lambda flaw: (flaw.offset is None, flaw.offset or 0))
    ended = any(event.HasField(kind) for event in facts.events for kind in ("run_finished", "run_cancelled"))
    found = Verified(run_id, tuple(in_order), tuple(notes), good, ended)
    return found if found.first is None or good is None or good < found.first else _without_good(found)


def _without_good(found: Verified) -> Verified:
    """A stage that was closed behind the first flaw vouches for nothing before it."""
    return replace(found, good=None)


def _covered(facts: Facts) -> int:
    """Up to here the chain of RunFinished holds: a gap before it was no fact of this run."""
    finished = [event.run_finished for event in facts.events if event.HasField("run_finished")]
    return finished[0].through_offset if finished else -1


def _witnesses(place: Here, run_id: str) -> list[tamper.Witness]:
    """What the stores folded; without a store there is none, for the log is the truth."""
    try:
        kept = [(service, place.store.rows(service, run_id)) for service in (runs.SERVICE, tasks.SERVICE)]
    except NotFound:
        return []
    return [witness for service, rows in kept if (witness := tamper.witness_of(service, rows))]


def _gaps(log: Log, run_id: str) -> Iterator[Flaw]:
    """Offsets of the run's partition that hold nothing; whose fact stood there, nobody knows any more."""
    partition = fact_partition(run_id)
    end, offset = log.end(FACTS, partition), 0
    held: list[int] = []
    while offset < end and (batch := log.read(FACTS, partition, offset, BATCH)):
        held += [record.offset for record in batch]
        offset = batch[-1].offset + 1
    for gap in tamper.gaps(held, end):
        yield Flaw(gap, "nothing stands here: a fact of this run, or of another in its partition, was deleted")


def _blobs(facts: Facts, place: Records, notes: list[str]) -> Iterator[Flaw]:
    """Blobs that the facts name and that are gone or are not what their name says; of a model's files a piece at a time."""
    wanted = sorted(set(named.of_messages(facts.events, place.blob)))
    broken: list[str] = []
    instead, other = tamper.erased_blobs(facts), 0
    for uri in wanted:
        try:
            hashed = Hashed(place.pieces(uri))
            for _ in hashed:
                pass
            other += hashed.uri != uri
            if hashed.uri not in (uri, tamper.last_form(instead, uri)):
                broken.append(f"blob {uri} stands in another form ({hashed.uri}), and no fact says that it was erased")
        except Unavailable:
            raise
        except ConcordError as error:
            broken.append(str(error))
    sound = many(len(wanted) - len(broken), "is what its name says", "are what their names say")
    notes.append(f"of {many(len(wanted), 'blob')} that it names {sound}")
    if other:
        notes.append(f"{many(other, 'of them stands', 'of them stand')} in the form that an erasure left")
    for words in broken[:MOST_NAMED]:
        yield Flaw(None, words)
    if len(broken) > MOST_NAMED:
        yield Flaw(None, f"{many(len(broken) - MOST_NAMED, 'more blob is', 'more blobs are')} gone or broken")


def _dataset(facts: Facts, blob: Callable[[str], bytes], notes: list[str]) -> Iterator[Flaw]:
    """The dataset's rows give the hash that the run recorded."""
    for record, event in zip(facts.records, facts.events, strict=True):
        built = event.dataset_built
        if not event.HasField("dataset_built"):
            continue
        try:
            found = sha256_of(datasets.rows(built.dataset_uri, blob))
        except Unavailable:
            raise
        except (ConcordError, ValueError, LookupError) as error:
            yield Flaw(record.offset, f"the dataset that was built here cannot be read: {error}")
            continue
        if found != built.dataset_sha256:
            yield Flaw(record.offset, f"the dataset of this DatasetBuilt has the hash {found}, not the one it names")
        else:
            notes.append(f"the dataset has the hash that was recorded: {found}")


def warning(flaws: Sequence[Flaw], run_id: str, flag: str = "") -> list[str]:
    """For who reads the run for another reason: what speaks against its facts, and what says more."""
    if not flaws:
        return []
    shown = [_line(flaw, run_id) for flaw in flaws[:MOST_NAMED]]
    return ["", *shown, f"→ concord verify {run_id[:8]}{flag}: these facts are not as they were appended; it says more"]


def _line(flaw: Flaw, run_id: str) -> str:
    where = f"offset {flaw.offset} of partition {fact_partition(run_id)}: " if flaw.offset is not None else ""
    return f"✗ {where}{flaw.says}"


def lines(found: Verified) -> list[str]:
    """For a terminal: what is wrong first, where, and from where on; then what was looked at."""
    out = [_line(flaw, found.run_id) for flaw in found.flaws]
    if found.flaws:
        first = (
            f"the first offset known to be wrong is {found.first}" if found.first is not None else "where is not known"
        )
        good = (
            f"; up to offset {found.good} a stage's manifest vouches for the units' facts"
            if found.good is not None
            else ""
        )
        out.append(f"  → {first}{good}. Restore the log from a copy, or trust nothing that follows")
    said = f"{many(len(found.flaws), 'thing is', 'things are')} wrong" if found.flaws else "as it was recorded"
    if not found.ended:
        said += ", so far: it has not come to its end, and a dataset that is not there yet cannot be looked at"
    return [*out, *(f"· {note}" for note in found.notes), f"run {found.run_id}: {said}"]


def as_json(found: Verified) -> dict[str, object]:
    """Plain values for `--json`."""
    return {
        "run_id": found.run_id,
        "well": not found.flaws,
        "ended": found.ended,
        "partition": fact_partition(found.run_id),
        "first_wrong_offset": found.first,
        "last_good_offset": found.good,
        "flaws": [vars(flaw) for flaw in found.flaws],
        "notes": list(found.notes),
    }
