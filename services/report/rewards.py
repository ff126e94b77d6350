"""The reward margins in descending order, where they bend, and what people said along the curve. PURE."""

from dataclasses import dataclass

import numpy as np

from concord.report.bias import comparable, overrules
from concord.report.history import History
from concord.report.margins import margin_toward_label
from concord.reward.curve import bends

# On fewer pairs a bend is where chance put it.
FEWEST_BENT = 100
_MOST_POINTS = 240
_MOST_ANSWERS = 600


@dataclass(frozen=True)
class Mark:
    """A point of the curve: its position from the left, and its margin."""

    position: int
    margin: float


@dataclass(frozen=True)
class Said:
    """One person's answer on the curve."""

    position: int
    margin: float
    overruled: bool


@dataclass(frozen=True)
class RewardCurve:
    """Margins toward the judge's label, sorted in descending order; thinned out evenly where there are many."""

    pairs: int
    points: tuple[Mark, ...]
    elbow: Mark | None
    knee: Mark | None
    reflection: Mark | None
    answers: tuple[Said, ...]
    answers_known: int  # before thinning

    @property
    def bends(self) -> tuple[tuple[str, Mark], ...]:
        """The points that exist, by name, from left to right; none where the pairs are too few for them to mean anything."""
        if self.pairs < FEWEST_BENT:
            return ()
        named = (("elbow", self.elbow), ("knee", self.knee), ("reflection", self.reflection))
        return tuple((name, mark) for name, mark in named if mark is not None)


def reward_curve(history: History) -> RewardCurve | None:
    """The curve over all pairs that have a label and a margin; None where the method scores nothing."""
    toward = margin_toward_label(history)
    scored = np.flatnonzero(~np.isnan(toward))
    if not len(scored):
        return None
    order = scored[np.argsort(-toward[scored], kind="stable")]
    delta = toward[order]
    found = bends(delta)
    position = np.full(history.pairs, -1)
    position[order] = np.arange(len(order))
    said = [
        Said(int(position[a.pair]), float(toward[a.pair]), overrules(history, a))
        for a in comparable(history)
        if position[a.pair] >= 0
    ]
    at = {name: None if where is None else _mark(delta, where) for name, where in vars(found).items()}
    return RewardCurve(
        pairs=len(delta),
        points=tuple(_mark(delta, where) for where in _evenly(len(delta), _MOST_POINTS)),
        **at,
        answers=tuple(said[where] for where in _evenly(len(said), _MOST_ANSWERS)),
        answers_known=len(said),
    )


def _mark(delta: np.ndarray, at: int) -> Mark:
    return Mark(int(at), float(delta[at]))


def _evenly(count: int, most: int) -> list[int]:
    """At most `most` positions of `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count else []
