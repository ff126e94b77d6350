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
    r"\bnot (?:only|just|merely|simply|sure|certain)\b|\bwithout (?:a |any )?(?:doubt|question)\b|"
    r"\b(?:not|n't)\b[^.;\n]{1,80}\b(?:but|rather)\b",
    re.I,
)
_DENIED_AFTER = re.compile(
    r"^[\s\"'*_)\]]{0,4}(?:is|was|are|were|would be|seems?|looks?)?[ ]?(?:also )?"
    r"(?:\bnot\b|n't\b|incorrect|wrong|false|out of the question|ruled out)",
    re.I,
)
_EITHER = re.compile(
    r"\b(?:either|whether|one of|among|could be|might be|may be|maybe|perhaps|possibly|candidates?|guesses|"
    r"possible (?:answers?|options?|choices?)|(?:answers?|options?|choices?) (?:are|include))\b",
    re.I,
)
_CANDIDATES = re.compile(r"\b(?:either|candidates?|guesses|possible (?:answers?|options?|choices?))\b", re.I)
# Not after an initial.
_CUT = re.compile(r"(?<!\b\w)[.!?;:\n][\"')\]]?(?=\s|$)|,? (?:but|although|though|while|whereas|however)\b", re.I)


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


_CLOSE = re.compile(r"(?:\bnot|n't|\bnever|\bneither|\bnor|\bno)[\s,]{1,2}(?:[\w.'-]{1,20}\s){0,3}[\"'(]?$", re.I)


def denied_closely(text: str, start: int, end: int) -> bool:
    """As `denied`, by a word right before it: for where the question itself denies something ("which states do not …")."""
    return bool(_CLOSE.search(clause_before(text, start)[-50:])) or bool(_DENIED_AFTER.match(text[end : end + 40]))


def either(text: str, start: int, end: int, cased: str = "") -> bool:
    """Whether what stands from `start` to `end` is named as one of several that might be.

    A bare "or" counts before or after a name or a number alone: "a bank or credit union" explains, "Paris or Lyon" is open.
    `cased` is the same text in its own letters, where `text` has lost them.
    """
    before, after = clause_before(text, start, 250), (cased or text)[end : end + 60]
    if (_EITHER.search(before[-60:]) or _CANDIDATES.search(before)) and re.search(
        r"\b(?:or|and)\b|,", before[-30:] + after
    ):
        return True
    if re.match(r"[\s\"'*_)\]]{0,3},? or (?:the |maybe |perhaps |else )?[\"']?[A-Z\d]", after):
        return True
    return bool(
        re.search(
            r"(?:[A-Z][\w'-]{0,30}|\d)[\"']?,? or (?:the |maybe |perhaps )?[\"'*_(]{0,2}$",
            (cased or text)[max(0, start - 60) : start],
        )
    )
