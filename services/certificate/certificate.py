"""A set of labels' certificate: how many are wrong, what that stands on, and which rows it is about. Pure."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from concord.certificate import people
from concord.certificate.estimate import Estimate, estimate
from concord.certificate.evidence import Evidence, within

Array = np.ndarray

# A source or kind with fewer audit answers of its own gets no figure.
LEAST_FOR_PART = 20
# A certificate with more kinds is a list that nobody reads.
MOST_KINDS = 20
# What an error stands on.
AUDIT, AUDIT_AND_MODEL, MODEL = "audit", "audit and model", "model"


@dataclass(frozen=True)
class Part:
    """One source or kind of labels; shares in [0, 1], low is good."""

    name: str
    rows: int
    answers: int  # audit answers on such labels
    error: float | None  # differs from one person's answer; None where too few say so
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Certificate:
    """How wrong these labels are. Shares in [0, 1], low is good, intervals of 95 %; what is not known is None.

    `error`: the share that differs from one person's answer, people's own labels taken as right. `corrected`: without
    people's own error, if persons err independently and as often in one direction as in the other.
    """

    rows: int
    rows_sha256: str  # of the rows that it is about
    by_people: int  # labels that are people's own answers
    error: float
    low: float | None = None
    high: float | None = None
    method: str = AUDIT  # or "audit and model": with predictions as control variate; "model": its own word, no audit
    answers: int = 0  # of people on uniformly drawn rows
    effective_answers: float | None = None  # so many independent ones they are worth, where that is finite
    re_asks: int = 0  # of them asked of a second person
    people_error: float | None = None
    people_low: float | None = None
    people_high: float | None = None
    corrected: float | None = None
    corrected_low: float | None = None
    corrected_high: float | None = None
    sources: tuple[Part, ...] = ()
    kinds: tuple[Part, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of right labels, people's own taken as right."""
        return 1 - self.error


def certified(
    evidence: Evidence, rows_sha256: str, source: Array | None = None, kind: Array | None = None
) -> Certificate | None:
    """The certificate of these labels; None under LEAST_AUDITS audit answers.

    `source` and `kind`, str [rows]: what each label comes from (of an answered row: without its answer) and is about; "" none.
    """
    found = estimate(evidence)
    if found is None:
        return None
    low, high = (found.over_all(end) for end in found.ends())
    second = people.people_error(evidence)
    sure = people.corrected(evidence, found, second) if second else None
    return Certificate(
        rows=found.rows,
        rows_sha256=rows_sha256,
        by_people=found.rows - found.open,
        error=found.over_all(found.error),
        low=low,
        high=high,
        method=AUDIT_AND_MODEL if found.predicted else AUDIT,
        answers=found.audits,
        effective_answers=found.effective if np.isfinite(found.effective) else None,
        re_asks=int((evidence.audit & ~np.isnan(evidence.split)).sum()),
        people_error=second.error if second else None,
        people_low=second.low if second else None,
        people_high=second.high if second else None,
        corrected=sure.error if sure else None,
        corrected_low=sure.low if sure else None,
        corrected_high=sure.high if sure else None,
        sources=() if source is None else parts(evidence, source),
        kinds=() if kind is None else parts(evidence, kind)[:MOST_KINDS],
    )


def assumed(error: float, rows: int, by_people: int, rows_sha256: str, answers: int = 0) -> Certificate:
    """What a model says of itself; no audit has checked it, and it has no interval."""
    return Certificate(rows, rows_sha256, by_people, error, method=MODEL, answers=answers)


def parts(evidence: Evidence, name: Array) -> tuple[Part, ...]:
    """Each name's open labels, the most frequent first; name str [rows], "" for none."""
    is_open = np.ones(evidence.rows, dtype=bool)
    is_open[evidence.pair[evidence.replaced]] = False
    sizes = {str(one): int((is_open & (name == one)).sum()) for one in np.unique(name) if one}
    found = sorted(sizes, key=lambda one: (-sizes[one], one))
    return tuple(_part(one, sizes[one], within(evidence, name == one)) for one in found)


def _part(name: str, rows: int, evidence: Evidence) -> Part:
    answers = int(evidence.audit.sum())
    found: Estimate | None = estimate(evidence) if answers >= LEAST_FOR_PART else None
    low, high = found.ends() if found else (None, None)
    return Part(name, rows, answers, found.error if found else None, low, high)


class RowsHash:
    """A hash of labelled rows, in their order, taken while they go by: which pair each is, its label, where it comes from."""

    def __init__(self) -> None:
        self._digest = sha256()

    def take(self, pair_sha256: object, label: object, source: object) -> None:
        """One more row."""
        self._digest.update(f"{pair_sha256}|{label}|{source}\n".encode())

    def hexdigest(self) -> str:
        """The hash of the rows so far."""
        return self._digest.hexdigest()
