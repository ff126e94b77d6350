"""Which of two checked answers is better: correctness before style. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from concord.checks.finding import Finding, Kind, Outcome


class Preferred(StrEnum):
    """What two findings come to."""

    FIRST = "first"
    SECOND = "second"
    NEITHER = "neither"  # both wrong: no preference; a person or nothing
    OPEN = "open"  # no rule decides: the judge


@dataclass(frozen=True)
class Decision:
    """The better answer, as far as rules can say, and why in one short sentence."""

    preferred: Preferred
    why: str


# How much more of the reference a short answer says where it is clearly more. Tuned on half of the EVOUNA questions.
CLEARLY = 0.3
# Answers to these are reached in steps, which can be compared where both are right.
REASONED = {Kind.NUMBER, Kind.SYMBOLIC, Kind.CHOICE}
# A response → its wrong steps in words, the few characters of each.
WrongSteps = Callable[[str], tuple[str, ...]]


def compare(
    first: Finding,
    second: Finding,
    first_response: str = "",
    second_response: str = "",
    wrong_steps: WrongSteps = tuple,
) -> Decision:
    """The better of two answers to one prompt.

    Right beats wrong whatever the style. Both right: where `wrong_steps` finds a wrong step in one response alone, the
    other is better; else open. Both wrong: neither. A finding that can't tell leaves it open, but for short answers of
    which one says clearly more of the reference than the other.
    """
    found = (first.outcome, second.outcome)
    if Outcome.UNKNOWN in found:
        return _by_likeness(first, second)
    if found == (Outcome.WRONG, Outcome.WRONG):
        return Decision(Preferred.NEITHER, "both are wrong")
    if first.outcome is not second.outcome:
        better = Preferred.FIRST if first.outcome is Outcome.RIGHT else Preferred.SECOND
        return Decision(better, f"right beats wrong: {(first if better is Preferred.FIRST else second).why}")
    if first.kind not in REASONED:
        return Decision(Preferred.OPEN, "both are right")
    return _by_steps(wrong_steps(first_response), wrong_steps(second_response))


def _by_likeness(first: Finding, second: Finding) -> Decision:
    if first.likeness is None or second.likeness is None or abs(first.likeness - second.likeness) < CLEARLY:
        return Decision(Preferred.OPEN, "a check can't tell")
    better = Preferred.FIRST if first.likeness > second.likeness else Preferred.SECOND
    return Decision(better, "it says clearly more of the reference's answer")


def _by_steps(first: tuple[str, ...], second: tuple[str, ...]) -> Decision:
    if bool(first) == bool(second):
        return Decision(Preferred.OPEN, "both are right" + (", each with a wrong step" if first else ""))
    better = Preferred.SECOND if first else Preferred.FIRST
    return Decision(better, f"both are right, the other has a wrong step: {(first or second)[0]}")
