"""RLTHF as published: a reward model's own reward distribution shows which AI labels are wrong. PURE.

Xu et al. 2025 (arXiv 2502.13417), section 3. In each round a fresh reward model scores the subset; the pairs stand in
descending order of delta = r(chosen) - r(rejected). Left of the knee labels are sound, right of the reflection point
they are wrong; from there leftward people are asked. The last model labels the whole corpus.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from concord.preference.annotations import Answers
from concord.preference.folds import drawn_subset
from concord.reward.curve import bends
from concord.triage import selection
from concord.triage.baselines import labelled_by
from concord.triage.posterior import Posterior, Trust
from concord.triage.rounds import FIRST, Round, RoundContext, round_of
from concord.triage.signals import Signals, in_order
from concord.v1 import config_pb2

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Zones:
    """The subset's pairs by what is done with them, int arrays of pair indexes; no pair stands in two."""

    kept: Array  # the label stays and teaches
    flipped: Array  # the label is turned round and teaches
    ranked: Array  # for people: from the reflection point leftward
    places: tuple[tuple[str, float], ...]  # elbow, knee and reflection as shares of the subset


def triage_rlthf(
    signals: Signals,
    answers: Answers,
    config: config_pb2.RunConfig,
    round_: int,
    places: int,
    context: RoundContext = FIRST,
) -> Round:
    """One iteration: who is asked, which labels turn round, who teaches the next reward model.

    Reads seed and rlthf of `config`. Labels that turned round stay so: they come back in context.previous.
    """
    if context.last:
        return labelled_by(expit(signals.margin), signals, answers)
    knobs, answers = config.rlthf, in_order(answers)
    label = _labels(signals, answers, context.previous)
    subset = np.flatnonzero(drawn_subset(len(label), knobs.subset_share, config.seed) & (label != 0))
    back_off, amplification = _scheduled(knobs.back_off, round_), _scheduled(knobs.amplification, round_)
    zones = _settled(zones_of(subset, signals.margin * label, answers.pair, back_off), signals)
    asked = selection.first_asks(zones.ranked, 0 if knobs.nobody or _dried_up(context, knobs.stop_below) else places)
    label[zones.flipped] *= -1
    weight = np.zeros(len(label), np.float32)
    weight[zones.kept] = weight[zones.flipped] = 1
    decided = round_of(asked, _believed(label, signals, answers, zones), signals, answers)
    return replace(decided, weight=weight, human_weight=amplification, audited=None)


def zones_of(subset: Array, delta: Array, answered: Array, back_off: float) -> Zones:
    """The subset's pairs by their place on the sorted curve; delta [pairs], high: reward model and label agree.

    Without a bend nothing turns round, everything counts as left of the knee, and people are asked from the low end.
    """
    delta = np.round(delta, selection.DIGITS)
    curve = subset[np.argsort(-delta[subset], kind="stable")]
    found = bends(delta[curve])
    knee = found.knee if found.knee is not None else len(curve)
    reflection = found.reflection if found.reflection is not None else len(curve)
    kept = curve[: round((1 - back_off) * knee)]
    places = [(name, at) for name, at in vars(found).items() if at is not None]
    return Zones(
        kept=np.setdiff1d(kept, answered),
        flipped=np.setdiff1d(curve[reflection:], answered),
        ranked=(left := curve[:reflection][::-1])[~np.isin(left, answered)],
        places=tuple((name, at / max(1, len(curve))) for name, at in places),
    )


def _settled(zones: Zones, signals: Signals) -> Zones:
    """The zones, labels that checks gave neither turned round nor shown to people: they teach."""
    if signals.checked is None:
        return zones
    turned = signals.checked[zones.flipped]
    return replace(
        zones,
        kept=np.union1d(zones.kept, zones.flipped[turned]),
        flipped=zones.flipped[~turned],
        ranked=zones.ranked[~signals.checked[zones.ranked]],
    )


def _labels(signals: Signals, answers: Answers, previous: Array | None) -> Array:
    """1 the first, -1 the second is better, 0 unknown: people's, else what the round before left, else the judge's."""
    label = signals.label.astype(float)
    if previous is not None:
        label = np.sign(previous.astype(float) - 0.5) * (label != 0)
    said = ~np.isnan(answers.p_first)
    label[answers.pair[said]] = np.sign(answers.p_first[said] - 0.5)
    return label


def _scheduled(values, round_: int) -> float:
    """The round's value; the last one stays."""
    return float(values[min(round_, len(values)) - 1])


def _dried_up(context: RoundContext, stop_below: float) -> bool:
    """Whether people corrected so little of the last batch that more of it is not worth their time."""
    if not stop_below or context.previous is None or context.latest is None:
        return False
    decided = (context.latest.p_first == 0) | (context.latest.p_first == 1)
    if not decided.any():
        return True
    before = context.previous[context.latest.pair[decided]] > 0.5
    return bool(((context.latest.p_first[decided] == 1) != before).mean() < stop_below)


def _believed(label: Array, signals: Signals, answers: Answers, zones: Zones) -> Posterior:
    """Labels as they stand now; the reward model's own probability that the judge's is wrong."""
    target = (1 + label) / 2
    turned = label * signals.label < 0
    turned[answers.pair] = False
    p_wrong = np.where(signals.label == 0, 0.5, expit(-signals.margin * signals.label))
    said = ~np.isnan(answers.p_first)
    target[answers.pair[said]] = answers.p_first[said]
    p_held_out = np.full(len(answers.pair), np.nan)
    return Posterior(
        p_wrong, target, Trust.PRIORS, int(turned.sum()), zones.places, p_held_out, np.full(len(p_wrong), np.nan)
    )
