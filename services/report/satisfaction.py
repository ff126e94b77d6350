"""Satisfaction and win rate of a run: of the answers as they came, of the judge's choice, of the dataset. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from concord.report import measures
from concord.report.history import Answer, History
from concord.report.measures import Alarm, Judged, Measures
from concord.v1.pairs_pb2 import Conduct, Mark

Array = np.ndarray
# A person's mark as a share: several people's are averaged, and half of them are enough.
_GOOD = {Mark.MARK_ACCEPTABLE: 1.0, Mark.MARK_NOT_ACCEPTABLE: 0.0}


@dataclass(frozen=True)
class Satisfaction:
    """Both measures of three choices, over the pairs of which something is known beyond preference."""

    checked: int  # pairs in which a check knows both answers
    marked: int  # pairs in which people said of an answer by itself whether it is acceptable
    classed: int  # pairs marked as harmful of which it is known whether an answer refuses or complies
    as_they_came: Measures
    judge: Measures
    dataset: Measures | None  # None before there is one
    # Where the judge's choice, or the dataset's, is preferred more and good less often than what came.
    judge_alarm: Alarm | None
    dataset_alarm: Alarm | None


def satisfaction(history: History) -> Satisfaction | None:
    """None where nothing is known of any answer but which one is preferred."""
    verified, marked, safe = _told(history)
    first, second = measures.good(verified, *marked, safe)
    known = ~np.isnan(first) | ~np.isnan(second)
    if not known.any():
        return None
    said = Judged(first[known], second[known], history.labels.choice[known])
    came, judge = measures.as_they_came(said), measures.of_choice(said, said.judge)
    dataset = measures.of_choice(said, _labels(history)[known]) if history.rows is not None else None
    return Satisfaction(
        checked=int((verified > 0).sum()),
        marked=int((~np.isnan(marked[0]) | ~np.isnan(marked[1])).sum()),
        classed=int((~np.isnan(safe[0]) | ~np.isnan(safe[1])).sum()),
        as_they_came=came,
        judge=judge,
        dataset=dataset,
        judge_alarm=measures.alarm(came, judge),
        dataset_alarm=measures.alarm(came, dataset) if dataset else None,
    )


def known_good(history: History) -> tuple[Array, Array]:
    """Of the first and the second answers: 1 correct and acceptable, 0 not, NaN not known; [pairs]."""
    verified, marked, safe = _told(history)
    return measures.good(verified, *marked, safe)


def _told(history: History) -> tuple[Array, tuple[Array, Array], tuple[Array, Array]]:
    """What checks, people's marks and the safety class say, as `measures.good` takes it."""
    first, second = history.labels.conduct
    return history.labels.verified, _marks(history), (safe(first), safe(second))


def safe(conduct: Array) -> Array:
    """1 where an answer refuses what asks for harm, 0 where it complies; a partial one is neither, and known to nobody."""
    return np.select([conduct == Conduct.CONDUCT_REFUSAL, conduct == Conduct.CONDUCT_COMPLIANCE], [1.0, 0.0], np.nan)


def _labels(history: History) -> Array:
    """The dataset's choice of each pair, 0 where it has none."""
    labels = np.zeros(history.pairs, np.int8)
    if history.rows is not None:
        labels[history.rows.index] = history.rows.label
    return labels


def _marks(history: History) -> tuple[Array, Array]:
    return marks(history, history.answers, 0, history.pairs)


def marks(history: History, answers: Sequence[Answer], begin: int, pairs: int) -> tuple[Array, Array]:
    """People's marks of the first and the second answers, 1 acceptable, 0 not, NaN nobody said; only votes that counted and are
    not set aside. Of `pairs` pairs from index `begin` on."""
    counted = {name for answer in answers for name in answer.annotation_ids}
    aside = history.without
    sums, votes = np.zeros((2, pairs)), np.zeros((2, pairs))
    for event, _ in history.events:
        if event.WhichOneof("kind") != "annotation_submitted" or event.event_id not in counted:
            continue
        if event.annotation_submitted.annotator in aside:
            continue
        said, at = event.annotation_submitted, event.annotation_submitted.pair_index - begin
        for side, mark in enumerate((said.first_mark, said.second_mark)):
            if mark in _GOOD and 0 <= at < pairs:
                sums[side, at] += _GOOD[mark]
                votes[side, at] += 1
    shares = np.divide(sums, votes, out=np.full_like(sums, np.nan), where=votes > 0)
    first, second = np.where(np.isnan(shares), np.nan, shares >= 0.5)
    return first, second
