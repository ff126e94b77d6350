"""P(label wrong), learned from people's answers: the correction model. PURE.

logit P(label i wrong) = signals_i . b + delta . (a_i x_i), with Gaussian priors on b (see `signals.design`) and delta.
How much of it is believed depends on how many answers there are: see `Trust`.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from scipy.special import expit

from concord.preference.annotations import Answers
from concord.preference.folds import fold_of
from concord.reward import logistic
from concord.triage.signals import (
    P_CHECK_WRONG,
    Design,
    Signals,
    design,
    p_check_wrong,
    proven_helpers,
    weak_helpers,
    wrong_labels,
)

Array = np.ndarray

ANSWERS_FOR_FLIPS = 10
ANSWERS_FOR_FEATURES = 100
FEATURE_VARIANCES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
STATISTICS_VARIANCES = (0.003, 0.03, 0.2)
_FOLDS = 5
_DIGITS = 6
_SUREST = 1e-3


class Trust(IntEnum):
    """Stages of trust; answers that judge a label count (no ties)."""

    PRIORS = 0  # under 10 and no proven helper: the priors alone, and every label stays
    SIGNALS = 1  # to 99: the signals' coefficients are refitted, delta = 0; labels flip; the AI head stays
    FEATURES = 2  # from 100: everything


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is believed of every pair after some answers."""

    p_wrong: Array  # [pairs] P(the judge's label is wrong), to 1e-6; 0 or 1 where people said so, 0.5 without a verdict
    target: Array  # [pairs] P(the first is better); 0, 0.5 or 1 where people said so
    trust: Trust
    flipped: int  # pairs that nobody answered whose target is not on the judge's side
    coefficients: tuple[tuple[str, float], ...]
    p_held_out: Array  # [answers] P(wrong) by a fit without the answer's fold; NaN where the answer judges no label
    p_without: Array  # [pairs] the same of every pair, by a fit without the pair's own fold; 0.5 without a verdict
    proven: tuple[str, ...] = ()  # helpers for whose sake labels flip although there are fewer than ten answers


def posterior(signals: Signals, answers: Answers) -> Posterior:
    """Fits the model to the answers and applies it to all pairs."""
    rows, wrong = wrong_labels(signals, answers)
    proven = _proven(signals, answers) if len(rows) < ANSWERS_FOR_FLIPS else ()
    trust = Trust.SIGNALS if proven else _trust(len(rows))
    low = design(signals, weak_helpers(signals, answers))
    pair = answers.pair[rows]
    fold = fold_of(signals.group, _FOLDS)
    if trust is Trust.FEATURES and signals.x.shape[1]:
        p_wrong, p_without, coefficients = _full_model(signals, low, pair, wrong, fold)
    else:
        answered = pair if trust > Trust.PRIORS else pair[:0]
        b = logistic.fit(low.columns[answered], wrong[: len(answered)], np.ones(len(answered)), low.mean, low.sd**-2.0)
        p_wrong, coefficients = expit(low.columns @ b), list(zip(low.names, b.tolist(), strict=True))
        p_without = _without_signals(low, pair, wrong, fold) if trust > Trust.PRIORS else p_wrong
    p_held_out = np.full(len(answers.pair), np.nan)
    p_held_out[rows] = np.round(p_without[pair], _DIGITS)
    p_wrong, p_without = (np.where(signals.label == 0, 0.5, np.round(p, _DIGITS)) for p in (p_wrong, p_without))
    if signals.checked is not None:
        p_wrong[signals.checked] = round(p_check_wrong(signals, answers), _DIGITS)
        p_without[signals.checked] = P_CHECK_WRONG
    believed = _applied(signals, answers, p_wrong, trust, tuple(coefficients), p_held_out, p_without)
    return replace(believed, proven=proven)


def _proven(signals: Signals, answers: Answers) -> tuple[str, ...]:
    return tuple(
        name for name, is_proven in zip(signals.helpers, proven_helpers(signals, answers), strict=True) if is_proven
    )


def _trust(answers: int) -> Trust:
    if answers < ANSWERS_FOR_FLIPS:
        return Trust.PRIORS
    return Trust.SIGNALS if answers < ANSWERS_FOR_FEATURES else Trust.FEATURES


