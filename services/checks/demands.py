"""Demands on an answer's form that stand in the prompt and that a rule can verify. Pure.

Only what is said as a demand: a prompt about JSON is none, nor is one that mentions three sentences. What is not sure is not found.
"""

import re
from collections.abc import Callable
from typing import Any

from concord.checks.finding import Constraint
from concord.checks.prompts import ends

_NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
_N = rf"(\d{{1,4}}|{'|'.join(_NUMBERS)})"
# What a bound is said by, and what it adds to the number.
_MOST = {
    "at most": 0,
    "no more than": 0,
    "not more than": 0,
    "a maximum of": 0,
    "maximum": 0,
    "max": 0,
    "up to": 0,
    "within": 0,
}
_MOST |= {"fewer than": -1, "less than": -1, "under": -1, "below": -1}
_LEAST = {"at least": 0, "a minimum of": 0, "minimum": 0, "min": 0, "over": 1, "more than": 1}
_BOUND = rf"\b({'|'.join((*_MOST, *_LEAST, 'exactly', 'precisely'))})\s+{_N}\s+"
_QUOTED = r"[\"'“‘«]([^\"'”’»\n]{1,80})[\"'”’»]"
_SEVERAL = rf"{_QUOTED}(?:\s*(?:,|or|and|nor)\s*{_QUOTED}){{0,6}}"
_WITHIN = r"[^.?!\n]{0,50}"
_MUST = r"\b(?:must|has to|have to|should|shall|please)\s+(?:also\s+)?"
_NEVER = r"\b(?:do(?:es)?(?: not|n['’]t)|must(?: not|n['’]t)|should(?: not|n['’]t)|without|never|avoid)\b"
_GIVE = (
    r"(?:return|respond|reply|output|print|answer|emit|give|format|convert|encode|produce|provide|generate|turn|parse|render|"
    r"represent|extract|present|express|deliver|write|fill|conforms?|as|in|into|to)"
)
_JSON = re.compile(
    rf"\b{_GIVE}\b[^.?!\n]{{0,80}}\bjson\b(?!\s+(?:schema|vs|or|support|api|parser|librar|decode|error|web token))"
    r"|\b(?:only|just|nothing but|valid|strict|raw)\s+(?:\w+\s+){0,4}json\b"
    r"|\bjson\b[^.?!\n]{0,20}\b(?:only|please)\b|\bjson\.loads\b",
    re.I,
)
_ONLY_JSON = re.compile(r"\b(?:only|just|nothing but|valid|strict)\b[^.\n]{0,30}\bjson\b", re.I)
_ABOUT_JSON = re.compile(
    r"^\W*(?:explain|why|what(?:'s| is| are| does)|describe|compare|discuss|is|are|should|tell me about|which|teach|design|debug|"
    r"fix|review|argue|how (?:do|does|can|to|did|should))\b",
    re.I,
)

Make = Callable[[re.Match[str]], Constraint]


def asks_for_json(prompt: str) -> bool:
    """Whether the answer has to be JSON."""
    near = ends(prompt)
    if not _JSON.search(near):
        return False
    return not _ABOUT_JSON.search(near) or bool(_ONLY_JSON.search(near))


def demands_of(prompt: str) -> tuple[Constraint, ...]:
    """The demands that the prompt makes, in the order of the table below; empty where none is sure."""
    near = ends(prompt)
    made = (make(found) for form, make in _FORMS for found in [form.search(near)] if found)
    return (*made, *_between(near))


def _number(text: str) -> int:
    return _NUMBERS.get(text.lower()) or int(text)


def _related(how: str, number: str) -> tuple[str, int]:
    """The relation and the bound, as `constraints.related` reads them."""
    how, said = " ".join(how.lower().split()), _number(number)
    if how in _MOST:
        return "at most", said + _MOST[how]
    if how in _LEAST:
        return "at least", said + _LEAST[how]
    return "exactly", said


def _counted(what: str, name: str, key: str) -> tuple[re.Pattern[str], Make]:
    def make(found: re.Match[str]) -> Constraint:
        relation, bound = _related(found[1], found[2])
        return Constraint(name, {"relation": relation, key: bound})

    return re.compile(_BOUND + what, re.I), make


