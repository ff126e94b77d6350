"""Multinomial logistic regression on the signs of an answer: fitted, and asked. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from concord.redteam import signs
from concord.redteam.classes import CLASSES

Array = np.ndarray
# How far weights are held to zero: 1 / variance of the Gaussian prior on each. Chosen by prompts that are not reported.
PENALTY = 4.0
_STEPS = 400
_DIGITS = 2


@dataclass(frozen=True, eq=False)
class Weights:
    """A model: log-odds that the signs add."""

    weight: Array  # float [signs.NAMES, CLASSES]
    bias: Array  # float [CLASSES]


def p_classes(model: Weights, x: Array) -> Array:
    """P(class), [answers, CLASSES]; x [answers, signs.NAMES]."""
    return np.asarray(softmax(x @ model.weight + model.bias, axis=-1))


def fit(x: Array, target: Array, weight: Array) -> Weights:
    """The most probable weights; target [answers] an index of CLASSES, weight [answers] 0 or more. Deterministic."""
    x = x.astype(float)
    columns, classes = x.shape[1], len(CLASSES)
    one_hot = np.eye(classes)[target]

    def loss(flat: Array) -> tuple[float, Array]:
        held, bias = flat[:-classes].reshape(columns, classes), flat[-classes:]
        z = x @ held + bias
        off = weight[:, None] * (softmax(z, axis=1) - one_hot)
        value = -(weight @ (log_softmax(z, axis=1) * one_hot).sum(axis=1)) + PENALTY / 2 * (held**2).sum()
        return value, np.concatenate([(x.T @ off + PENALTY * held).ravel(), off.sum(axis=0)])

    start = np.zeros((columns + 1) * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x
    return Weights(found[:-classes].reshape(columns, classes), found[-classes:])


def from_table(table: Mapping[str, tuple[float, float, float]]) -> Weights:
    """The model that a table of names stands for; "bias" is one of them. KeyError where the signs are other ones."""
    return Weights(np.array([table[name] for name in signs.NAMES]), np.array(table["bias"]))


def to_table(model: Weights) -> dict[str, tuple[float, ...]]:
    """As `from_table` reads it, rounded."""
    rows = {name: row for name, row in zip(signs.NAMES, model.weight, strict=True)} | {"bias": model.bias}
    return {name: tuple(float(round(value, _DIGITS)) + 0.0 for value in row) for name, row in rows.items()}
