"""What a run left behind, as columns: its facts, and the blobs that they name, read once. PURE.

Only closed stages are read, each from the manifest that closed it: what a fold refused or dropped is not in there. Of a
run that still goes on this is the state at its last closed stage.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from concord.preference import annotations, checked, datasets
from concord.preference.columns import helper_columns, rubric_against, signal_columns, verdict_column
from concord.preference.deviating import set_aside
from concord.preference.stages import HUMAN, JUDGING, LABELLING
from concord.preference.votes import heard
from concord.v1.events_pb2 import (
    AnsweredShard,
    Checked,
    Corpus,
    Event,
    PairsSelected,
    PolicyJudged,
    PolicyScored,
    RoundTriaged,
    RunCreated,
    RunFinished,
    ShardGenerated,
    ShardLabeled,
    Stage,
    StageManifest,
    TaskOutcome,
)
from concord.v1.pairs_pb2 import Choice, PairShard, PairsManifest, ShardRef

Array = np.ndarray
Read = Callable[[str], bytes]

_READ = (
    Stage.STAGE_GENERATE,
    Stage.STAGE_SELECT,
    *JUDGING,
    Stage.STAGE_TEACH,
    Stage.STAGE_SCORE,
    Stage.STAGE_TRIAGE,
    Stage.STAGE_DATASET,
    Stage.STAGE_POLICY,
    Stage.STAGE_SCORE_POLICY,
    Stage.STAGE_EVALUATE,
    *HUMAN,
)
_CHOICES = {"first": Choice.CHOICE_FIRST, "second": Choice.CHOICE_SECOND, "tie": Choice.CHOICE_TIE}


@dataclass(frozen=True, eq=False)
class Labels:
    """The judge's verdicts; all shapes [pairs]."""

    choice: Array  # int8, a Choice; 0: no usable verdict, or not judged, as where checks decided
    confidence: Array  # P(the label is right) as the judge gave it; -1 none
    order_flipped: Array  # 1 the verdict changes with the order, 0 it does not, -1 asked in one order
    length_difference: Array  # log characters of the first minus the second
    # Name → how far it speaks against the label, in [0, 1]; -1 where it says nothing. What spoke of no pair is not there.
    signals: Mapping[str, Array]
    helpers: Mapping[str, Array]  # the same of further judges
    verified: Array  # int8, what a check proves: 0 nothing, 1 the first alone is right, 2 the second, 3 both, 4 neither
    conduct: tuple[
        Array, Array
    ]  # int8, a Conduct of the first and of the second answer; 0: the pair is not marked as harmful


@dataclass(frozen=True)
class Answer:
    """How one question to people ended."""

    pair: int
    stage: int
    round: int
    outcome: int  # a TaskOutcome
    choice: int  # a Choice; 0 where nobody could say
    uniform: bool  # the pair was drawn uniformly: a pilot or an audit place
    annotation_ids: tuple[str, ...]
    set_aside: bool = False  # all of its votes are

    @property
    def given(self) -> bool:
        """Somebody answered, if only that neither is better."""
        return self.outcome in (TaskOutcome.TASK_OUTCOME_DECIDED, TaskOutcome.TASK_OUTCOME_TIE)

    @property
    def decided(self) -> bool:
        """Somebody said which one is better."""
        return self.choice in (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND)


@dataclass(frozen=True, eq=False)
class Answered:
    """Answers of a policy, or of a checkpoint of its training, beside those of its start; None: nobody said anything yet."""

    shard: AnsweredShard
    scored: PolicyScored | None
    judged: PolicyJudged | None


@dataclass(frozen=True, eq=False)
class Rows:
    """The dataset's rows, without their texts; all shapes [rows]."""

    index: Array  # int64, pair index
    label: Array  # int8, a Choice
    judge_label: Array  # int8, a Choice: the label that the judge gave, or checks where they decided; 0 none
    source: Array  # str: "judge", "checked", "flipped", "people" or "none"
    first_model: Array  # str, who wrote the first answer; empty where not known
    second_model: Array


