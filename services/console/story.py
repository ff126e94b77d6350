"""One pair's story, as the facts of its run tell it: what the judge, the models and people said of it, and when. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from concord.kit.plural import many
from concord.preference.checked import BOTH, FIRST, NEITHER, SECOND, settled, told
from concord.preference.stages import HUMAN, STAGES
from concord.v1.events_pb2 import Event, RoundTriaged, ShardLabeled, StageOpened, TaskOutcome, TaskResolved
from concord.v1.pairs_pb2 import Choice, Mark, Pair, PairShard, PairsManifest

CHOICES = {Choice.CHOICE_FIRST: "the first is better", Choice.CHOICE_SECOND: "the second is better"}
NONE, TIE = "nothing usable", "a tie"
CHECKED = {
    FIRST: "the first alone is right",
    SECOND: "the second alone is right",
    BOTH: "both are right",
    NEITHER: "neither is right",
}
MARKS = {Mark.MARK_ACCEPTABLE: "good enough", Mark.MARK_NOT_ACCEPTABLE: "not good enough"}
OUTCOMES = {
    TaskOutcome.TASK_OUTCOME_TIE: "as a tie",
    TaskOutcome.TASK_OUTCOME_SKIPPED: "as skipped by everybody",
    TaskOutcome.TASK_OUTCOME_EXPIRED: "as nobody answered in time",
}
# URI → the arrays behind it.
Read = Callable[[str], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Moment:
    """One thing that happened to the pair."""

    at: str
    # The stage, or who.
    who: str
    says: str


def story(events: Sequence[tuple[Event, float]], pair: int, read: Read, name_of: Callable[[str], str]) -> list[Moment]:
    """What happened to the pair of this index, in order. `name_of`: whose a pseudonym is, as far as that is known."""
    return [
        Moment(datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S"), who, says)
        for event, at in events
        for who, says in _said(event, pair, read, name_of)
    ]


def _said(event: Event, pair: int, read: Read, name_of: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """(who, what) of the event, where it is about the pair."""
    kind = event.WhichOneof("kind") or ""
    fact: Any = getattr(event, kind, None)
    match kind:
        case "shard_labeled" if pair in fact.pair_index:
            yield _title(event), _labeled(fact, pair)
        case "shard_taught" if pair in fact.pair_index:
            against = fact.against[list(fact.pair_index).index(pair)]
            yield _title(event), f"with people's answers before it {against:.0%} of its verdicts are against the label"
        case "shard_scored" if 0 <= pair - fact.first_index < len(fact.margin):
            margin = fact.margin[pair - fact.first_index]
            side = "first" if margin > 0 else "second"
            yield _title(event), f"a model that never saw it prefers the {side} by {abs(margin):.2f} logits"
        case "round_triaged":
            yield from _triaged(event, fact, pair, read)
        case "stage_opened" if fact.stage in HUMAN and pair in fact.pair_indexes:
            yield _title(event, fact), _asked(fact, pair)
        case "annotation_submitted" if fact.pair_index == pair:
            yield name_of(fact.annotator), _answer(event)
        case "task_skipped" if fact.pair_index == pair:
            yield name_of(fact.annotator), f"skips it{': ' if fact.reason else ''}{fact.reason}"
        case "annotation_withdrawn" if fact.pair_index == pair:
            yield name_of(fact.annotator), "takes the answer back"
        case "task_resolved" if fact.pair_index == pair:
            yield _title(event), _resolved(fact)


def _title(event: Event, opened: StageOpened | None = None) -> str:
    stage, round_ = (opened.stage, opened.round) if opened else (event.unit.stage, event.unit.round)
    return (STAGES[stage].title if stage in STAGES else f"stage {stage}") + (f" {round_}" if round_ else "")


def _labeled(fact: ShardLabeled, pair: int) -> str:
    at = list(fact.pair_index).index(pair)
    choice, came = fact.choice[at], told(fact.verified, at, 0)
    parts = [f"a check finds that {CHECKED[came]}"] if came in CHECKED else []
    if pair in settled(fact):
        return f"{'; '.join(parts) or 'a check decides'}: no judge is asked"
    parts.append(f"the judge says {CHOICES.get(choice, TIE if choice == Choice.CHOICE_TIE else NONE)}")
    if told(fact.confidence, at, -1.0) >= 0:
        parts.append(f"sure to {fact.confidence[at]:.0%}")
    if told(fact.order_flipped, at, -1) >= 0:
        parts.append("otherwise with the order turned round" if fact.order_flipped[at] else "the same in both orders")
    parts += [
        f"{column.judge} is {column.disagree[at]:.0%} against it"
        for column in fact.helpers
        if told(column.disagree, at, -1.0) >= 0
    ]
    return ", ".join(parts)


def _triaged(event: Event, fact: RoundTriaged, pair: int, read: Read) -> Iterator[tuple[str, str]]:
    held = read(fact.posterior_uri) if fact.posterior_uri else {}
    if "p_wrong" in held and pair < len(held["p_wrong"]):
        yield (
            _title(event),
            f"P(label wrong) is {held['p_wrong'][pair]:.2f}, P(first is better) {held['target'][pair]:.2f}",
        )


def _asked(fact: StageOpened, pair: int) -> str:
    at = list(fact.pair_indexes).index(pair)
    why = ", drawn at random as an audit" if told(fact.audit, at, False) else ""
    again = ", by one person more" if told(fact.re_ask, at, False) else ""
    return f"people are asked about it: place {at + 1:,} of {len(fact.pair_indexes):,}{why}{again}"


def _answer(event: Event) -> str:
    said = event.annotation_submitted
    parts = [CHOICES.get(said.choice, TIE)]
    for which, mark in (("the first", said.first_mark), ("the second", said.second_mark)):
        if mark in MARKS:
            parts.append(f"{which} {MARKS[mark]}")
    parts.append(f"after {said.seconds:.0f} s")
    if said.revision > 1:
        parts.append(f"revision {said.revision}")
    if said.gold:
        parts.append("settled before: counts nowhere")
    return ", ".join(parts) + (f": {said.comment}" if said.comment else "")


def _resolved(fact: TaskResolved) -> str:
    if fact.outcome in OUTCOMES:
        return f"settled {OUTCOMES[fact.outcome]}"
    return f"settled by {many(len(fact.annotation_ids), 'vote')}: {CHOICES.get(fact.choice, TIE)}"


def found(events: Sequence[tuple[Event, float]], wanted: str, read: Callable[[str], bytes]) -> tuple[int, Pair] | None:
    """(number, pair) that is meant: by its id, or by `#` and its number from 0; None: the run has none, or has not begun."""
    uris = [event.run_started.pairs_uri for event, _ in events if event.HasField("run_started")]
    uris += [event.stage_closed.corpus.pairs_uri for event, _ in events if event.stage_closed.HasField("corpus")]
    shards = PairsManifest.FromString(read(uris[-1])).shards if uris and uris[-1] else ()
    digits = wanted.removeprefix("#")
    is_number = wanted.startswith("#") and digits.isascii() and digits.isdigit() and len(digits) < 10
    number = int(digits) if is_number else -1
    for ref in shards:
        if number < 0 or 0 <= number - ref.first_index < ref.pairs:
            held = PairShard.FromString(read(ref.uri)).pairs
            if number >= 0:
                return number, held[number - ref.first_index]
            at = next((at for at, pair in enumerate(held) if pair.pair_id == wanted), -1)
            if at >= 0:
                return ref.first_index + at, held[at]
    return None
