"""`concord erase`: a prompt's texts, or a person's names and comments, go from facts, blobs and store; what was decided stays.

First a fact says what goes, then it goes, shards last: said again after a crash, the same command finds what is left by them. An
erased fact keeps the hash of what stood there and an erased blob a marker that leads to what is read instead, so a run verifies as
before. On Kafka a record cannot be changed: it is said how many hold such words and stay.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from google.protobuf.message import DecodeError, Message

from concord.kit import blobs as kept
from concord.kit.blobs import Blobs, named
from concord.kit.errors import ConcordError, NotFound, Refused
from concord.kit.ids import URI, event_id, uri_of
from concord.kit.log import GONE, Log, Record
from concord.kit.log.erased import erased
from concord.kit.log.sqlite import SqliteLog
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.facts import entry_of
from concord.kit.loop.run_records import records
from concord.kit.settings import Settings, open_store
from concord.kit.store.copies import deleted
from concord.labeling.answer_cache import ANSWERS
from concord.operate import removal, tamper
from concord.preference import erasing
from concord.preference.erasing import Words
from concord.tasks.tables import SLOTS
from concord.v1.events_pb2 import (
    Erased,
    ErasedBlob,
    Event,
    StageManifest,
)
from concord.v1.pairs_pb2 import Pair, PairShard, PairsManifest
from concord.v1.runs_service_pb2 import RUN_STATUS_CANCELLED, RUN_STATUS_FINISHED, RunView

ENDED = (RUN_STATUS_FINISHED, RUN_STATUS_CANCELLED)
SHARD, LINES, EVENTS = "shard", "lines", "events"
# (message, field) → what its blobs hold; manifests are looked into.
HOLDS: dict[tuple[str, str], str] = {
    ("ShardRef", "uri"): SHARD,
    ("ShardGenerated", "shard_uri"): SHARD,
    ("DatasetManifest", "part_uris"): LINES,
    ("PairsSelected", "selection_uri"): LINES,
    ("ModelInput", "uri"): LINES,
}


@dataclass(frozen=True)
class Run:
    """A run's facts, the blobs that they lead to, each with what it holds, and who its shards are of."""

    run_id: str
    facts: tuple[Record, ...]
    events: tuple[Event, ...]
    blobs: dict[str, str]


@dataclass(frozen=True)
class Gone:
    """What went from one run; `kept`: facts with such words on a log whose records cannot be changed."""

    run_id: str
    pairs: int
    facts: int
    blobs: int
    answers: int
    kept: int


def run_of(log: Log, blobs: Blobs, run_id: str) -> Run:
    """Everything of a run that may hold words."""
    facts, _ = tamper.decoded(run_id, list(records(log, run_id)))
    return Run(run_id, facts.records, facts.events, dict(_named(facts.events, blobs)))


def _named(events: Sequence[Event], blobs: Blobs) -> Iterator[tuple[str, str]]:
    """(URI, what it holds), manifests of facts with their own, which are facts again."""
    waiting: list[Message] = list(events)
    opened: set[str] = set()
    while waiting:
        message = waiting.pop()
        for holder, name, uri in _uris(message):
            if (holder, name) in HOLDS:
                yield uri, HOLDS[holder, name]
            elif name in named.HOLDS and uri not in opened:
                opened.add(uri)
                try:
                    found = named.HOLDS[name].FromString(blobs.get(uri))
                except (ConcordError, DecodeError):  # a light model, or one that is gone: `concord verify` says so
                    continue
                waiting.append(found)
                if isinstance(found, StageManifest):
                    yield uri, EVENTS


def _uris(message: Message) -> Iterator[tuple[str, str, str]]:
    for about, value in message.ListFields():
        if about.message_type and not about.message_type.GetOptions().map_entry:
            for inner in value if about.is_repeated else (value,):
                yield from _uris(inner)
        elif about.cpp_type == about.CPPTYPE_STRING and about.type == about.TYPE_STRING:
            texts = value if about.is_repeated else (value,)
            yield from ((message.DESCRIPTOR.name, about.name, text) for text in texts if URI.fullmatch(text))