@dataclass(frozen=True, eq=False)
class History:
    """One run. What it has not come to yet is empty or None."""

    run_id: str
    events: Sequence[tuple[Event, float]]
    created: RunCreated
    # The pairs that the run is about: those that it began with, or those that a closed stage chose of them.
    corpus: Corpus
    # What chose them; None where all pairs that came in are labelled.
    selection: PairsSelected | None
    # What was sampled, shard by shard; empty where pairs were given.
    generated: Sequence[ShardGenerated]
    finished: RunFinished | None
    shards: Sequence[ShardRef]
    labels: Labels
    margins: Mapping[int, Array]  # by round: [pairs] out-of-fold reward(first) - reward(second), NaN where not scored
    rounds: Sequence[tuple[int, RoundTriaged]]
    answers: Sequence[Answer]
    said: annotations.Answers  # the same as columns, and what people said in the runs before
    taken: Array  # int64, pairs that people decided in the runs before and that were not asked about here
    rows: Rows | None
    # Pair index → what checks said of it and how it came out, of the pairs that they were tried on.
    checks: Mapping[int, tuple[Checked, int]]
    # The policy's answers beside its start's, shard by shard, each with what was said of it; empty where nothing was compared.
    answered: Sequence[Answered]
    # What people said of some of the policy's own; their pairs are numbered on behind the run's.
    compared: Sequence[Answer]
    given: Array  # int8 [pairs], a Choice: as the labels stood before people were asked, whoever gave them

    @property
    def pairs(self) -> int:
        return self.corpus.pairs

    @property
    def spared(self) -> frozenset[int]:
        """Pairs that checks settled, so that no judge saw them."""
        return frozenset(i for i, (note, came) in self.checks.items() if note.decided or came == checked.NEITHER)

    @property
    def settled(self) -> int:
        """Pairs that need no estimate: they were asked about here, or decided in a run before."""
        return len(self.answers) + len(self.taken)

    @property
    def without(self) -> list[str]:
        """Annotators whose answers are set aside."""
        return set_aside(self.rounds[-1][1]) if self.rounds else []

    @property
    def margin(self) -> Array | None:
        """The margins of the last round that scored, where a method scores more than once."""
        return self.margins[max(self.margins)] if self.margins else None


def read_history(events: Sequence[tuple[Event, float]], read: Read) -> History:
    """Reads a run from its deduplicated events, in order, and its blobs.

    Raises ValueError where the events are not those of one run from its beginning.
    """
    said = {event.WhichOneof("kind"): event for event, _ in reversed(events)}
    if "run_created" not in said:
        raise ValueError("there is no RunCreated among these events: is the run id right, and is this its log?")
    if len({event.run_id for event, _ in events}) > 1:
        raise ValueError("these events belong to more than one run; a report is about one")
    corpus = _corpus(events)
    manifests, created = _manifests(events, read), said["run_created"].run_created
    labeled = _labeled(manifests)
    rounds = [
        (round_, event.round_triaged)
        for (stage, round_), manifest in manifests.items()
        if stage == Stage.STAGE_TRIAGE
        for event in manifest.events
    ]
    without = set_aside(rounds[-1][1]) if rounds else []
    asked = _answers(manifests, without)
    before = annotations.taken_over(created.config, lambda uri: StageManifest.FromString(read(uri)), without)
    return History(
        run_id=said["run_created"].run_id,
        events=events,
        created=created,
        corpus=corpus,
        selection=_selection(manifests),
        generated=[event.shard_generated for event in manifests.get((Stage.STAGE_GENERATE, 0), StageManifest()).events],
        finished=said["run_finished"].run_finished if "run_finished" in said else None,
        shards=PairsManifest.FromString(read(corpus.pairs_uri)).shards if corpus.pairs_uri else (),
        labels=_labels(labeled, _taught(manifests, corpus.pairs), corpus.pairs),
        margins=_margins(manifests, corpus.pairs),
        rounds=rounds,
        answers=asked,
        said=annotations.joined(before, annotations.read(_human(manifests), without)),
        taken=np.setdiff1d(before.pair, [answer.pair for answer in asked]).astype(np.int64),
        rows=_rows(manifests, read),
        checks=checked.notes(labeled),
        answered=_answered(manifests),
        compared=_answers(manifests, without, (Stage.STAGE_ANNOTATE_POLICY,)),
        given=verdict_column(labeled, "choice", corpus.pairs, 0).astype(np.int8),
    )


