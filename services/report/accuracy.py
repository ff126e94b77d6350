"""How many labels are right: measured where the input carries truth, else estimated and called so. PURE.

Measured over the kept rows whose truth is decided. A tie, or no usable verdict, where the truth is decided counts as
wrong: it is not the right label.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from concord.preference.methods import METHODS
from concord.report.history import Array, History, Read
from concord.report.shares import Share, share_of
from concord.v1.events_pb2 import RoundTriaged
from concord.v1.pairs_pb2 import Choice

DECIDED = (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND)
# Below this the gap between a reward model taught by the judge and one taught by the truth is too small to be shared out.
SMALLEST_GAP = 0.08

Truth = Mapping[int, int]


@dataclass(frozen=True)
class LabelAccuracy:
    """Shares of right labels, in [0, 1]; None without truth."""

    start: float | None  # the judge's labels; also None where it gave no label at all
    final: float | None  # the dataset's labels; also None where no row has one
    rows: int  # kept rows with a decided truth


@dataclass(frozen=True)
class Audit:
    """What uniformly drawn pairs say, with 95 % intervals; in [0, 1]."""

    error: float  # over pairs not asked
    error_low: float
    error_high: float
    accuracy: float  # of all labels; people's own are taken as right
    accuracy_low: float
    accuracy_high: float


@dataclass(frozen=True)
class Round:
    """One round's account, before its questions are answered."""

    round: int
    human_labels: int  # so far
    votes: int  # so far
    human_share: float
    asked: int  # in this round
    trust: int
    flipped: int
    # The model's own, over pairs not asked; None while it only assumes.
    expected_error: float | None
    # The same over all labels; people's own are taken as right.
    estimated_accuracy: float | None
    audit: Audit | None  # None under 8 audited pairs
    # Of the labels with which the run would have ended here; None without truth, and where nothing recorded tells them.
    accuracy: float | None


@dataclass(frozen=True)
class Flips:
    """Labels of the dataset that differ from the judge's without a person having said so; None without truth."""

    count: int
    right: int | None
    wrong: int | None


@dataclass(frozen=True)
class Evaluation:
    """Accuracy on test pairs of reward models that learned from the judge, from this run, and from the truth."""

    ai_only: float
    final: float
    full: float
    pairs: int = 0

    @property
    def gap_closed(self) -> float | None:
        """Share of the way from the judge's to the truth's model; None where the way is shorter than 8 points."""
        gap = self.full - self.ai_only
        return None if round(gap - SMALLEST_GAP, 9) < 0 else (self.final - self.ai_only) / gap


def label_accuracy(history: History, truth: Truth | None) -> LabelAccuracy:
    """The judge's and the dataset's labels against the truth, over the same rows."""
    if truth is None or history.rows is None:
        return LabelAccuracy(None, None, 0)
    right = _truth_of(history.rows.index, truth)
    start, final = _right(history.rows.judge_label, right), _right(history.rows.label, right)
    judged, labelled = (
        history.rows.judge_label.any(),
        np.isin(history.rows.source, ("judge", "checked", "flipped", "people")).any(),
    )
    return LabelAccuracy(start.share if judged else None, final.share if labelled else None, final.of)


def human_accuracy(history: History, truth: Truth | None) -> Share | None:
    """How often people's decided answers are the truth; None without truth."""
    if truth is None:
        return None
    answers = [answer for answer in history.answers if answer.decided]
    said = np.array([answer.choice for answer in answers], dtype=np.int8)
    return _right(said, _truth_of(np.array([answer.pair for answer in answers], dtype=np.int64), truth))


def flips(history: History, truth: Truth | None) -> Flips | None:
    """The labels that the model corrected by itself; None without a dataset."""
    if history.rows is None:
        return None
    flipped = history.rows.source == "flipped"
    if truth is None:
        return Flips(int(flipped.sum()), None, None)
    share = _right(history.rows.label[flipped], _truth_of(history.rows.index[flipped], truth))
    return Flips(int(flipped.sum()), share.count, share.of - share.count)


def rounds(history: History, truth: Truth | None, read: Read) -> tuple[Round, ...]:
    """Each round's account, in order."""
    kept = history.rows.index if history.rows is not None else np.arange(history.pairs)
    return tuple(_round(history, number, said, kept, truth, read) for number, said in history.rounds)


def _round(history: History, number: int, said: RoundTriaged, kept: Array, truth: Truth | None, read: Read) -> Round:
    before = [answer for answer in history.answers if answer.round < number]
    labels = sum(answer.given for answer in before)
    unasked = 1 - (len(before) + len(history.taken)) / history.pairs
    return Round(
        round=number,
        human_labels=labels,
        votes=sum(len(answer.annotation_ids) for answer in before),
        human_share=labels / history.pairs,
        asked=len(said.asked),
        trust=said.trust,
        flipped=said.flipped,
        expected_error=said.expected_error if said.trust else None,
        estimated_accuracy=1 - unasked * said.expected_error if said.trust else None,
        audit=_audit(said, unasked),
        accuracy=_accuracy(history, number, said, kept, truth, read) if truth is not None else None,
    )


def _audit(said: RoundTriaged, unasked: float) -> Audit | None:
    if not said.HasField("audited_error"):
        return None
    error, low, high = said.audited_error, said.audited_error_low, said.audited_error_high
    # A high error is a low accuracy: the interval's ends change places.
    return Audit(error, low, high, 1 - unasked * error, 1 - unasked * high, 1 - unasked * low)


def _accuracy(history: History, number: int, said: RoundTriaged, kept: Array, truth: Truth, read: Read) -> float | None:
    if not METHODS[history.created.config.method].labelled_by_model:
        return _posterior_accuracy(read(said.posterior_uri), kept, truth)
    if number not in history.margins:
        return None
    margin = history.margins[number]
    side = np.where(margin > 0, Choice.CHOICE_FIRST, np.where(margin < 0, Choice.CHOICE_SECOND, Choice.CHOICE_TIE))
    for answer in history.answers:
        if answer.round < number and answer.given:
            side[answer.pair] = answer.choice
    return _right(side[kept], _truth_of(kept, truth)).share


def _posterior_accuracy(stored: bytes, kept: Array, truth: Truth) -> float | None:
    with np.load(io.BytesIO(stored), allow_pickle=False) as arrays:
        target = arrays["target"][kept]
    side = np.where(target > 0.5, Choice.CHOICE_FIRST, np.where(target < 0.5, Choice.CHOICE_SECOND, Choice.CHOICE_TIE))
    return _right(side, _truth_of(kept, truth)).share


def _truth_of(index: Array, truth: Truth) -> Array:
    """The decided truth of each of these pairs, 0 where there is none."""
    known = (truth.get(int(at), 0) for at in index)
    return np.array([choice if choice in DECIDED else 0 for choice in known], dtype=np.int8)


def _right(said: Array, truth: Array) -> Share:
    decided = truth != 0
    return share_of(int((said[decided] == truth[decided]).sum()), int(decided.sum()))