def prompt_of(run: Run, blobs: Blobs, pair_id: str) -> tuple[tuple[str, str], ...]:
    """The prompt of the pair with this id. Raises NotFound."""
    for pair in _pairs(run, blobs):
        if pair.pair_id == pair_id:
            if any(message.content == erasing.GONE for message in pair.prompt):
                raise Refused(f"the texts of pair {pair_id!r} of run {run.run_id} are erased already")
            return tuple((message.role, message.content) for message in pair.prompt)
    raise NotFound(
        f"run {run.run_id} has no pair {pair_id!r}; its dataset.jsonl and questions.jsonl have the ids (`pair_id`)"
    )


def _pairs(run: Run, blobs: Blobs) -> Iterator[Pair]:
    for uri, holds in run.blobs.items():
        if holds == SHARD:
            yield from PairShard.FromString(blobs.get(uri)).pairs


def about_prompt(run: Run, blobs: Blobs, prompt: tuple[tuple[str, str], ...]) -> Words:
    """The words that a prompt and its answers are in this run; no pairs where it does not have it."""
    ids: set[str] = set()
    texts: set[str] = set()
    indexes: set[int] = set()
    for uri, holds in run.blobs.items():
        if holds != SHARD:
            continue
        for place, pair in enumerate(PairShard.FromString(blobs.get(uri)).pairs):
            if erasing.has_prompt(pair, prompt):
                ids.add(pair.pair_id)
                texts.update(filter(None, erasing.texts_of(pair)))
                indexes.update(first + place for first in _places(run, blobs, uri))
    return Words(prompt, frozenset(indexes), frozenset(ids), frozenset(texts))


def _places(run: Run, blobs: Blobs, uri: str) -> Iterator[int]:
    """Where the shard begins in the run's corpus: where it was given and where pairs were chosen."""
    for event in run.events:
        yield from (ref.first_index for ref in event.pairs_added.shards if ref.uri == uri)
        manifest = event.run_started.pairs_uri or event.stage_closed.corpus.pairs_uri
        if manifest:
            shards = PairsManifest.FromString(blobs.get(manifest)).shards
            yield from (ref.first_index for ref in shards if ref.uri == uri)


def refuse_unended(views: Sequence[RunView]) -> None:
    """Raises Refused where one of these runs may still make what is to go."""
    for view in views:
        if view.status not in ENDED:
            raise Refused(
                f"run {view.run_id} ({view.input_name}) has not ended: its units may write such words again. Wait for its end, or "
                f"`concord cancel {view.run_id[:8]}`"
            )


def erase(
    settings: Settings, log: Log, blobs: Blobs, runs: Sequence[tuple[Run, Words]], actor: str, reason: str
) -> list[Gone]:
    """Takes the words out of these runs, all of which have ended; the log of a home is followed by nobody meanwhile."""
    gone = [_erase_run(settings, log, blobs, run, words, actor, reason) for run, words in runs]
    # By its shards a prompt is found, so they go when everything else is gone.
    for run, words in runs:
        for uri, instead in _shards(run, blobs, words).items():
            kept.replace(blobs, uri, instead)
    return gone


def _erase_run(settings: Settings, log: Log, blobs: Blobs, run: Run, words: Words, actor: str, reason: str) -> Gone:
    changed = _changed_facts(run, words)
    can = isinstance(log, SqliteLog)
    others = _others(run, blobs, words)
    shards = _shards(run, blobs, words)
    said = Erased(
        what="prompt" if words.prompt else "person",
        reason=reason,
        blobs=[ErasedBlob(uri=uri, instead=uri_of(content)) for uri, content in {**others, **shards}.items()],
        offsets=[record.offset for record in changed] if can else [],
        kept=0 if can else len(changed),
    )
    if not (changed or others or shards):
        return Gone(run.run_id, 0, 0, 0, 0, 0)
    own = event_id(run.run_id, f"erased/{uuid4()}")
    log.append([entry_of(Event(event_id=own, run_id=run.run_id, actor=actor, erased=said))])
    answers = 0
    if words.prompt:
        began, ended = run.facts[0].at, run.facts[-1].at
        answers = deleted(settings.state_url, ANSWERS, lambda c: c.at.is_(None) | c.at.between(began - 60, ended + 60))
    for record in changed:
        blobs.drop_marker(f"done/{Event.FromString(record.value).event_id}")
        if isinstance(log, SqliteLog):
            log.overwrite(FACTS, record)
    deleted(settings.state_url, SLOTS, lambda c: c.run_id == run.run_id)
    for uri, content in others.items():
        kept.replace(blobs, uri, content)
    if can:
        _fold_again(settings, run.run_id)
    return Gone(run.run_id, len(words.pairs), len(said.offsets), len(said.blobs), answers, said.kept)


