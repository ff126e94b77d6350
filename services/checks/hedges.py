"""Answers that keep a way out: denied, put as a question, or one of several. Such an answer does not pass. Pure."""

import re

_DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|cannot|can't|isn't|wasn't|aren't|weren't|doesn't|didn't|don't|won't|wouldn't|hardly|"
    r"incorrect|wrong|false|untrue|unlikely|rather than|instead of|other than|except|unlike|contrary to|confused with|"
    r"mistaken for|exclud\w{1,4}|rul(?:e|ed|ing) out|without)\b",
    re.I,
)
# A denial that affirms: "not only X", "not just X", "it is not Y but X".
_TURNED = re.compile(
    r"\bnot (?:only|just|merely|simply|sure|certain)\b|\b(?:not|n't)\b[^.;\n]{1,80}\b(?:but|rather)\b", re.I
)
_DENIED_AFTER = re.compile(
    r"^[\s\"'*_)\]]{0,4}(?:is|was|are|were|would be|seems?|looks?)?[ ]?(?:also )?"
    r"(?:\bnot\b|n't\b|incorrect|wrong|false|out of the question|ruled out)",
    re.I,
)
_EITHER = re.compile(
    r"\b(?:either|whether|one of|among|could be|might be|may be|maybe|perhaps|possibly|candidates?)\b", re.I
)
_CUT = re.compile(r"[.!?;:\n](?=\s|$)|,? (?:but|although|though|while|whereas|however)\b", re.I)


def clause_before(text: str, start: int, reach: int = 90) -> str:
    """What the clause that `start` lies in says before it, `reach` characters at most."""
    before = text[max(0, start - reach) : start]
    cuts = [found.end() for found in _CUT.finditer(before)]
    return before[cuts[-1] :] if cuts else before


def denied(text: str, start: int, end: int) -> bool:
    """Whether what stands from `start` to `end` is said not to be so, or asked."""
    before = clause_before(text, start)
    if _DENIAL.search(_TURNED.sub(" ", before)):
        return True
    after = text[end : end + 40]
    return bool(_DENIED_AFTER.match(after)) or bool(re.match(r"[\s\"'*_)\]]{0,3}\?", after))


def either(text: str, start: int, end: int) -> bool:
    """Whether what stands from `start` to `end` is named as one of several that might be."""
    before, after = clause_before(text, start), text[end : end + 60]
    if _EITHER.search(before[-60:]) and re.search(r"\b(?:or|and)\b|,", before[-30:] + after):
        return True
    return bool(re.match(r"[\s\"'*_)\]]{0,3},? or\b", after, re.I)) or bool(
        re.search(r"\bor(?: else| maybe| perhaps)?[\s\"'*_(]{1,3}$", before, re.I)
    )
