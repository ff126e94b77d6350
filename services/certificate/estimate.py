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
# Student's quantile is the normal one times about 1 + (z² + 1) / (4 x degrees of freedom); this is at 95 %.
_STUDENT = 1.21
# Answers of one fold decide labels that those of another test, and the other way round; where a label hangs in the balance, both
# err to the same side. By so much is the interval wider for it: found in simulation, on seeds of which nothing is reported.
_CARE = 1.05


@dataclass(frozen=True)
class Estimate:
    """A share in [0, 1], low is good, over the labels that people's answers did not replace ("open")."""

    error: float
    seen: float  # the share of wrong ones among audit answers: early ones saw doubtful labels that people have replaced since
    scale: float  # labels that an audit answer stands for, as a multiple of the open ones: what an error of `seen` comes to
    effective: float  # so many independent answers `seen` is worth; infinite where every label was looked at
    audits: int
    predicted: bool  # whether a model's predictions took part
    open: int  # labels that it is about
    rows: int  # all labels

    def ends(self, coverage: float = 0.95) -> tuple[float, float]:
        """The interval of the share: Wilson's of what audit answers saw, carried over to the open labels."""
        if not np.isfinite(self.effective):
            return self.error, self.error
        low, high = wilson(self.seen * self.effective, self.effective, coverage)
        below, above = (self.error + self.scale * (end - self.seen) for end in (low, high))
        return max(0.0, below), min(1.0, above)

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
        return Estimate(0.0, 0.0, 0.0, float("inf"), n, False, 0, labels)
    p_error = evidence.p_error if with_model else np.full(rows, np.nan)
    slope = _slope(evidence.error[audit], p_error[evidence.pair[audit]])
    predicted = slope * np.nan_to_num(p_error)
    left = evidence.error - predicted[evidence.pair]
    weight, while_open = _weights(evidence.round, audit, rows)
    known = np.where(evidence.replaced, -while_open, 1 - while_open)
    total = predicted[open_rows].sum() + ((weight + known) * left).sum()
    share = float(np.clip(total / len(open_rows), 0, 1))
    spread = _spread(evidence.error[audit], left[audit])
    if slope > 0 and spread > _spread(evidence.error[audit], evidence.error[audit]):
        # What the model predicts is worth less than what learning its slope costs.
        return estimate(evidence, with_model=False)
    unseen = 1 - n / rows
    effective = n / (spread * unseen) if unseen > 0 else float("inf")
    seen, scale = float(evidence.error[audit].mean()), float(weight[audit].sum() / len(open_rows))
    return Estimate(share, seen, scale, effective, n, slope > 0, len(open_rows), labels)


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
    """The variance of what is left to learn, as a share of that of plain wrong and right ones.

    It is estimated, from the few of the rarer kind above all, so it counts for as much more as Student's interval is wider than
    the normal one; and a little more, see `_CARE`.
    """
    share = error.mean()
    if not _enough(error):
        return 1.0
    # One more degree of freedom is gone where a slope was fitted.
    variance = left.var(ddof=1) * (len(left) - 1) / (len(left) - 2)
    rarer = min(error.sum(), len(error) - error.sum())
    return float(min(1.0, variance / (share * (1 - share))) * (_CARE * (1 + _STUDENT / (rarer - 1))) ** 2)


def _enough(error: Array) -> bool:
    """Whether answers differ often enough; where nearly all are ties, each half an error, they do not, whatever their sum."""
    commonest = np.unique(error, return_counts=True)[1].max(initial=0)
    return bool(min(error.sum(), len(error) - error.sum(), len(error) - commonest) >= LEAST_OF_EACH)
