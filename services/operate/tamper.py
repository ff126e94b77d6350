"""Whether a run's facts are those that were once appended: what they say of each other, and what others kept of them. PURE.

Nothing here is a proof against somebody who may write everywhere; it finds what was altered, deleted or moved in one place.
Four witnesses: the hash chain that RunFinished names; the manifest by which each stage was closed, whose hash its fact names;
the ids that every decision follows from; the ids and the chain that a store folded. A unit's result stands in a marker, too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from google.protobuf.message import DecodeError

from concord.kit.errors import ConcordError
from concord.kit.ids import event_id, id_bytes, result_id, unit_name, uri_of
from concord.kit.log import Record
from concord.kit.log.erased import digest, is_erased
from concord.kit.loop.fold import replay_records, start_run
from concord.kit.plural import many
from concord.runs import loop
from concord.runs import service as runs
from concord.runs.state import RunState
from concord.v1.events_pb2 import Event, Stage, StageManifest

# A unit's result: its fact is made from the marker `done/<event id>`, byte by byte.
RESULTS = (
    "shard_labeled",
    "shard_taught",
    "features_fitted",
    "shard_featurised",
    "shard_scored",
    "shard_embedded",
    "pairs_selected",
    "shard_generated",
    "round_triaged",
    "dataset_built",
    "fold_trained",
    "final_trained",
    "policy_trained",
    "policy_scored",
    "policy_judged",
)
Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Flaw:
    """One thing that is not as it was; `offset` is where in the run's partition, None where that cannot be told."""

    offset: int | None
    says: str


@dataclass(frozen=True)
class Witness:
    """What a store kept of the run while it folded: the ids in their order, and the chain up to `offset`."""

    service: str
    ids: tuple[bytes, ...]
    offset: int
    history: bytes


@dataclass(frozen=True)
class Facts:
    """A run's records in order, each once, with the events in them."""

    records: tuple[Record, ...]
    events: tuple[Event, ...]

    def at(self, own_id: str) -> int | None:
        """The offset of the fact with this id."""
        return next((r.offset for r, e in zip(self.records, self.events, strict=True) if e.event_id == own_id), None)


def decoded(run_id: str, records: Sequence[Record]) -> tuple[Facts, list[Flaw]]:
    """The facts up to the first that is none of this run, and that one."""
    kept: list[tuple[Record, Event]] = []
    seen: set[bytes] = set()
    for record in records:
        try:
            event = Event.FromString(record.value)
            key = id_bytes(event.event_id)
        except (DecodeError, ValueError) as error:
            return _facts(kept), [Flaw(record.offset, f"this fact does not decode: {error}")]
        if event.run_id != run_id:
            return _facts(kept), [Flaw(record.offset, f"this fact is of run {event.run_id[:60]!r}")]
        if key not in seen:
            seen.add(key)
            kept.append((record, event))
    return _facts(kept), []


def _facts(kept: Sequence[tuple[Record, Event]]) -> Facts:
    return Facts(tuple(record for record, _ in kept), tuple(event for _, event in kept))


def misnamed(facts: Facts) -> Iterator[Flaw]:
    """Facts whose id is not the one that what they say leads to."""
    for record, event in zip(facts.records, facts.events, strict=True):
        name = _name(event)
        if name is not None and name != event.event_id:
            yield Flaw(record.offset, f"this {event.WhichOneof('kind')} has an id that what it says does not lead to")


def _name(event: Event) -> str | None:
    """The id that the fact must have; None where it follows from what the fact does not say.

    People's answers and what they led to are left out: earlier versions named them otherwise.
    """
    kind, unit = event.WhichOneof("kind"), event.unit
    if kind is None or (event.HasField("unit") and unit.stage not in Stage.values()):
        return None
    said = getattr(event, kind)
    if kind in RESULTS:
        return result_id(event.run_id, unit)
    own = {
        "run_created": lambda: ("created",),
        "run_started": lambda: (f"started/{said.pairs}",),
        "stage_opened": lambda: (f"opened/{said.stage}.{said.round}",),
        "stage_closed": lambda: (f"closed/{said.stage}.{said.round}",),
        "run_finished": lambda: ("finished",),
        "unit_failed": lambda: ("failed", unit_name(unit)),
        "unit_deferred": lambda: (f"deferred-{said.times}", unit_name(unit)),
    }.get(kind)
    return None if own is None else event_id(event.run_id, *own())


def erased_blobs(facts: Facts) -> dict[str, str]:
    """Blob → what is read in its place, by the facts that say so."""
    return {one.uri: one.instead for event in facts.events for one in event.erased.blobs}


def last_form(instead: Mapping[str, str], uri: str) -> str:
    """What is read where this blob is named, after every erasure that the facts know of."""
    seen = {uri}
    while (uri := instead.get(uri, uri)) not in seen:
        seen.add(uri)
    return uri


def secretly_erased(facts: Facts) -> Iterator[Flaw]:
    """Facts that stand in another form and of which no fact says so."""
    said = {offset for event in facts.events for offset in event.erased.offsets}
    for record in facts.records:
        if is_erased(record) and record.offset not in said:
            yield Flaw(
                record.offset,
                "this fact stands in another form than it was appended in, and no fact says that it was erased",
            )


def unlike_marker(facts: Facts, marker: Callable[[str], bytes | None]) -> Iterator[Flaw]:
    """Results that are not what their unit's marker holds; a marker that is gone says nothing."""
    for record, event in zip(facts.records, facts.events, strict=True):
        if event.WhichOneof("kind") in RESULTS:
            made = marker(f"done/{event.event_id}")
            if made is not None and made != record.value:
                yield Flaw(record.offset, f"this {event.WhichOneof('kind')} is not what the unit's worker wrote down")


