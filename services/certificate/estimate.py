"""The share of labels that differ from one person's answer, estimated from audit answers. Pure.

An audit answer of round r stands for all rows that were unasked then. Of those, rows that people answered since are no open
labels any more: their errors are known and are taken off, so that early audits do not count doubtful rows that people have
corrected. With a model's predictions (each by a fit without the row's own answer) as a control variate, as in
prediction-powered inference (Angelopoulos et al. 2023, arXiv 2301.09633; cross-fitted: Zrnic and Candès 2024): what the model
explains of the errors need not be learned from the audits. The interval is Wilson's on the effective number of answers.
"""

from dataclasses import dataclass

import numpy as np

from concord.certificate.evidence import Evidence
from concord.preference.wilson import wilson

Array = np.ndarray

# Fewer audit answers say too little.
LEAST_AUDITS = 8
# With fewer wrong or right ones among them, a slope or a variance would be mostly chance: each counts as one answer then.
LEAST_OF_EACH = 10


@dataclass(frozen=True)
class Estimate:
    """A share in [0, 1], low is good, over the labels that people's answers did not replace ("open")."""

    error: float
    effective: float  # so many independent answers it is worth; infinite where every label was looked at
    audits: int
    predicted: bool  # whether a model's predictions took part
    open: int  # labels that it is about
    rows: int  # all labels

    def ends(self, coverage: float = 0.95) -> tuple[float, float]:
        """Wilson's interval of the share."""
        if not np.isfinite(self.effective):
            return self.error, self.error
        return wilson(self.error * self.effective, self.effective, coverage)

    def over_all(self, error: float) -> float:
        """A share of open labels as one of all labels, people's own taken as right."""
        return error * self.open / max(1, self.rows)


def estimate(evidence: Evidence, with_model: bool = True) -> Estimate | None:
    """The share of wrong ones among open labels; None under LEAST_AUDITS audit answers. `with_model=False`: audits alone."""
    audit, rows = evidence.audit, evidence.rows
    n, open_rows = int(audit.sum()), _open(evidence)
    if n < LEAST_AUDITS:
        return None
    labels = rows - int((evidence.replaced & evidence.left_out).sum())
    if not len(open_rows):
        return Estimate(0.0, float("inf"), n, False, 0, labels)
    p_error = evidence.p_error if with_model else np.full(rows, np.nan)
    slope = _slope(evidence.error[audit], p_error[evidence.pair[audit]])
    predicted = slope * np.nan_to_num(p_error)
    left = evidence.error - predicted[evidence.pair]
    weight, while_open = _weights(evidence.round, audit, rows)
    known = np.where(evidence.replaced, -while_open, 1 - while_open)
    total = predicted[open_rows].sum() + ((weight + known) * left).sum()
    share = float(np.clip(total / len(open_rows), 0, 1))
    spread = _spread(evidence.error[audit], left[audit])
    inflation = float(np.mean((weight[audit] * n / len(open_rows)) ** 2))
    unseen = 1 - n / rows
    effective = n / (spread * inflation * unseen) if unseen > 0 else float("inf")
    return Estimate(share, effective, n, slope > 0, len(open_rows), labels)


def _open(evidence: Evidence) -> Array:
    """The rows whose labels are not people's answers."""
    is_open = np.ones(evidence.rows, dtype=bool)
    is_open[evidence.pair[evidence.replaced]] = False
    return np.flatnonzero(is_open)


def _weights(round_: Array, audit: Array, rows: int) -> tuple[Array, Array]:
    """For each answer: how many rows it stands for (0: no audit), and the share of audits that were drawn while it was open.

    Rounds count by their audits; an audit of a round stands for the rows that were open when the round began.
    """
    numbers = np.unique(round_[audit])
    open_then = rows - np.searchsorted(np.sort(round_), numbers)
    at = np.searchsorted(numbers, round_)
    stands_for = np.where(audit, open_then[np.minimum(at, len(numbers) - 1)] / audit.sum(), 0.0)
    later = np.searchsorted(np.sort(round_[audit]), round_, side="right") / audit.sum()
    return stands_for, later


def _slope(error: Array, p_error: Array) -> float:
    """How much of a prediction to believe, in [0, 1]: the least squares of errors on predictions; 0 without a model."""
    if not _enough(error) or np.isnan(p_error).any() or p_error.std() < 1e-9:
        return 0.0
    return float(np.clip(np.cov(error, p_error)[0, 1] / p_error.var(ddof=1), 0, 1))


def _spread(error: Array, left: Array) -> float:
    """The variance of what is left to learn, as a share of that of plain wrong and right ones; never above 1."""
    share = error.mean()
    if not _enough(error):
        return 1.0
    # One more degree of freedom is gone where a slope was fitted.
    variance = left.var(ddof=1) * (len(left) - 1) / (len(left) - 2)
    return float(min(1.0, variance / (share * (1 - share))))


def _enough(error: Array) -> bool:
    return min(error.sum(), len(error) - error.sum()) >= LEAST_OF_EACH
