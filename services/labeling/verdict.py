"""What a judge's answer means: a text becomes a verdict or the reason why it is none, never a guess. PURE.

Everything here is linear in the text.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from concord.labeling.claims import Letter, bare_lines, claimed, disputed
from concord.labeling.token_odds import Odds, share

# Characters of an answer, behind what was thought, that are read; nobody needs that many for a verdict.
MOST_READ = 50_000


@dataclass(frozen=True)
class Verdict:
    """Which of A and B won, as the judge saw them."""

    winner: Letter
    confidence: float | None  # P(the winner is better), in [0, 1]; None where neither token odds nor a number was given
    reason: str = ""
    # The winner's share of the letters' odds at the verdict's token; None where the endpoint gave none.
    p_tokens: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Reading:
    """What was found in an answer: a verdict, nothing, or (`contradicting`) both letters."""

    verdict: Verdict | None = None
    contradicting: bool = False


def parse(text: str, odds: Sequence[Odds] = ()) -> Verdict | None:
    """The verdict in a judge's answer, or None where it does not plainly name one."""
    return read(text, odds).verdict


def read(text: str, odds: Sequence[Odds] = ()) -> Reading:
    """What stands in the answer behind the last end of thinking.

    Plain are a field `"winner"` (of JSON, of a Python dict, cut off behind it), a mark such as [[A]] or "Verdict: A", a
    sentence such as "Assistant A is better.", and a line that is the letter alone. All that are there must agree. The
    confidence is the winner's share of the letters' odds at its place, else the stated number, of which under 0.5 means 0.5.
    """
    if verdict := _sound(text, odds):
        return Reading(verdict)
    shift = answer_at(text)
    answer = text[shift:]
    if len(answer) > MOST_READ:
        return Reading()
    if (inner := _encoded_twice(answer)) is not None:
        answer, odds = inner, ()
    named = [*_fields(answer), *_marks(answer)]
    if not named:
        return _without_marks(answer, text, shift, odds)
    letters = {letter for _, letter in named}
    last_place, last = max(named, key=lambda one: one[0])
    if letters >= {"A", "B"}:
        return Reading(contradicting=True)
    if None in letters or last is None:
        return Reading()
    if _taken_back(answer, last_place, last):
        return Reading(contradicting=True)
    stated, reason = _beside(answer, last_place)
    by_odds = share(odds, last, len(text[: shift + last_place].encode(errors="replace"))) if odds else None
    return Reading(Verdict(last, by_odds if by_odds is not None else stated, reason, by_odds))


def _sound(text: str, odds: Sequence[Odds]) -> Verdict | None:
    """The verdict of an answer that is just what was asked for, which nearly all are: one object with one winner in it."""
    if text.count('"winner"') != 1 or len(text) > MOST_READ or not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or (winner := value.get("winner")) not in ("A", "B"):
        return None
    reason = value.get("reason")
    by_odds = None
    if odds:
        place = text.index(f'"{winner}"', text.index('"winner"') + len('"winner"')) + 1
        by_odds = share(odds, winner, len(text[:place].encode(errors="replace")))
    confidence = by_odds if by_odds is not None else _stated(value.get("confidence"))
    return Verdict(winner, confidence, reason if isinstance(reason, str) else "", by_odds)


def answer_at(text: str) -> int:
    """Where the answer begins: behind the last mark that ends thinking, at the end where thinking never ends, else at 0."""
    ends = 0
    for mark in _THOUGHT.finditer(text):
        ends = mark.end()
    return ends if ends or not _THINKS.match(text) else len(text)


def thinks_aloud(text: str) -> bool:
    """Whether the text begins with thinking, or holds its end."""
    return bool(_THINKS.match(text) or _THOUGHT.search(text))


_NAMES = r"(?:seed:)?(?:think(?:ing)?|thought|reasoning|reflection)"
_THINKS = re.compile(
    rf"\s*(?:<{_NAMES}>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|channel\|>analysis<\|message\|>)", re.IGNORECASE
)
_THOUGHT = re.compile(
    rf"</{_NAMES}>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|channel\|>final<\|message\|>", re.IGNORECASE
)