def unlike_manifest(run_id: str, facts: Facts, read: Read | None) -> tuple[list[Flaw], int | None]:
    """Stages whose facts do not give the manifest that closed them; the offset of the last one before that which do.

    `read` gives a blob by its URI, and with it the very fact is found; None: only the stage is told.
    """
    flaws: list[Flaw] = []
    good: int | None = None
    fold, run, begun = runs.fold(), start_run(runs.fold(), run_id), 0
    instead = erased_blobs(facts)
    for at, event in enumerate(facts.events):
        if event.WhichOneof("kind") != "stage_closed":
            continue
        run, begun = replay_records(fold, run, facts.records[begun:at]), at
        closed, opened = event.stage_closed, run.state.open
        if opened is None or (opened.stage, opened.round) != (closed.stage, closed.round):
            continue
        manifest, _ = loop.manifest_of(run.state)
        # Where records cannot be changed, the manifest may have lost words that its facts still have: they give its first form.
        forms = (last_form(instead, closed.manifest_uri), closed.manifest_uri)
        if uri_of(manifest.SerializeToString(deterministic=True)) in forms:
            good = facts.records[at].offset if not flaws else good
        else:
            flaws.append(_unlike(facts, run.state, manifest, closed.manifest_uri, facts.records[at].offset, read))
    return flaws, good


def _unlike(
    facts: Facts, state: RunState, manifest: StageManifest, uri: str, closed_at: int, read: Read | None
) -> Flaw:
    """The first fact of the stage that is another one than its manifest holds."""
    stage = Stage.Name(manifest.stage) if manifest.stage in Stage.values() else str(manifest.stage)
    try:
        kept = StageManifest.FromString(read(uri)) if read else None
    except (ConcordError, DecodeError):
        kept = None
    if kept is None:
        return Flaw(closed_at, f"{stage} was closed here with other facts than now stand before it")
    then = {event.event_id: event for event in kept.events}
    now = {event.event_id: event for event in manifest.events}
    changed = [facts.at(own_id) for own_id in now if then.get(own_id) != now[own_id]]
    if where := [offset for offset in changed if offset is not None]:
        return Flaw(min(where), f"this fact of {stage} is not the one by which the stage was closed")
    missing = len(then.keys() - now.keys())
    what = f"{missing:,} of its facts are gone" if missing else "its pairs are others"
    return Flaw(closed_at, f"{stage} was closed here, and {what}")


def unlike_chain(facts: Facts) -> Iterator[Flaw]:
    """RunFinished names a chain that the facts before it do not give, or a dataset that the run did not build."""
    built = {event.dataset_built.dataset_sha256 for event in facts.events if event.HasField("dataset_built")}
    for record, event in zip(facts.records, facts.events, strict=True):
        if event.WhichOneof("kind") != "run_finished":
            continue
        finished = event.run_finished
        found = chain(facts, finished.through_offset).hex()
        if found != finished.history_sha256:
            yield Flaw(
                None,
                f"RunFinished (offset {record.offset}) names a hash of the facts up to offset {finished.through_offset} that "
                "they do not give: something among them was altered, deleted or moved",
            )
        if finished.dataset_sha256 not in built and finished.dataset_sha256:
            yield Flaw(record.offset, "RunFinished names a dataset that no DatasetBuilt of the run names")
        return


def unlike_store(facts: Facts, witness: Witness) -> Iterator[Flaw]:
    """Where the store folded another fact than now stands there, or folded the same ids with other contents."""
    before = [(record, id_bytes(event.event_id)) for record, event in zip(facts.records, facts.events, strict=True)]
    now = [(record.offset, key) for record, key in before if record.offset <= witness.offset]
    store = f"the store of `{witness.service}`"
    for at, key in enumerate(witness.ids):
        if at >= len(now):
            yield Flaw(
                None,
                f"{store} folded {many(len(witness.ids) - at, 'fact that stands', 'facts that stand')} in the log no more",
            )
            return
        if now[at][1] != key:
            yield Flaw(now[at][0], f"{store} folded another fact here: one was put in, taken out or moved")
            return
    if len(now) > len(witness.ids):
        yield Flaw(now[len(witness.ids)][0], f"{store} never folded this fact, though it folded later ones")
    elif chain(facts, witness.offset) != witness.history:
        yield Flaw(None, f"{store} folded the facts up to offset {witness.offset} with other contents")


def chain(facts: Facts, until: int) -> bytes:
    """The hash chain over the facts up to this offset, itself included, as a fold makes it."""
    history = bytes(32)
    for record in facts.records:
        if record.offset <= until:
            history = sha256(history + digest(record)).digest()
    return history


def gaps(offsets: Sequence[int], end: int) -> list[int]:
    """Offsets below `end` at which a log that leaves none out holds nothing; `offsets` ascend."""
    held = set(offsets)
    return [offset for offset in range(end) if offset not in held]


def witness_of(service: str, rows: Mapping[str, bytes]) -> Witness | None:
    """What a store's rows of the run say; None where it holds none, or found the run corrupt."""
    mark = rows.get("~folded")
    if mark is None or mark[40:]:
        return None
    chunks = [rows[name] for name in sorted(rows) if name.startswith("~ids/")]
    ids = tuple(chunk[at : at + 16] for chunk in chunks for at in range(0, len(chunk), 16))
    return Witness(service, ids, int.from_bytes(mark[32:40]), mark[:32])
