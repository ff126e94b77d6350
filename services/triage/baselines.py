"""What a careful user would try first, as rounds of triage: each a ranking, or a labeller of its own. PURE."""

import numpy as np
from scipy.special import expit

from concord.preference.annotations import Answers
from concord.triage import selection
from concord.triage.posterior import Posterior, Trust
from concord.triage.rounds import FIRST, Round, RoundContext, judge_believed, round_of, triage_random, unasked
from concord.triage.signals import Signals, in_order, p_check_wrong
from concord.v1 import config_pb2

Array = np.ndarray


def triage_margin(
    signals: Signals,
    answers: Answers,
    config: config_pb2.RunConfig,
    round_: int,
    places: int,
    context: RoundContext = FIRST,
) -> Round:
    """Uncertainty sampling: people see the pairs whose rewards differ least, |margin| ascending."""
    return _ranked(np.abs(signals.margin), signals, answers, places)


def triage_cleanlab(
    signals: Signals,
    answers: Answers,
    config: config_pb2.RunConfig,
    round_: int,
    places: int,
    context: RoundContext = FIRST,
) -> Round:
    """Confident learning's ranking: people see the labels that the out-of-fold reward model contradicts most.

    P(label) ascending, "self confidence" of Northcutt et al. 2021 (arXiv 1911.00068), is the signed margin ascending.
    """
    return _ranked(signals.margin * signals.label, signals, answers, places)


def _ranked(low_first: Array, signals: Signals, answers: Answers, places: int) -> Round:
    """Asks in this order; believes people where they spoke and the judge elsewhere."""
    answers = in_order(answers)
    open_ = unasked(signals, answers)
    # What checks decided comes last.
    low_first = np.where(signals.is_checked(np.arange(len(low_first))), np.inf, low_first)
    ranked = open_[np.argsort(np.round(low_first[open_], selection.DIGITS), kind="stable")]
    return round_of(selection.first_asks(ranked, places), judge_believed(signals, answers), signals, answers)


def triage_human_only(
    signals: Signals,
    answers: Answers,
    config: config_pb2.RunConfig,
    round_: int,
    places: int,
    context: RoundContext = FIRST,
) -> Round:
    """People see pairs drawn at random; in the last round a reward model that they alone taught labels the rest."""
    if not context.last:
        return triage_random(signals, answers, config, round_, places)
    return labelled_by(expit(signals.margin), signals, answers)


def triage_longest(
    signals: Signals,
    answers: Answers,
    config: config_pb2.RunConfig,
    round_: int,
    places: int,
    context: RoundContext = FIRST,
) -> Round:
    """The longer response wins, whatever the judge says; of equal length: a tie."""
    return labelled_by((1 + np.sign(signals.length_difference)) / 2, signals, answers)


def triage_better_judge(
    signals: Signals,
    answers: Answers,
    config: config_pb2.RunConfig,
    round_: int,
    places: int,
    context: RoundContext = FIRST,
) -> Round:
    """The best of the helpers labels, the judge where that one has no verdict or is of two minds; nobody is asked."""
    best = best_helper(signals)
    against = signals.helper_disagree[best] > 0.5 if best is not None else np.zeros(len(signals.label), bool)
    label = np.where(against, -signals.label, signals.label)
    return labelled_by((1 + label) / 2, signals, answers)


def best_helper(signals: Signals) -> int | None:
    """The helper that agrees most with the judge and the others, which is all that can be known without people.

    The first of equals; None where there is none.
    """
    # The judge disagrees with its own label nowhere.
    said = np.vstack([np.zeros(len(signals.label)), signals.helper_disagree])
    agreement = [_agreement(said[at], np.delete(said, at, 0)) for at in range(1, len(said))]
    return int(np.argmax(np.round(agreement, selection.DIGITS))) if agreement else None


def _agreement(one: Array, others: Array) -> float:
    """How often one says what others say, in [0, 1], where both said something; one [pairs], others [others, pairs]."""
    both = (one >= 0) & (others >= 0)
    return float(1 - (np.abs(others - one) * both).sum() / both.sum()) if both.any() else 0.0


def labelled_by(p_first: Array, signals: Signals, answers: Answers) -> Round:
    """Asks nobody and believes this P(first is better), [pairs] in [0, 1], where people did not speak."""
    answers = in_order(answers)
    if signals.checked is not None:
        p_checked = p_check_wrong(signals, answers)
        kept = np.where(signals.label > 0, 1 - p_checked, p_checked)
        p_first = np.where(signals.checked, kept, p_first)
    flipped = ((p_first > 0.5) != (signals.label > 0)) & (signals.label != 0) & (p_first != 0.5)
    p_wrong = np.where(signals.label > 0, 1 - p_first, p_first)
    target = p_first.copy()
    said = ~np.isnan(answers.p_first)
    target[answers.pair[said]] = answers.p_first[said]
    flipped[answers.pair] = False
    p_held_out = np.full(len(answers.pair), np.nan)
    believed = Posterior(
        p_wrong, target, Trust.FEATURES, int(flipped.sum()), (), p_held_out, np.full(len(p_wrong), np.nan)
    )
    asked = selection.first_asks(np.zeros(0, np.int64), 0)
    # Its audited pairs are those that taught it, so they say nothing about its error.
    return round_of(asked, believed, signals, answers.at(np.zeros(0, np.int64)))
