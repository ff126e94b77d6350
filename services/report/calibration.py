"""Whether P(label wrong) means what it says: what was believed of a pair before it was asked, against the answer. PURE.

The belief is that of the round which asked the pair, so the pair's own answer was not among what it had learned from.
"""

import io
from dataclasses import dataclass

import numpy as np

from concord.kit.plural import many
from concord.report.bias import comparable, overrules
from concord.report.history import Array, History, Read
from concord.report.shares import Share, share_of

FEWEST = 10
_BINS = 10


@dataclass(frozen=True)
class Bin:
    """Answered pairs of similar P(label wrong)."""

    low: float
    high: float
    p_wrong: float  # mean belief
    wrong: Share  # what people said


@dataclass(frozen=True)
class Calibration:
    """Beliefs against answers; `absent` says why there are no bins."""

    answers: int
    expected: float  # wrong labels that the beliefs add up to
    found: int  # labels that people overruled
    bins: tuple[Bin, ...]
    absent: str


def calibration(history: History, read: Read) -> Calibration:
    """Over decided answers on pairs with a verdict that a round asked about; the pilot was asked before any belief."""
    p_wrong, wrong = _believed_and_said(history, read)
    absent = _absent(history, p_wrong)
    return Calibration(
        answers=len(p_wrong),
        expected=float(p_wrong.sum()),
        found=int(wrong.sum()),
        bins=() if absent else _bins(p_wrong, wrong),
        absent=absent,
    )


def _believed_and_said(history: History, read: Read) -> tuple[Array, Array]:
    """P(label wrong) before the answer, and whether people overruled; both [answers]."""
    believed: list[float] = []
    said: list[bool] = []
    for number, triaged in history.rounds:
        answers = [answer for answer in comparable(history) if answer.round == number]
        if not answers or not triaged.posterior_uri:
            continue
        with np.load(io.BytesIO(read(triaged.posterior_uri)), allow_pickle=False) as arrays:
            if "p_wrong" not in arrays:
                continue
            p_wrong = arrays["p_wrong"]
        believed += [float(p_wrong[answer.pair]) for answer in answers]
        said += [overrules(history, answer) for answer in answers]
    return np.array(believed, dtype=np.float64), np.array(said, dtype=bool)


def _absent(history: History, p_wrong: Array) -> str:
    if not history.rounds:
        return "nobody was asked in rounds, so there is nothing to hold P(label wrong) against"
    if len(p_wrong) < FEWEST:
        return f"only {many(len(p_wrong), 'answer')} came after a round had a belief about them; from {FEWEST} on this is drawn"
    rounds = {number for number, _ in history.rounds}
    # A method that believes the same of every pair asks blindly: its shares say nothing about single pairs.
    if len(np.unique(np.round(p_wrong, 6))) <= len(rounds):
        return "this method believes the same of every pair, so there is no P(label wrong) of single pairs to check"
    return ""


def _bins(p_wrong: Array, wrong: Array) -> tuple[Bin, ...]:
    """Ten bins of one width; those without answers are left out."""
    number = np.minimum((p_wrong * _BINS).astype(int), _BINS - 1)
    return tuple(
        Bin(
            low=at / _BINS,
            high=(at + 1) / _BINS,
            p_wrong=float(p_wrong[number == at].mean()),
            wrong=share_of(int(wrong[number == at].sum()), int((number == at).sum())),
        )
        for at in np.unique(number).tolist()
    )