def _fold_again(settings: Settings, run_id: str) -> None:
    """What the stores folded of the partition goes: it holds the words. Services fold it anew."""
    store = open_store(settings)
    try:
        for service in ("runs", "tasks"):
            store.discard(service, fact_partition(run_id), None)
    finally:
        store.close()


def _changed_facts(run: Run, words: Words) -> list[Record]:
    """The facts that hold such words, as they are to stand."""
    found = []
    for record, event in zip(run.facts, run.events, strict=True):
        left = erasing.event(event, words)
        if left != event:
            found.append(erased(record, left.SerializeToString(deterministic=True)))
    return found


def _others(run: Run, blobs: Blobs, words: Words) -> dict[str, bytes]:
    """Blobs other than shards that hold such words → what is to be read in their place."""
    makes: dict[str, Callable[[bytes], bytes]] = {
        LINES: lambda content: erasing.lines(content, words),
        EVENTS: lambda content: _manifest(content, words),
    }
    return _replacements(run, blobs, makes)


def _shards(run: Run, blobs: Blobs, words: Words) -> dict[str, bytes]:
    if not words.prompt:
        return {}

    def left(content: bytes) -> bytes:
        before = PairShard.FromString(content)
        after = erasing.shard(before, words)
        return content if after == before else after.SerializeToString(deterministic=True)

    return _replacements(run, blobs, {SHARD: left})


def _replacements(run: Run, blobs: Blobs, makes: dict[str, Callable[[bytes], bytes]]) -> dict[str, bytes]:
    found = {}
    for uri, holds in run.blobs.items():
        if holds in makes:
            before = blobs.get(uri)
            if (after := makes[holds](before)) != before:
                # It may have been erased in part before: then what is read in its place goes.
                found[uri_of(before)] = after
    return found


def _manifest(content: bytes, words: Words) -> bytes:
    before = StageManifest.FromString(content)
    after = StageManifest()
    after.CopyFrom(before)
    del after.events[:]
    after.events.extend(erasing.event(event, words) for event in before.events)
    return content if after == before else after.SerializeToString(deterministic=True)


def erase_run(settings: Settings, log: SqliteLog, run_id: str, actor: str, reason: str) -> removal.Removed:
    """Removes the run and leaves, in the place of its first fact, one that says who had it erased, when and why."""
    first = next(iter(records(log, run_id)), None)
    kept_answers = deleted(settings.state_url, ANSWERS, lambda c: c.at >= (first.at - 60 if first else 0))
    gone = removal.remove(settings, log, run_id)
    if first is not None:
        said = Event(event_id=event_id(run_id, f"erased/{uuid4()}"), run_id=run_id, actor=actor)
        said.erased.CopyFrom(Erased(what="run", reason=reason, kept=0))
        value = said.SerializeToString(deterministic=True)
        log.overwrite(FACTS, first._replace(key=GONE, value=value, at=first.at, headers=()))
    return replace(gone, items=gone.items + kept_answers)


def left_over(run: Run, blobs: Blobs, texts: frozenset[str], most: int = 5) -> list[str]:
    """Blobs of the run that hold one of the longer texts all the same, by their URIs."""
    signs = [text.encode() for text in texts if len(text) > 20]
    return [uri for uri in run.blobs if any(sign in blobs.get(uri) for sign in signs)][:most]


def with_names(names: frozenset[str]) -> Words:
    """The words that a person is."""
    return replace(Words(), names=names, alias=f"erased-{uuid4().hex[:8]}")


def names_anybody(run: Run, words: Words) -> bool:
    """Whether a fact of the run names this person."""
    return bool(_changed_facts(run, words))
