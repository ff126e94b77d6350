"""Multinomial logistic regression on the signs of an answer: its weights, and what it says. Pure.

It is fitted by `benchmarks/redteam_replies.py`; what runs needs no more than numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from concord.redteam import signs

Array = np.ndarray
_DIGITS = 2


@dataclass(frozen=True, eq=False)
class Weights:
    """A model: log-odds that the signs add."""

    weight: Array  # float [signs.NAMES, CLASSES]
    bias: Array  # float [CLASSES]


def p_classes(model: Weights, x: Array) -> Array:
    """P(class), [answers, CLASSES]; x [answers, signs.NAMES]."""
    z = x @ model.weight + model.bias
    odds = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


def from_table(table: Mapping[str, tuple[float, float, float]]) -> Weights:
    """The model that a table of names stands for; "bias" is one of them. KeyError where the signs are other ones."""
    return Weights(np.array([table[name] for name in signs.NAMES]), np.array(table["bias"]))


def to_table(model: Weights) -> dict[str, tuple[float, ...]]:
    """As `from_table` reads it, rounded."""
    rows = {name: row for name, row in zip(signs.NAMES, model.weight, strict=True)} | {"bias": model.bias}
    return {name: tuple(float(round(value, _DIGITS)) + 0.0 for value in row) for name, row in rows.items()}
