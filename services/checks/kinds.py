"""The kinds of checks, one value for each, and `check`, which looks there. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from concord.checks import agreement, choice, constraints, json_answer, listing, number, short_answer, symbolic
from concord.checks.final import MAX_CHARACTERS
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
    Kind.SHORT_ANSWER: Check("a name, a date, a few words", ("answers",), short_answer.check),
    Kind.LIST: Check("the items of a list", ("answers",), listing.check),
    Kind.JSON: Check("that it is JSON, and fits the schema", (), json_answer.check),
    Kind.CONSTRAINTS: Check("demands on the form", ("constraints",), constraints.check),
    Kind.SYMBOLIC: Check("a formula, equal by computation", ("answers", "samples"), symbolic.check),
}


def check(kind: Kind, prompt: str, response: str, reference: Reference, equal: Equal = untold) -> Finding:
    """Whether `response` answers `prompt` rightly, as far as a rule of this kind can say. Never raises.

    Without answers, against what the reference's samples agree on. `equal` computes with formulas
    (`computation.Computation`); without it the symbolic kind tells only what needs no computing.
    """
    if len(response) > MAX_CHARACTERS:
        return Finding(Outcome.UNKNOWN, "it is longer than what is read", kind)
    if not reference.answers and reference.samples:
        found = agreement.agreed(kind, prompt, reference)
        if found is None:
            return Finding(Outcome.UNKNOWN, "the samples do not agree", kind)
        told = CHECKS[kind].checker(Asked(prompt, response, found[0], equal))
        return replace(told, kind=kind, by_agreement=True)
    return replace(CHECKS[kind].checker(Asked(prompt, response, reference, equal)), kind=kind)
