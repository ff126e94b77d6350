"""People's own error, from questions that two persons answered, and what it does to the error of labels. Pure.

The assumption, and all that is said here stands on it: persons err independently of each other and of the label, and each as
often in one direction as in the other. Then two persons contradict each other in 2 ε (1 - ε) of the cases, and a label that
is wrong with probability e differs from one person's answer with probability e (1 - 2 ε) + ε.
"""

from dataclasses import dataclass
from functools import partial
from math import comb, sqrt

import numpy as np

from concord.certificate.estimate import Estimate
from concord.certificate.evidence import Evidence
from concord.preference.wilson import wilson

Array = np.ndarray

# Two persons who contradict each other in nearly half of the cases say nothing: no correction leads back from there.
MOST_SPLIT = 0.48


@dataclass(frozen=True)
class PeopleError:
    """How often one person's answer is wrong, in [0, 0.5], with its interval; never shrunk towards a prior guess."""

    error: float
    low: float
    high: float
    split: float  # share of the re-asked questions on which two persons contradict each other
    questions: int  # how many those are


@dataclass(frozen=True)
class Corrected:
    """The share of wrong labels, people's errors taken off; in [0, 1], over all rows."""

    error: float
    low: float
    high: float


def one_persons_error(split: float) -> float:
    """ε where two persons contradict each other with this probability, below 0.5."""
    return (1 - sqrt(max(0.0, 1 - 2 * split))) / 2


def people_error(evidence: Evidence, coverage: float = 0.95) -> PeopleError | None:
    """ε from the audit questions that were asked again; None without one, or where people contradict each other like coins."""
    split = _splits(evidence)
    if not len(split):
        return None
    share = float(split.mean())
    low, high = wilson(share * len(split), len(split), coverage)
    if share > MOST_SPLIT:
        return None
    high = min(high, MOST_SPLIT)
    return PeopleError(one_persons_error(share), one_persons_error(low), one_persons_error(high), share, len(split))


def corrected(evidence: Evidence, found: Estimate, people: PeopleError, coverage: float = 0.95) -> Corrected:
    """The error over all rows without people's own.

    Both uncertainties are carried through: MOVER (Zou and Donner 2008) with the covariance of the two estimates, as an
    answer that was asked again takes part in both. `people` is to be of the same coverage.
    """
    over = partial(_over_all_rows, evidence, found)
    low, high = found.ends(coverage)
    middle = over(found.error, people.error)
    together = _correlation(evidence, found)
    return Corrected(
        middle,
        max(0.0, middle - _joined(middle - over(low, people.error), middle - over(found.error, people.high), together)),
        min(1.0, middle + _joined(over(high, people.error) - middle, over(found.error, people.low) - middle, together)),
    )


def majority_error(error: float, votes: int) -> float:
    """How often the majority of so many persons is wrong, each being so with probability `error`; half of the draws."""
    wrong = [comb(votes, k) * error**k * (1 - error) ** (votes - k) for k in range(votes + 1)]
    return sum(p for k, p in enumerate(wrong) if 2 * k > votes) + (wrong[votes // 2] / 2 if votes % 2 == 0 else 0)


def without(error: float, people: float) -> float:
    """(e - ε) / (1 - 2 ε), which may lie below 0 by chance."""
    return (error - people) / (1 - 2 * people)


def _over_all_rows(evidence: Evidence, found: Estimate, error: float, people: float) -> float:
    """The share of wrong labels among all rows: open ones by the estimate, people's own by their error."""
    given = evidence.votes[evidence.replaced & ~evidence.left_out]
    own = sum(
        int(count) * majority_error(people, int(votes))
        for votes, count in zip(*np.unique(given, return_counts=True), strict=True)
    )
    return float(np.clip(found.open * without(error, people) + own, 0, None)) / max(1, found.rows)


def _joined(one: float, other: float, correlation: float) -> float:
    return sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))


def _splits(evidence: Evidence) -> Array:
    """How far two persons are apart on audit questions; targeted ones are harder than most and say too much."""
    return evidence.split[evidence.audit & ~np.isnan(evidence.split)]


def _correlation(evidence: Evidence, found: Estimate) -> float:
    """Of the two estimates: re-asked questions on which people contradict each other raise both."""
    again = evidence.audit & ~np.isnan(evidence.split)
    error, split = evidence.error[again], evidence.split[again]
    m = len(split)
    if m < 2 or split.std() < 1e-9 or not np.isfinite(found.effective):
        return 0.0
    shared = float(np.cov(error, split)[0, 1]) / found.audits
    spread = found.seen * (1 - found.seen) / found.effective * split.var(ddof=1) / m
    return float(np.clip(shared / sqrt(spread), 0, 1)) if spread > 0 else 0.0