def _applied(
    signals: Signals,
    answers: Answers,
    p_wrong: Array,
    trust: Trust,
    coefficients: tuple,
    p_held_out: Array,
    p_without: Array,
) -> Posterior:
    flips = (p_wrong > 0.5) & (signals.label != 0) & (trust > Trust.PRIORS)
    # A label that stays keeps its side, if only just.
    p_opposite = np.where(flips | (signals.label == 0), p_wrong, np.minimum(p_wrong, 0.5 - 10.0**-_DIGITS))
    target = np.where(signals.label > 0, 1 - p_opposite, p_opposite)
    said = ~np.isnan(answers.p_first)
    pair, p_first = answers.pair[said], answers.p_first[said]
    target[pair], flips[pair] = p_first, False
    has_label = signals.label[pair] != 0
    p_wrong = p_wrong.copy()
    p_wrong[pair] = np.where(has_label, np.where(signals.label[pair] > 0, 1 - p_first, p_first), 0.5)
    return Posterior(p_wrong, target, trust, int(flips.sum()), coefficients, p_held_out, p_without)


def _without_signals(low: Design, pair: Array, wrong: Array, fold: Array) -> Array:
    """P(wrong) [pairs] by the signals alone, each pair's without the answers of its fold; fold [pairs]."""
    p = np.zeros(len(fold))
    for k in range(_FOLDS):
        seen, mine = fold[pair] != k, fold == k
        b = logistic.fit(low.columns[pair[seen]], wrong[seen], np.ones(seen.sum()), low.mean, low.sd**-2.0)
        p[mine] = expit(low.columns[mine] @ b)
    return p


def _full_model(
    signals: Signals, low: Design, pair: Array, wrong: Array, fold: Array
) -> tuple[Array, Array, list[tuple[str, float]]]:
    """P(wrong) of all pairs, the same without each pair's own fold, and the coefficients."""
    a = signals.label.astype(np.float32)[:, None]
    rows = np.hstack([low.columns[pair], a[pair] * signals.x[pair]]).astype(np.float32)
    mean = np.concatenate([low.mean, np.zeros(signals.x.shape[1])])
    fits, variances = _best_variances(signals, low, rows, wrong, mean, fold[pair])
    b = logistic.fit(rows, wrong, np.ones(len(wrong)), mean, _precision(signals, low, *variances))
    split = len(low.names)
    delta = b[split:].astype(np.float32)
    p_wrong = expit(low.columns @ b[:split] + a[:, 0] * _times(signals.x, delta))
    p_without = np.zeros(len(fold))
    for k, fit in fits.items():
        mine = np.flatnonzero(fold == k)
        own = a[mine, 0] * _times(signals.x[mine], fit[split:].astype(np.float32))
        p_without[mine] = expit(low.columns[mine] @ fit[:split] + own)
    features = signals.x.shape[1] - signals.statistics
    coefficients = [
        *zip(low.names, b[:split].tolist(), strict=True),
        ("statistics, length of delta", float(np.linalg.norm(delta[features:]))),
        ("statistics, prior variance", variances[1]),
        ("features, length of delta", float(np.linalg.norm(delta[:features]))),
        ("features, prior variance", variances[0]),
    ]
    return p_wrong, p_without, coefficients


def _best_variances(
    signals: Signals, low: Design, rows: Array, wrong: Array, mean: Array, fold: Array
) -> tuple[dict[int, Array], tuple[float, float]]:
    """The fits without each fold, and the variances of features and statistics, with the least held-out log loss.

    fold [answers that judge a label]: a fold without any of them is fitted to all.
    """
    best: tuple[float, dict[int, Array], tuple[float, float]] = (
        np.inf,
        {},
        (FEATURE_VARIANCES[0], STATISTICS_VARIANCES[0]),
    )
    fits: dict[int, Array] = {}
    for statistics in STATISTICS_VARIANCES:
        for features in FEATURE_VARIANCES:
            precision = _precision(signals, low, features, statistics)
            p = np.zeros(len(wrong))
            for k in range(_FOLDS):
                seen = fold != k
                # Neighbours on the grid lie close together, so each starts where the last one ended.
                fits[k] = logistic.fit(rows[seen], wrong[seen], np.ones(seen.sum()), mean, precision, fits.get(k))
                p[~seen] = expit(rows[~seen] @ fits[k].astype(np.float32))
            loss = _log_loss(p, wrong)
            if loss < best[0]:
                best = (loss, dict(fits), (features, statistics))
    return best[1], best[2]


def _precision(signals: Signals, low: Design, features: float, statistics: float) -> Array:
    dimensions = signals.x.shape[1]
    delta = np.full(dimensions, 1 / features)
    delta[dimensions - signals.statistics :] = 1 / statistics
    return np.concatenate([low.sd**-2.0, delta])


def _log_loss(p: Array, wrong: Array) -> float:
    p = np.clip(p, _SUREST, 1 - _SUREST)
    return float(-(wrong * np.log(p) + (1 - wrong) * np.log(1 - p)).sum())


def _times(x: Array, delta: Array, rows: int = 8192) -> Array:
    """x @ delta in float32, without a float32 copy of a large float16 x."""
    parts = [x[at : at + rows].astype(np.float32) @ delta for at in range(0, len(x), rows)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
