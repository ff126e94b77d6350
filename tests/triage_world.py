"""Small worlds for the tests of triage: signals by hand, or planted ones with a known truth."""

import numpy as np
from scipy.special import expit

from concord.preference.annotations import Answers
from concord.triage.signals import Signals

NOBODY = Answers(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))


def signals(pairs: int, **columns) -> Signals:
    """Pairs about which nothing is known but that the judge prefers the first; `columns` replace what is given."""
    absent = np.full(pairs, -1.0)
    known = dict(
        label=np.ones(pairs, dtype=int),
        margin=np.zeros(pairs),
        confidence=absent,
        order_flipped=absent,
        own_disagree=absent,
        helpers=(),
        helper_disagree=np.zeros((0, pairs)),
        length_difference=np.zeros(pairs),
        domain=np.zeros(pairs, dtype=int),
        group=np.arange(pairs, dtype=np.uint64),
        x=np.zeros((pairs, 0)),
    )
    return Signals(**(known | columns))


def answers(pair, p_first, audit=False) -> Answers:
    """One vote each; single values hold for all."""
    pair = np.asarray(pair, dtype=np.int64)
    p_first, audit = (
        np.broadcast_to(np.asarray(value, kind), pair.shape) for value, kind in ((p_first, float), (audit, bool))
    )
    return Answers(pair, p_first, audit, np.ones(len(pair), dtype=np.int64))


def planted(pairs: int, seed: int, dimensions: int = 0, **coefficients) -> tuple[Signals, np.ndarray]:
    """Signals and truth [pairs] (1 the first, 0 the second) where P(wrong) has the given coefficients.

    Known names: intercept, margin, flip, own, helper, length, feature (on the first column of x).
    """
    generator = np.random.default_rng(seed)
    label = generator.choice([-1, 1], pairs)
    x = generator.normal(size=(pairs, dimensions)).astype(np.float16)
    made = signals(
        pairs,
        label=label,
        margin=generator.normal(size=pairs),
        length_difference=generator.normal(size=pairs),
        order_flipped=(generator.random(pairs) < 0.3).astype(float),
        own_disagree=generator.random(pairs),
        helpers=("other",),
        helper_disagree=generator.random((1, pairs)),
        x=x,
    )
    parts = {
        "intercept": np.ones(pairs),
        "margin": made.margin * label,
        "flip": made.order_flipped - 0.3,
        "own": made.own_disagree - 0.3,
        "helper": made.helper_disagree[0] - 0.3,
        "length": made.length_difference * label,
        "feature": x[:, 0] * label if dimensions else np.zeros(pairs),
    }
    wrong = generator.random(pairs) < expit(sum(value * parts[name] for name, value in coefficients.items()))
    return made, ((label > 0) ^ wrong).astype(float)
