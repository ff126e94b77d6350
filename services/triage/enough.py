"""Whether a round is the last although there is budget left: labels are good enough, or an answer gains too little. Pure."""

import numpy as np

from concord.certificate.stopping import bound_of_error
from concord.preference.budget import human_budget, rounds
from concord.triage.posterior import Trust
from concord.triage.rounds import Round
from concord.v1.config_pb2 import RunConfig


def enough(decided: Round, config: RunConfig, pairs: int, round_: int) -> str:
    """Why this round, of a run with so many pairs, asks nobody any more; empty where it asks.

    Two settings say when: `target_error`, by a bound of the label error that holds at every planned look, and `label_worth`,
    by what the correction model expects of the next answers.
    """
    return _good_enough(decided, config, pairs, round_) or _too_little(decided, config.label_worth)


def _good_enough(decided: Round, config: RunConfig, pairs: int, round_: int) -> str:
    """The looks are the rounds that the run began with, and a last one; later ones, of a budget that grew, stop nothing."""
    looks = rounds(config, pairs, human_budget(config, pairs)) + 1
    if not config.target_error or decided.evidence is None or round_ > looks:
        return ""
    bound = bound_of_error(decided.evidence, looks)
    if bound is None or bound > config.target_error:
        return ""
    return (
        f"at most {100 * bound:.1f} % of the labels are wrong (95 %, at each of {looks} looks); "
        f"{100 * config.target_error:.1f} % were wanted"
    )


def _too_little(decided: Round, worth: float) -> str:
    """Only a model that answers have taught says what the next ones gain."""
    gain = expected_gain(decided)
    if not worth or gain is None or gain * worth >= 1:
        return ""
    return (
        f"each of the next answers puts {gain:.3f} of a label right, by what the earlier ones showed, and a label is worth "
        f"{worth:g} of them"
    )


def expected_gain(decided: Round) -> float | None:
    """Labels that one more answer puts right, in [0, 0.5]; None where nobody is asked, or by priors alone.

    Audits are asked to know, not to gain: they count only where all are drawn at random.
    """
    audit = decided.asked.audit
    targeted = decided.asked.pair if audit.all() else decided.asked.pair[~audit]
    if decided.trust < Trust.SIGNALS or not len(targeted):
        return None
    return float(np.minimum(decided.target[targeted], 1 - decided.target[targeted]).mean())
