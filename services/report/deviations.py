"""Annotators who deviate from the others, as the last round found them. PURE."""

from dataclasses import dataclass

from concord.preference.deviating import words
from concord.report.history import History


@dataclass(frozen=True)
class Deviating:
    """An annotator who deviates, beside the others, on labels that are fairly sure."""

    annotator: str
    answers: int
    against: int  # the labels
    others_answers: int
    others_against: int
    set_aside: bool  # nothing that this one says counts
    says: str


def deviations(history: History) -> tuple[Deviating, ...]:
    """In the order in which they were found."""
    found = history.rounds[-1][1].deviations if history.rounds else ()
    return tuple(
        Deviating(
            one.annotator,
            one.answers,
            one.against,
            one.others_answers,
            one.others_against,
            one.set_aside,
            words(one),
        )
        for one in found
    )
