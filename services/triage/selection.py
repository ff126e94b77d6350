"""Who is asked, and with which probability. PURE; each draw's generator is made from (seed, round).

Every place of a batch is an audit place with probability `audit_share`: it goes to a pair drawn uniformly from all that
nobody was asked about. The other places are drawn uniformly from the most useful pairs, twice as many as the batch has
places. Both draws are uniform, so the probability that a pair is asked is known, and unbiased estimates divide by it.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

# So many times the batch are candidates for it.
SPREAD = 2
AUDITED_FOR_DOUBT = 8
_DOUBTFUL_JUDGE = 0.6
DIGITS = 6


@dataclass(frozen=True, eq=False)
class Asks:
    """One batch, most useful pair first; all shapes [asked]."""

    pair: Array  # int64, pair index
    p_ask: Array  # probability of being asked in this batch, in (0, 1]
    audit: Array  # bool: the place was drawn uniformly


NOBODY = Asks(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))


def usefulness(p_wrong: Array) -> Array:
    """min(p, 1 - p), to 1e-6: the label error that is left after the flip; in [0, 0.5], high is worth an answer.

    Never the largest p itself: those are mostly wrong labels, but exactly the ones that flip without an answer.
    """
    return np.round(np.minimum(p_wrong, 1 - p_wrong), DIGITS)


def targeted_asks(score: Array, unasked: Array, places: int, audit_share: float, seed: int, round_: int) -> Asks:
    """A batch of `places` pairs, or all unasked ones if they are fewer.

    score [pairs], high is worth an answer; unasked [open] int, the pairs that may be asked, each once.
    """
    ranked = _ranked(score, unasked)
    open_, places = len(ranked), min(places, len(ranked))
    generator = np.random.default_rng((seed, round_))
    audits = generator.binomial(places, audit_share)
    audited = generator.choice(open_, audits, replace=False)
    top = min(SPREAD * places, open_)
    left = np.setdiff1d(np.arange(top), audited)
    asked = np.sort(np.concatenate([audited, generator.choice(left, places - audits, replace=False)]).astype(np.int64))
    # Both draws treat the top alike, whatever the number of audit places: shares add up without a correction.
    p_uniform = audit_share * places / max(open_, 1)
    p_top = p_uniform + (1 - audit_share) * places / max(top, 1)
    p_ask = np.where(asked < top, p_top, p_uniform)
    return Asks(ranked[asked], np.minimum(p_ask, 1.0), np.isin(asked, audited))


def random_asks(score: Array, unasked: Array, places: int, seed: int, round_: int) -> Asks:
    """A batch drawn uniformly: every place is an audit place. Arguments as in `targeted_asks`; score only orders it."""
    return targeted_asks(score, unasked, places, 1.0, seed, round_)


def first_asks(ranked: Array, places: int) -> Asks:
    """The first `places` of the pairs, which stand in the order in which they are worth an answer; no audit places."""
    asked = ranked[:places].astype(np.int64)
    return Asks(asked, np.ones(len(asked)), np.zeros(len(asked), dtype=bool))


def random_only(judge_wrong: Array, audit: Array, p_held_out: Array | None) -> bool:
    """Whether the judge is too weak for its signals to choose who is asked.

    All shapes [answers that judge a label]: whether the label was wrong (0 or 1), whether the place was an audit place,
    and the model's held-out P(wrong), None while labels do not flip. True while the judge is under 60 % right on at
    least 8 audited answers, until the model's labels are right more often than the judge's on all answers.
    """
    audited = judge_wrong[audit]
    if len(audited) < AUDITED_FOR_DOUBT or 1 - audited.mean() >= _DOUBTFUL_JUDGE:
        return False
    if p_held_out is None:
        return True
    model_wrong = (p_held_out > 0.5) != (judge_wrong == 1)
    return not model_wrong.sum() < judge_wrong.sum()


def _ranked(score: Array, unasked: Array) -> Array:
    """Highest score first, ties by pair index."""
    unasked = np.sort(unasked).astype(np.int64)
    return unasked[np.argsort(-np.round(score[unasked], DIGITS), kind="stable")]
