"""The reward distribution: how far a reward model that never saw a pair agrees with its label. PURE."""

from dataclasses import dataclass
from math import floor, log10

import numpy as np

from concord.report.bias import comparable, overrules
from concord.report.history import Array, History
from concord.v1.pairs_pb2 import Choice

_MOST_BINS = 30
# The rest lies in the outermost bins: a few extreme margins would squeeze all others into the middle.
_SHOWN = 0.99


@dataclass(frozen=True)
class MarginDistribution:
    """A histogram of the margin toward the judge's label, in logits; negative: the reward model disagrees.

    The outermost bins also hold what lies beyond them.
    """

    edges: tuple[float, ...]  # [bins + 1], ascending, 0 is among them
    pairs: tuple[int, ...]  # [bins]
    agreed: tuple[int, ...]  # [bins] people confirmed the label
    overruled: tuple[int, ...]  # [bins] people chose the other one
    against: int  # pairs with a negative margin


def margin_distribution(history: History) -> MarginDistribution | None:
    """The distribution over all pairs that have a label and a margin; None where the method scores nothing."""
    if history.margin is None:
        return None
    toward = margin_toward_label(history)
    seen = toward[~np.isnan(toward)]
    if not len(seen):
        return None
    edges = _edges(seen)
    answers = [answer for answer in comparable(history) if not np.isnan(toward[answer.pair])]
    at = np.array([toward[answer.pair] for answer in answers])
    against = np.array([overrules(history, answer) for answer in answers], dtype=bool)
    return MarginDistribution(
        edges=tuple(edges.tolist()),
        pairs=_counts(seen, edges),
        agreed=_counts(at[~against], edges),
        overruled=_counts(at[against], edges),
        against=int((seen < 0).sum()),
    )


def margin_toward_label(history: History) -> Array:
    """[pairs]; NaN where there is no label or no margin."""
    if history.margin is None:
        return np.full(history.pairs, np.nan)
    choice = history.labels.choice
    side = np.where(choice == Choice.CHOICE_FIRST, 1.0, np.where(choice == Choice.CHOICE_SECOND, -1.0, np.nan))
    return history.margin * side


def _edges(values: Array) -> Array:
    """Bins of one round width, with an edge at 0, over the middle of the values."""
    low, high = np.quantile(values, [(1 - _SHOWN) / 2, (1 + _SHOWN) / 2])
    width = _round_up(max(max(high, 0.0) - min(low, 0.0), 1e-6) / _MOST_BINS)
    first, last = min(floor(low / width), 0), max(-floor(-high / width), 0)
    if last == first:
        last += 1
    # Multiples, not a running sum, so that 0 is exactly 0.
    return np.round(np.arange(first, last + 1) * width, 9)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _counts(values: Array, edges: Array) -> tuple[int, ...]:
    # A value just below the last edge belongs to the last bin, however the edge was rounded.
    inside = np.clip(values, edges[0], edges[-1])
    return tuple(np.histogram(inside, edges)[0].tolist())