def _corpus(events: Sequence[tuple[Event, float]]) -> Corpus:
    """The pairs as the last fact that fixes them says; of a run that has not started none, and of prompts none are made."""
    corpus = Corpus()
    for event, _ in events:
        if event.WhichOneof("kind") == "run_started":
            said = event.run_started
            corpus = Corpus(pairs_uri=said.pairs_uri, pairs=said.pairs, human_budget=said.human_budget)
        elif event.WhichOneof("kind") == "stage_closed" and event.stage_closed.HasField("corpus"):
            corpus = event.stage_closed.corpus
    return corpus


def _selection(manifests: Mapping[tuple[int, int], StageManifest]) -> PairsSelected | None:
    chosen = [event.pairs_selected for event in manifests.get((Stage.STAGE_SELECT, 0), StageManifest()).events]
    return chosen[0] if chosen else None


def texts_of(history: History, pairs: Sequence[int], read: Read) -> Mapping[int, PairShard]:
    """For each of these pairs the shard that holds it; reads no other shard."""
    firsts = np.array([ref.first_index for ref in history.shards])
    holding = {pair: int(np.searchsorted(firsts, pair, side="right")) - 1 for pair in pairs}
    shards = {at: PairShard.FromString(read(history.shards[at].uri)) for at in sorted(set(holding.values()))}
    return {pair: shards[at] for pair, at in holding.items()}


def _manifests(events: Sequence[tuple[Event, float]], read: Read) -> dict[tuple[int, int], StageManifest]:
    closed = [event.stage_closed for event, _ in events if event.WhichOneof("kind") == "stage_closed"]
    return {(c.stage, c.round): StageManifest.FromString(read(c.manifest_uri)) for c in closed if c.stage in _READ}


def _answered(manifests: Mapping[tuple[int, int], StageManifest]) -> list[Answered]:
    """Every shard that the policy's training left, in order."""

    def told(stage: int) -> dict[int, Event]:
        return {event.unit.number: event for event in manifests.get((stage, 0), StageManifest()).events}

    trained = told(Stage.STAGE_POLICY).get(0, Event()).policy_trained
    scored, judged = told(Stage.STAGE_SCORE_POLICY), told(Stage.STAGE_EVALUATE)
    out: list[Answered] = []
    number = 0
    for shard in trained.answered:
        compared = bool(shard.shard.pairs)
        by_model, by_judge = (held.get(number) if compared else None for held in (scored, judged))
        out.append(
            Answered(shard, by_model.policy_scored if by_model else None, by_judge.policy_judged if by_judge else None)
        )
        number += compared
    return out


def _labeled(manifests: Mapping[tuple[int, int], StageManifest]) -> list[ShardLabeled]:
    """The pilot's facts, and behind them those of the stage that judged all pairs."""
    stages = [manifests.get((stage, 0), StageManifest()) for stage in JUDGING]
    return [event.shard_labeled for stage in stages for event in stage.events]


def _labels(labeled: Sequence[ShardLabeled], taught: Array, pairs: int) -> Labels:
    choice = verdict_column(labeled, "choice", pairs, 0).astype(np.int8)
    choice[checked.decided(labeled, pairs)] = 0
    signals = {**_signals(labeled, pairs), "taught": taught}
    return Labels(
        choice=choice,
        confidence=verdict_column(labeled, "confidence", pairs, -1),
        order_flipped=verdict_column(labeled, "order_flipped", pairs, -1).astype(np.int8),
        length_difference=verdict_column(labeled, "length_difference", pairs, 0),
        signals={name: said for name, said in signals.items() if (said >= 0).any()},
        helpers=helper_columns(labeled, pairs),
        verified=verdict_column(labeled, "verified", pairs, 0).astype(np.int8),
        conduct=(_conduct(labeled, "conduct_first", pairs), _conduct(labeled, "conduct_second", pairs)),
    )


