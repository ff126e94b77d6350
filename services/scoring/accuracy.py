"""How good a reward model is on answers that people told apart: how often it is right, subset by subset, and how sure it may be.

Pure. A margin is the chosen answer's reward less the rejected one's, in logits; sigmoid of it is P(the chosen is better) as the
model has it, which is calibrated where of the pairs with P near p the share p is right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from concord.preference.wilson import wilson

Array = np.ndarray
# Of how sure the model is, P(the answer that it prefers is better): .5 to 1.
BINS = 5
# A reward's scale is its trainer's: what it must be divided by to be calibrated is looked for among these.
TEMPERATURES = np.geomspace(0.05, 20, 241)


@dataclass(frozen=True)
class Share:
    """How often it is right: a share in [0, 1] with its 95 % interval; equal rewards count half."""

    of: int
    right: float
    low: float
    high: float
    margin: float  # the mean


@dataclass(frozen=True)
class Bin:
    """Pairs of which the model is about as sure."""

    of: int
    said: float  # its mean P(what it prefers is better)
    right: float  # the share in which people say so


@dataclass(frozen=True)
class Calibration:
    """What the model's own probabilities are worth; lower is better in the first two."""

    error: float  # mean distance of `said` and `right` over the bins, by their pairs
    log_loss: float
    temperature: float  # dividing rewards by it gives the least log loss: above 1 the model is too sure of itself
    log_loss_at_temperature: float
    bins: tuple[Bin, ...]


def share_of(margin: Array) -> Share:
    """Of these margins, float [pairs], at least one."""
    right = (margin > 0) + 0.5 * (margin == 0)
    return Share(
        len(margin), float(right.mean()), *wilson(float(right.sum()), len(margin)), margin=float(margin.mean())
    )


def by_subset(margin: Array, subset: Sequence[str]) -> Mapping[str, Share]:
    """Name → share, by name."""
    names = np.array(subset, object)
    return {name: share_of(margin[names == name]) for name in sorted(set(subset))}


def calibration(margin: Array) -> Calibration:
    """Of these margins, float [pairs], at least one."""
    losses = [_log_loss(margin / one) for one in TEMPERATURES]
    best = int(np.argmin(losses))
    bins = tuple(_bins(margin))
    error = sum(one.of * abs(one.said - one.right) for one in bins) / len(margin)
    return Calibration(error, _log_loss(margin), float(TEMPERATURES[best]), float(losses[best]), bins)


def _log_loss(margin: Array) -> float:
    return float(np.logaddexp(0, -margin).mean())


def _bins(margin: Array) -> list[Bin]:
    """Those with pairs in them."""
    sure = expit(np.abs(margin))
    right = (margin > 0) + 0.5 * (margin == 0)
    place = np.minimum(((sure - 0.5) * 2 * BINS).astype(int), BINS - 1)
    found = ((sure[place == at], right[place == at]) for at in range(BINS))
    return [Bin(len(said), float(said.mean()), float(is_right.mean())) for said, is_right in found if len(said)]
