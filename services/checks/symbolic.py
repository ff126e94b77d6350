"""Is a formula equal to the reference's: as written, as a number, else by computation. Pure; who computes is passed in."""

import re

from concord.checks import number
from concord.checks.final import explicit_answers, final_answer, without_thoughts
from concord.checks.finding import Asked, Finding, Kind, Outcome

# A longer formula is not computed.
MAX_FORMULA = 2_000
_DRESS = re.compile(
    r"\\(?:left|right|displaystyle|,|;|!|quad|qquad)|\\(?:text|mathrm|mathbf)\s?\{([^{}]{0,40})\}|[\s$]|\\[()\[\]]"
)
_CLOTHES = (
    ("\\dfrac", "\\frac"),
    ("\\tfrac", "\\frac"),
    ("\\cdot", "*"),
    ("\\times", "*"),
    ("^{\\circ}", "^\\circ"),
    ("−", "-"),
)


def check(asked: Asked) -> Finding:
    """Against any formula of the reference. Without somebody who computes, only what needs no computing is told."""
    golds = [answer for answer in asked.reference.answers if answer.strip()]
    if not golds:
        return _told(Outcome.UNKNOWN, "the reference holds no formula")
    answers, where = explicit_answers(asked.response)
    if len({bare(answer) for answer in answers}) > 1:
        return _told(Outcome.UNKNOWN, "it gives several formulas as its answer")
    said = answers[-1] if answers else final_answer(asked.response).text
    if any(bare(said) == bare(gold) for gold in golds):
        return _told(Outcome.RIGHT, f"as the reference has it, {where or 'at the end'}")
    if all(_is_number(gold) for gold in golds):
        found = number.check(asked)
        if found.outcome is Outcome.RIGHT or not where or _is_number(said):
            return _told(found.outcome, found.why)
    equal = [asked.equal(gold[:MAX_FORMULA], _for_computing(asked.response, said, where)) for gold in golds]
    if True in equal:
        return _told(Outcome.RIGHT, "equal to the reference by computation")
    if None in equal or not where:
        return _told(Outcome.UNKNOWN, "whether it equals the reference was not computed")
    return _told(Outcome.WRONG, "not equal to the reference by computation")


def bare(formula: str) -> str:
    """A formula without what only dresses it: blanks, dollar signs, \\left, a point at its end, "x =" before it."""
    for dressed, plain in _CLOTHES:
        formula = formula[:MAX_FORMULA].replace(dressed, plain)
    formula = _DRESS.sub(lambda found: found[1] or "", formula).rstrip(".")
    return re.sub(r"^[a-zA-Z](?:\([a-z]\))?=", "", formula)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[\s$\\{}(),.\d+/%-]{1,60}|\s*-?\\[dt]?frac\{\d+\}\{\d+\}\s*", text))


def _for_computing(response: str, said: str, where: str) -> str:
    return f"\\boxed{{{said[:MAX_FORMULA]}}}" if where else without_thoughts(response)[-MAX_FORMULA:]


def _told(outcome: Outcome, why: str) -> Finding:
    return Finding(outcome, why, Kind.SYMBOLIC)