def _conduct(labeled: Sequence[ShardLabeled], column: str, pairs: int) -> Array:
    return verdict_column(labeled, column, pairs, 0).astype(np.int8)


def _taught(manifests: Mapping[tuple[int, int], StageManifest], pairs: int) -> Array:
    """How far the judge is against its labels once people taught it; -1 where it was not asked again."""
    against = np.full(pairs, -1.0)
    for (stage, _), manifest in manifests.items():
        for event in manifest.events if stage == Stage.STAGE_TEACH else ():
            against[np.array(event.shard_taught.pair_index, np.int64)] = event.shard_taught.against
    return against


def _signals(labeled: Sequence[ShardLabeled], pairs: int) -> dict[str, Array]:
    """What the judge itself says of its labels, beside them."""
    p_tokens = verdict_column(labeled, "p_tokens", pairs, -1)
    spoke = p_tokens >= 0
    usual = np.median(p_tokens[spoke]) if spoke.any() else 0.5
    return {
        "order flip": verdict_column(labeled, "order_flipped", pairs, -1),
        "log-probabilities": np.where(spoke, (p_tokens < usual).astype(float), -1.0),
        "rubric": rubric_against(labeled, pairs),
        **signal_columns(labeled, pairs),
        "own other prompts": verdict_column(labeled, "own_disagree", pairs, -1),
    }


def _margins(manifests: Mapping[tuple[int, int], StageManifest], pairs: int) -> dict[int, Array]:
    margins: dict[int, Array] = {}
    for (stage, round_), manifest in manifests.items():
        for event in manifest.events if stage == Stage.STAGE_SCORE else ():
            margin, shard = margins.setdefault(round_, np.full(pairs, np.nan)), event.shard_scored
            said = shard.reward_margin or shard.margin
            margin[shard.first_index : shard.first_index + len(said)] = said
    return margins


def _human(manifests: Mapping[tuple[int, int], StageManifest]) -> list[StageManifest]:
    return [manifest for (stage, _), manifest in manifests.items() if stage in LABELLING]


def _answers(
    manifests: Mapping[tuple[int, int], StageManifest], without: Collection[str], stages: Collection[int] = LABELLING
) -> tuple[Answer, ...]:
    """How the questions of these stages ended without these annotators' answers; the votes are all that were given."""
    given = []
    for (stage, round_), manifest in manifests.items():
        for event in manifest.events if stage in stages else ():
            task, uniform = heard(event.task_resolved, without), manifest.audit[event.unit.number]
            ids, left = tuple(event.task_resolved.annotation_ids), len(task.annotation_ids)
            answer = Answer(
                task.pair_index, stage, round_, task.outcome, task.choice, uniform, ids, bool(ids) and not left
            )
            given.append(answer)
    return tuple(given)


def _given(row: Mapping[str, Any]) -> str | None:
    """The label that checks or the judge gave."""
    label: str | None = row.get("check", {}).get("label") or row["judge_label"]
    return label


def _rows(manifests: Mapping[tuple[int, int], StageManifest], read: Read) -> Rows | None:
    built = [event.dataset_built for event in manifests.get((Stage.STAGE_DATASET, 0), StageManifest()).events]
    if not built:
        return None
    kept = [
        (row["index"], _CHOICES[row["label"]], _CHOICES.get(_given(row) or "", 0), row["source"], *_models(row))
        for row in datasets.rows(built[0].dataset_uri, read)
    ]
    index, label, judge_label, *texts = zip(*kept, strict=True) if kept else ((),) * 6
    source, first, second = (np.array(column, str) for column in texts)
    return Rows(
        np.array(index, np.int64), np.array(label, np.int8), np.array(judge_label, np.int8), source, first, second
    )


def _models(row: Mapping[str, Any]) -> tuple[str, str]:
    """Who wrote the first and the second answer."""
    chosen, rejected = row.get("chosen_model") or "", row.get("rejected_model") or ""
    return (rejected, chosen) if row["label"] == "second" else (chosen, rejected)