# Behind a key or a label: the letter with whatever usually stands around it, and nothing more. All repeats that could meet
# the same sign are possessive, so that no text makes them try again and again.
_LETTER_ALONE = (
    r"[\s\"'“”‘’`*_\[({]*+(?:the\s+)?(?:(?:answer|assistant|response|option|candidate|model|choice)[\s_]+)?"
    r"[\s\"'“”‘’`*_\[({]*+([AB])(?!\w)[\s\"'“”‘’`*_\])}.!]*+(?:is\s+better[\s.!]*+)?"
)
_LETTER = re.compile(_LETTER_ALONE, re.IGNORECASE)
_LABELLED = re.compile(
    _LETTER_ALONE + r"(?:[\s,;:–—-]*+(?:because|since|as|due\s+to|with\s+(?:a\s+)?confidence)\b.*"
    r"|\((?:(?!(?-i:\b[AB]\b))[^()\n]){0,60}\)[\s.*]*+)?",
    re.IGNORECASE,
)
_OTHER_KEYS = "(?:verdict|better(?:_answer)?|preferred(?:_answer)?|preference|choice|decision|answer)"
_QUOTE = "[\"'“”`]"
_FIELD = re.compile(
    rf"(?<!\\){_QUOTE}winner{_QUOTE}\s*[:=]\s*"
    rf"(?:\"([^\"\n]{{0,60}})\"|'([^'\n]{{0,60}})'|“([^”\n]{{0,60}})”|([^\s,}}\]\"'“]{{1,60}}))\s*(.?)",
    re.IGNORECASE,
)
# What a model that was not held to the schema calls it; these names have other uses, so only a letter counts.
_OTHER_FIELD = re.compile(_FIELD.pattern.replace("winner", _OTHER_KEYS), re.IGNORECASE)
_MARK = re.compile(
    r"\[\[([^\[\]\n]{1,20})\]\]|\\boxed\{(?:\\text\{)?([^{}\n]{1,20})\}|\[RESULT\][ \t]*+([^\n]{1,20})"
    r"|<(?:winner|verdict|answer|choice|result)>([^<>]{1,40})</",
    re.IGNORECASE,
)
# A whole line: the label, a sign or "is", and what is named.
_LABEL = re.compile(
    r"^[ \t>#*_`-]*+(?:(?:so|thus|therefore|hence|in conclusion|overall)[ \t,:]+)?"
    r"(?:(?:the|my)[ \t]+)?(?:final[ \t]+|overall[ \t]+)?"
    r"(?:verdict|winner|(?:better|preferred)(?:[ \t]+(?:answer|one|response|assistant))?|preference|pick"
    r"|answer|result|decision|choice|judge?ment|conclusion)"
    r"[*_`\"']*+(?:[ \t]*+([:=–—-])|[ \t]++is\b:?)([^\n]{1,600})$",
    re.IGNORECASE | re.MULTILINE,
)
# "answer" as a label is also how answers are introduced: "Answer: A good one." names nothing.
_ANSWER_LABEL = re.compile(r"[ \t>#*_`-]*+(?:the[ \t]+)?answer\b", re.IGNORECASE)
_NO_WINNER = re.compile(r"(?-i:\b[AB]\b)|\b(?:tie|draw|both|neither|equal|none|n/?a)\b", re.IGNORECASE)

_Named = tuple[int, Letter | None]  # where the letter stands, and which; None: something else is named there


def _named(match: re.Match[str], group: int, form: re.Pattern[str] = _LETTER) -> _Named:
    letter = form.fullmatch(match[group])
    if letter is None:
        return match.start(group), None
    return match.start(group) + letter.start(1), _upper(letter[1])


