"""How far a figure over runs on the same pairs may have moved by the choice of the pairs. Pure.

A standard deviation over seeds says how much the asking moves a figure; these pairs are the same for all seeds. Here the
pairs are drawn anew, with replacement, jointly for all runs that had them; what was asked and learned stays as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

Array = np.ndarray
DRAWS = 1_000


@dataclass(frozen=True, eq=False)
class Outcome:
    """One run's decided pairs; all shapes [pairs]."""

    row: Array  # int, which row of the data: the same for the same pair in all runs
    start: Array  # bool, the label was right before
    end: Array  # bool, and after


def errors_removed(outcomes: Sequence[Outcome], draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Mean over runs of the share of the judge's errors that were removed, and its standard error by the pairs."""
    rows, place = np.unique(np.concatenate([outcome.row for outcome in outcomes]), return_inverse=True)
    places = np.split(place, np.cumsum([len(outcome.row) for outcome in outcomes])[:-1])
    gain, wrong = np.zeros((len(rows), len(outcomes))), np.zeros((len(rows), len(outcomes)))
    for run, (outcome, at) in enumerate(zip(outcomes, places, strict=True)):
        gain[at, run] = outcome.end.astype(float) - outcome.start
        wrong[at, run] = ~outcome.start
    drawn = np.random.default_rng(seed).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), draws)
    found = ((drawn @ gain) / np.maximum(drawn @ wrong, 1)).mean(axis=1)
    return float((gain.sum(axis=0) / np.maximum(wrong.sum(axis=0), 1)).mean()), float(found.std())


def drawn_shares(right: Array, draws: int) -> Array:
    """Share of the pairs that are right, [draws]: of runs on as many pairs, in the same order, the same pairs are drawn anew."""
    return np.round(_weights(len(right), draws) @ right.astype(np.float32) / len(right), 6)


@cache
def _weights(pairs: int, draws: int) -> Array:
    """How often each pair is drawn, float32 [draws, pairs]."""
    generator, shares = np.random.default_rng([pairs, draws]), np.full(pairs, 1 / pairs)
    return np.stack([generator.multinomial(pairs, shares).astype(np.float32) for _ in range(draws)])
