"""The kinds of checks, one value for each, and `check`, which looks there. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from concord.checks import choice, number
from concord.checks.finding import Asked, Equal, Finding, Kind, Outcome, Reference, untold

Checker = Callable[[Asked], Finding]


@dataclass(frozen=True)
class Check:
    """One kind of check."""

    words: str  # what it looks at, for a reader
    needs: tuple[
        str, ...
    ]  # fields of `Reference`, one of which it must have to tell anything; none: it needs no reference
    checker: Checker


def cannot_tell(asked: Asked) -> Finding:
    """Nothing is checked."""
    return Finding(Outcome.UNKNOWN, "no rule checks this")


CHECKS: dict[Kind, Check] = {
    Kind.UNKNOWN: Check("nothing", (), cannot_tell),
    Kind.NUMBER: Check("the final number, with its unit", ("answers", "samples"), number.check),
    Kind.CHOICE: Check("the chosen option", ("answers", "samples"), choice.check),
    Kind.SHORT_ANSWER: Check("a name, a date, a few words", ("answers", "samples"), cannot_tell),
    Kind.LIST: Check("the items of a list", ("answers",), cannot_tell),
    Kind.JSON: Check("that it is JSON, and fits the schema", (), cannot_tell),
    Kind.CONSTRAINTS: Check("demands on the form", ("constraints",), cannot_tell),
    Kind.SYMBOLIC: Check("a formula, equal by computation", ("answers", "samples"), cannot_tell),
}


def check(kind: Kind, prompt: str, response: str, reference: Reference, equal: Equal = untold) -> Finding:
    """Whether `response` answers `prompt` rightly, as far as a rule of this kind can say. Never raises.

    `equal` computes with formulas; without it the symbolic kind tells only what needs no computing.
    """
    return CHECKS[kind].checker(Asked(prompt, response, reference, equal))
