"""Is the final number of a response the right one. Pure."""

import re
from collections.abc import Sequence

from concord.checks import hedges
from concord.checks.final import Final, explicit_answers, final_answer, last_sentence, without_thoughts
from concord.checks.finding import Asked, Finding, Kind, Outcome
from concord.checks.quantities import Quantity, quantities, same

_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")
# Between two numbers that are named as alternatives.
_ALTERNATIVES = re.compile(r"^[^\d\n=+*/×÷<>]{0,12}?(?:,|\bor\b|\band\b|/|;)[^\d\n=+*/×÷<>]{0,12}$", re.I)


def check(asked: Asked) -> Finding:
    """Against any number of the reference; units are converted where both have one."""
    golds = [found for answer in asked.reference.answers if (found := gold_of(answer))]
    if not golds:
        return _told(Outcome.UNKNOWN, "the reference holds no number")
    said, how = read(asked.response)
    if said is None:
        return _nothing_read(asked.response, how)
    equal = [same(gold, said) for gold in golds]
    if True in equal:
        return _told(Outcome.RIGHT, f"{shown(said)} {how}")
    if None in equal:
        return _told(Outcome.UNKNOWN, f"{shown(said)} is in another unit than the reference")
    if how == AT_THE_END and _stands_in(last_sentence(without_thoughts(asked.response)), golds):
        return _told(Outcome.UNKNOWN, "the reference's number stands in the last sentence, and is not the last")
    return _told(Outcome.WRONG, f"{shown(said)} {how}, not {shown(golds[0])}")


AT_THE_END = "at the end"
SEVERAL = "it gives several numbers as its answer"
DENIED = "it says what the answer is not"
NONE = "it names no number"


def gold_of(answer: str) -> Quantity | None:
    """The number of a reference: after #### or in a box, else its first one."""
    return _first(final_answer(answer).text) or _first(answer)


def _first(text: str) -> Quantity | None:
    found = list(quantities(text[:1000]))
    return next((one for one in found if not one.spelled), found[0] if found else None)


def read(response: str) -> tuple[Quantity | None, str]:
    """(the number that the response gives as its answer, where); where it gives none (None, why)."""
    told, where = explicit_answers(response)
    if told:
        found = [_one_of(Final(text, True, where)) for text in told[-20:]]
        values = {(one.value, one.unit) for one, _ in found if one is not None}
        if len({value for value, _ in values}) > 1:
            return None, SEVERAL
        one, why = found[-1]
        if one is not None or why != NONE:
            return one, why
    final = final_answer(response) if not told else Final(last_sentence(without_thoughts(response)), False, "")
    one, why = _one_of(final)
    if one is None and why == NONE:
        rest = [found for found in quantities(without_thoughts(response)) if not found.spelled]
        return (rest[-1], AT_THE_END) if rest else (None, NONE)
    return one, why


def _one_of(final: Final) -> tuple[Quantity | None, str]:
    """The number of a final statement, where it names just one."""
    text = final.text
    if final.where and (cut := _SENTENCE_END.search(text)):
        text = text[: cut.start()]
    if "=" in text.rstrip("= ") and not re.search(r"[<>≤≥]=?\s*$", text):
        text = text[text.rstrip("= ").rfind("=") + 1 :]
    found = list(quantities(text))
    found = [one for one in found if not one.spelled] or found
    if not found:
        return None, NONE
    one = found[0] if final.where else found[-1]
    if any(_alternatives(text, one, other) for other in found):
        return None, SEVERAL
    if hedges.denied(text, one.start, one.end):
        return None, DENIED
    if hedges.either(text, one.start, one.end) and len(found) > 1:
        return None, SEVERAL
    return one, final.where or AT_THE_END


def _alternatives(text: str, one: Quantity, other: Quantity) -> bool:
    low, high = sorted((one, other), key=lambda found: found.start)
    between = text[low.end : high.start]
    return low.value != high.value and len(between) < 30 and bool(_ALTERNATIVES.match(between))


def _stands_in(text: str, golds: Sequence[Quantity]) -> bool:
    return any(same(gold, found) for found in quantities(text) for gold in golds)


def _nothing_read(response: str, why: str) -> Finding:
    return _told(Outcome.WRONG if why == NONE else Outcome.UNKNOWN, why)


def _told(outcome: Outcome, why: str) -> Finding:
    return Finding(outcome, why, Kind.NUMBER)


def shown(found: Quantity) -> str:
    """A number in few characters."""
    value = found.value
    said = (
        str(value)
        if value.denominator in (1, 2, 3, 4)
        else f"{float(value):g}"
        if abs(value) < 10**15
        else "a large number"
    )
    return (said if len(said) <= 20 else f"{float(value):g}" if abs(value) < 10**30 else "a large number") + (
        f" {found.unit}" if found.unit else ""
    )