def _plain(pattern: str, name: str, **settings: Any) -> tuple[re.Pattern[str], Make]:
    return re.compile(pattern, re.I), lambda found: Constraint(name, settings)


def _quoted(pattern: str, name: str, key: str, several: bool = False) -> tuple[re.Pattern[str], Make]:
    """A form with texts in quotes: all of them, or the first one alone."""

    def make(found: re.Match[str]) -> Constraint:
        texts = [text for text in re.findall(_QUOTED, found[0]) if text.strip()]
        return Constraint(name, {key: texts if several else texts[0]})

    return re.compile(pattern, re.I), make


_FORMS: tuple[tuple[re.Pattern[str], Make], ...] = (
    _counted(r"words?\b(?! in all)", "length_constraints:number_words", "num_words"),
    _counted(r"sentences?\b", "length_constraints:number_sentences", "num_sentences"),
    _counted(r"paragraphs?\b", "length_constraints:number_paragraphs", "num_paragraphs"),
    _counted(r"(?:bullet points?|bullets|list items)\b", "detectable_format:number_bullet_lists", "num_bullets"),
    _counted(r"(?:characters|chars)\b", "length_constraints:number_characters", "num_characters"),
    _plain(
        r"\b(?:only|all|entirely|use|in)\s+(?:in\s+)?(?:lowercase|lower case|small letters)\b",
        "change_case:english_lowercase",
    ),
    _plain(
        rf"\b(?:answer|write|reply|respond|response|entirely|only)\b{_WITHIN}\bin (?:all caps|all capital letters|upper ?case)\b",
        "change_case:english_capital",
    ),
    _plain(
        r"\b(?:do not|don['’]t|never|without|avoid)\s+(?:us(?:e|ing)\s+)?(?:any\s+)?commas?\b", "punctuation:no_comma"
    ),
    _quoted(
        rf"{_NEVER}{_WITHIN}\b(?:words?|phrases?)\s+{_SEVERAL}",
        "keywords:forbidden_words",
        "forbidden_words",
        several=True,
    ),
    _quoted(
        rf"{_MUST}(?:include|contain|mention|use)\b{_WITHIN}\b(?:words?|keywords?|phrases?|hashtags?)\s+{_SEVERAL}",
        "keywords:existence",
        "keywords",
        several=True,
    ),
    _quoted(
        rf"\b(?:end|finish|conclude)\b{_WITHIN}\b(?:with|phrase|words|sentence)\s+{_QUOTED}",
        "startend:end_checker",
        "end_phrase",
    ),
    _quoted(
        rf"\b(?:begin|start)\b{_WITHIN}\b(?:with|phrase|words|sentence)\s+{_QUOTED}",
        "startend:start_checker",
        "start_phrase",
    ),
    _plain(rf"\bwrap(?:ped)?\b{_WITHIN}\bdouble angular brackets\b", "detectable_format:title"),
    _plain(rf"\bpostscript\b{_WITHIN}\bP\.\s?S", "detectable_content:postscript", postscript_marker="P.S."),
    _plain(rf"\b(?:whole|entire)\b{_WITHIN}\bin double quot|\bwrap\b{_WITHIN}\bdouble quot", "startend:quotation"),
    _plain(
        rf"\brepeat\b{_WITHIN}\b(?:request|question|prompt|instruction)\b{_WITHIN}\bword for word\b",
        "combination:repeat_prompt",
    ),
)
# `80-120 words`: two demands in one.
_RANGE = re.compile(r"\b(\d{1,4})\s?(?:-|–|to)\s?(\d{1,4})\s+words\b", re.I)


def _between(prompt: str) -> tuple[Constraint, ...]:
    found = _RANGE.search(prompt)
    ends = (("at least", found[1]), ("at most", found[2])) if found else ()
    return tuple(
        Constraint("length_constraints:number_words", {"relation": how, "num_words": int(count)}) for how, count in ends
    )