def _fields(text: str) -> Iterator[_Named]:
    winners = [_of_field(match) for match in _FIELD.finditer(text)]
    yield from winners or (named for match in _OTHER_FIELD.finditer(text) if (named := _of_field(match))[1])


def _of_field(match: re.Match[str]) -> _Named:
    group = next(i for i in (1, 2, 3, 4) if match[i] is not None)
    place, letter = _named(match, group)
    # `"winner": "A" or "B"` copies the question; a comma, an end or nothing more must follow.
    return place, letter if match[5] in ("", ",", "}", "]", "\n", "`") else None


def _marks(text: str) -> Iterator[_Named]:
    for match in _MARK.finditer(text):
        place, letter = _named(match, next(i for i in (1, 2, 3, 4) if match[i] is not None))
        if letter or match[1] is None:  # [[…]] has other uses
            yield place, letter
    for match in _LABEL.finditer(text):
        place, letter = _named(match, 2, _LABELLED)
        # "The verdict is as follows" names nothing; "Verdict: a tie" names none of the two.
        says_none = match[1] or _NO_WINNER.search(match[2])
        if letter or (says_none and not _ANSWER_LABEL.match(match[0])):
            yield place, letter


def _without_marks(answer: str, text: str, shift: int, odds: Sequence[Odds]) -> Reading:
    """Of sentences and lonely letters."""
    sentences, lines = list(claimed(answer)), list(bare_lines(answer))
    letters = {letter for _, letter in (*sentences, *lines)}
    if len(letters) > 1:
        return Reading(contradicting=True)
    if not letters:
        return Reading()
    place, letter = (sentences or lines)[-1]
    if disputed(answer, letter):
        return Reading(contradicting=True)
    if not sentences and not _at_an_end(answer, [at for at, _ in lines]):
        return Reading()
    by_odds = share(odds, letter, len(text[: shift + place].encode(errors="replace")))
    return Reading(Verdict(letter, by_odds, p_tokens=by_odds))


def _at_an_end(answer: str, places: Sequence[int]) -> bool:
    """Whether one of these lines is the first or the last that holds anything."""
    first = len(answer) - len(answer.lstrip())
    last = answer.rstrip().rfind("\n") + 1
    return answer.rfind("\n", 0, places[0] + 1) < first or places[-1] >= last


def _taken_back(answer: str, place: int, letter: Letter) -> bool:
    """Whether what follows the named winner, its object apart, speaks for the other one."""
    rest = answer[place:]
    rest = rest[rest.rfind("}") + 1 :] if "}" in rest else rest[rest.find("\n") + 1 :] if "\n" in rest else ""
    return any(other != letter for _, other in bare_lines(rest)) or disputed(rest, letter)


def _encoded_twice(answer: str) -> str | None:
    """The text within, where the answer is one JSON string that holds an object."""
    bare = answer.strip()
    if not (bare.startswith('"') and bare.endswith('"') and "winner" in bare):
        return None
    try:
        inner = json.loads(bare)
    except (ValueError, RecursionError):
        return None
    return inner if isinstance(inner, str) else None


_CONFIDENCE = re.compile(rf"{_QUOTE}confidence{_QUOTE}\s*:\s*(\d+(?:\.\d+)?)(?=[\s,}}\]])", re.IGNORECASE)


def _beside(answer: str, place: int) -> tuple[float | None, str]:
    """The stated confidence and the reason that stand in the same object as the winner at this place."""
    for start in {answer.find("{"), answer.rfind("{", 0, place + 1)} - {-1}:
        try:
            value, end = json.JSONDecoder().raw_decode(answer, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and "winner" in value and end > place:
            reason = value.get("reason")
            return _stated(value.get("confidence")), reason if isinstance(reason, str) else ""
    match = _CONFIDENCE.search(answer, place)
    return (_stated(float(match[1])) if match else None), ""


def _stated(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1 or not isfinite(value):
        return None
    return max(0.5, float(value))


def _upper(letter: str) -> Letter:
    return "A" if letter.upper() == "A" else "B"
