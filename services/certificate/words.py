"""A certificate in sentences: what the report, the card, the terminal and `concord certify` say of it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from concord.certificate.certificate import AUDIT_AND_MODEL, MODEL, Certificate, Part
from concord.certificate.people import MOST_SPLIT
from concord.kit.plural import many

ASSUMPTION = "if persons err independently of each other, and as often in one direction as in the other"


def read(plain: Mapping[str, Any] | None) -> Certificate | None:
    """The certificate that report.json holds; None where it holds none."""
    if plain is None:
        return None
    told = {name: tuple(Part(**part) for part in plain[name]) for name in ("sources", "kinds")}
    return Certificate(**{**plain, **told})


def percent(share: float) -> str:
    """`8.2 %`."""
    return f"{100 * share:.1f} %"


def interval(low: float | None, high: float | None) -> str:
    """`95 % interval 5.9 to 11.4 %`."""
    return "no interval" if low is None or high is None else f"95 % interval {100 * low:.1f} to {percent(high)}"


def headline(made: Certificate) -> str:
    """The figure, its interval, and what it stands on, in one sentence."""
    if made.method == MODEL:
        return (
            f"{percent(made.error)} of the labels are wrong by the model's own expectation, which no audit has checked."
        )
    said = f"{percent(made.error)} of the labels differ from one person's answer ({interval(made.low, made.high)})"
    return f"{said}, by {many(made.answers, 'answer')} to pairs drawn at random{_worth(made)}."


def short(made: Certificate) -> str:
    """The same for a line in a terminal."""
    if made.method == MODEL:
        return f"estimated label error {percent(made.error)}, by the model's own word: too few random answers for more"
    known = f"label error {percent(made.error)} against one person's answer ({interval(made.low, made.high)})"
    if made.corrected is None:
        return f"{known}; people's own error is not known"
    return (
        f"{known}; {percent(made.corrected)} without people's own ({interval(made.corrected_low, made.corrected_high)})"
    )


def of_people(made: Certificate) -> str:
    """What people's own error does to it."""
    if made.corrected is None or made.people_error is None:
        if not made.re_asks:
            return "People's own error is not known, for no question was asked of a second person (--re-ask)."
        return (
            f"People's own error is not known: on {many(made.re_asks, 'question')} asked of a second person, two persons "
            f"may contradict each other in {percent(MOST_SPLIT)} of the cases or more, as coins do."
        )
    return (
        f"{many(made.re_asks, 'of these questions was', 'of these questions were')} asked of a second person, and by them "
        "one person's answer is wrong in "
        f"{percent(made.people_error)} of the cases ({interval(made.people_low, made.people_high)}). Without people's own errors "
        f"{percent(made.corrected)} of the labels are wrong ({interval(made.corrected_low, made.corrected_high)}), {ASSUMPTION}."
    )


def covers(made: Certificate) -> str:
    """Which rows it is about."""
    own = f", {made.by_people:,} of them people's own, taken as right in the first figure" if made.by_people else ""
    named = f"; sha256 {made.rows_sha256}" if made.rows_sha256 else ""
    return f"It covers {many(made.rows, 'label')}{own}{named}."


def sentences(made: Certificate) -> Sequence[str]:
    """All of it but the parts."""
    return headline(made), of_people(made), covers(made)


def part_row(part: Part) -> Sequence[str]:
    """A part in cells: name, labels, random answers, error, interval."""
    if part.error is None or part.low is None or part.high is None:
        return part.name, f"{part.rows:,}", f"{part.answers:,}", "–", "too few"
    ends = f"{100 * part.low:.0f} to {100 * part.high:.0f} %"
    return part.name, f"{part.rows:,}", f"{part.answers:,}", percent(part.error), ends


PART_HEAD = ("", "labels", "random answers", "error", "95 % interval")


def _worth(made: Certificate) -> str:
    worth = made.effective_answers
    if worth is None or made.method != AUDIT_AND_MODEL or round(worth) <= made.answers:
        return ""
    return f"; with what a model predicts they are worth {worth:,.0f}"
