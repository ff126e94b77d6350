"""What people, triage and the reward models show round by round, as shares that should hardly change. PURE."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from concord.preference import answer_faults, checked
from concord.preference.columns import verdict_column
from concord.preference.stages import LABELLING
from concord.report.changepoints import Signal
from concord.v1.events_pb2 import Event, RoundTriaged, Stage, TaskOutcome, TaskResolved
from concord.v1.pairs_pb2 import Choice

Array = np.ndarray

OVERRULED = "random questions on which people overrule the judge"
APART = "questions on which two people say different things"
GOLD = "settled questions that are answered otherwise than before"
FLIPPED = "labels that the model flips"
AGAINST = "rewards against the judge's labels"
TURNED = "rewards that turn from one round to the next"
# Whatever names more of them was altered, and is no reason to fill the memory.
MOST_PAIRS = 20_000_000
DECIDED = (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND)


@dataclass(frozen=True)
class Rounds:
    """The rounds that have come, 0 being the pilot, and each signal over them."""

    numbers: tuple[int, ...]
    signals: tuple[Signal, ...]
    # Round → the first two votes on each question that has two, for the agreement that chance is taken off.
    votes: Mapping[int, list[list[int]]]


@dataclass
class _Seen:
    """One round's facts."""

    random: set[int]  # pairs that were drawn uniformly
    resolved: list[TaskResolved]
    gold: list[tuple[int, int]]  # (pair, choice) of answers to questions that were settled
    triaged: RoundTriaged | None = None
    margin: Array | None = None


def rounds_of(events: Sequence[Event]) -> Rounds:
    """The signals of one run's facts, duplicates left out, in the order of the log."""
    label = _labels(events)
    seen = _by_round(events, len(label))
    numbers = tuple(sorted(seen))
    settled = {task.pair_index: task.choice for one in seen.values() for task in one.resolved if task.choice in DECIDED}
    votes = {number: _two_votes(seen[number].resolved) for number in numbers}
    shares: dict[str, list[tuple[float, float]]] = {
        OVERRULED: [_overruled(seen[n], label) for n in numbers],
        # The pilot's questions are all random ones, so two people agree more often there than on doubtful ones.
        APART: [_apart(votes[n]) if n else (0, 0) for n in numbers],
        GOLD: [_otherwise(seen[n].gold, settled) for n in numbers],
        FLIPPED: [_flipped(seen[n].triaged, label) for n in numbers],
        AGAINST: [_against(seen[n].margin, label) for n in numbers],
        TURNED: _turned([seen[n].margin for n in numbers]),
    }
    signals = (Signal(name, *(tuple(one[side] for one in said) for side in (0, 1))) for name, said in shares.items())
    return Rounds(numbers, tuple(signals), votes)


def _labels(events: Sequence[Event]) -> Array:
    """The judge's labels: 1 the first, -1 the second, 0 none or a check's; [pairs]."""
    labeled = answer_faults.standing(events)
    pairs = max((max(said.pair_index, default=-1) for said in labeled), default=-1) + 1
    if pairs > MOST_PAIRS:
        return np.zeros(0)
    choice = verdict_column(labeled, "choice", pairs, 0)
    choice[checked.decided(labeled, pairs)] = 0
    return np.select([choice == Choice.CHOICE_FIRST, choice == Choice.CHOICE_SECOND], [1, -1], 0)


def _by_round(events: Iterable[Event], pairs: int) -> dict[int, _Seen]:
    seen: dict[int, _Seen] = {}
    for event in events:
        kind, round_ = event.WhichOneof("kind"), event.unit.round
        if kind == "stage_opened" and event.stage_opened.stage in LABELLING:
            opened = event.stage_opened
            random = zip(opened.pair_indexes, opened.audit, strict=False)
            _of(seen, opened.round).random.update(pair for pair, is_random in random if is_random)
        elif kind == "task_resolved" and event.unit.stage in LABELLING:
            _of(seen, round_).resolved.append(event.task_resolved)
        elif kind == "annotation_submitted" and event.annotation_submitted.gold and event.unit.stage in LABELLING:
            said = event.annotation_submitted
            # It bears the round in which its question was settled; it was given in the one that is open.
            _of(seen, max(seen, default=0)).gold.append((said.pair_index, said.choice))
        elif kind == "round_triaged":
            _of(seen, round_).triaged = event.round_triaged
        elif kind == "shard_scored" and event.unit.stage == Stage.STAGE_SCORE:
            here, said = _of(seen, round_), event.shard_scored
            if here.margin is None:
                here.margin = np.full(pairs, np.nan)
            rewards = np.array(said.reward_margin or said.margin)[: max(0, pairs - said.first_index)]
            here.margin[said.first_index : said.first_index + len(rewards)] = rewards
    return seen


def _of(seen: dict[int, _Seen], round_: int) -> _Seen:
    return seen.setdefault(round_, _Seen(set(), [], []))


def _overruled(seen: _Seen, label: Array) -> tuple[int, int]:
    told = [
        (label[task.pair_index], task.choice)
        for task in seen.resolved
        if task.outcome == TaskOutcome.TASK_OUTCOME_DECIDED
        and task.pair_index in seen.random
        and task.pair_index < len(label)
        and label[task.pair_index]
    ]
    return sum((side > 0) != (choice == Choice.CHOICE_FIRST) for side, choice in told), len(told)


def _two_votes(resolved: Iterable[TaskResolved]) -> list[list[int]]:
    """Not a third one, which is asked for where two differ."""
    return [list(task.choices[:2]) for task in resolved if len(task.choices) > 1]


def _apart(votes: Sequence[Sequence[int]]) -> tuple[int, int]:
    return sum(one != other for one, other in votes), len(votes)


def _otherwise(gold: Iterable[tuple[int, int]], settled: Mapping[int, int]) -> tuple[int, int]:
    told = [(choice, settled[pair]) for pair, choice in gold if pair in settled]
    return sum(one != other for one, other in told), len(told)


def _flipped(triaged: RoundTriaged | None, label: Array) -> tuple[int, int]:
    """Before the model has learned anything it flips nothing: that says nothing."""
    if triaged is None or not triaged.trust:
        return 0, 0
    return triaged.flipped, int((label != 0).sum())


def _against(margin: Array | None, label: Array) -> tuple[int, int]:
    if margin is None:
        return 0, 0
    told = ~np.isnan(margin) & (margin != 0) & (label != 0)
    return int(((margin > 0) != (label > 0))[told].sum()), int(told.sum())


def _turned(margins: Sequence[Array | None]) -> list[tuple[float, float]]:
    """Beside the last round that scored."""
    out: list[tuple[float, float]] = []
    before: Array | None = None
    for margin in margins:
        if margin is None or before is None:
            out.append((0, 0))
        else:
            told = ~np.isnan(margin) & ~np.isnan(before)
            out.append((int(((margin > 0) != (before > 0))[told].sum()), int(told.sum())))
        before = margin if margin is not None else before
    return out
