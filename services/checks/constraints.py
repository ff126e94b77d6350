"""Does a response keep to what a prompt demands of its form: length, words, letters, layout. Pure.

The names and their settings are those of IFEval's data (arXiv 2311.07911), so that rows in its form need no translation;
what they mean is written anew here. A demand that is not known, or whose settings cannot be read: can't tell.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from concord.checks import json_answer
from concord.checks.final import without_thoughts
from concord.checks.finding import Asked, Constraint, Finding, Kind, Outcome
from concord.checks.languages import written_in

MAX_CONSTRAINTS = 100
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]{0,3}(?=\s|$)")
_ABBREVIATIONS = re.compile(r"\b(?:mr|mrs|ms|dr|prof|st|sr|jr|vs|etc|e\.g|i\.e|[a-z])\.$", re.I)
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]{1,200}\]")
_BULLET = re.compile(r"^[ \t]{0,8}(?:\*(?!\*)|-)[ \t]{0,4}[^\s*-]", re.M)
_HIGHLIGHT = re.compile(r"\*\*[^\s*][^*\n]{0,300}\*\*|(?<!\*)\*[^\s*][^*\n]{0,300}\*(?!\*)")
_TITLE = re.compile(r"<<[^<>\n]{1,300}>>")
_RULE = re.compile(r"\n[ \t]{0,4}\*\*\*[ \t]{0,4}\n")

# (response, settings, prompt) → whether it is kept; None: can't tell.
Holds = Callable[[str, Mapping[str, Any], str], bool | None]


def check(asked: Asked) -> Finding:
    """Against all constraints of the reference: one that is not kept makes it wrong, one that cannot be told leaves it open."""
    demands = asked.reference.constraints[:MAX_CONSTRAINTS]
    if not demands:
        return _told(Outcome.UNKNOWN, "no demand on its form is known")
    response = without_thoughts(asked.response).strip()
    kept = [(one, holds(one, response, asked.prompt)) for one in demands]
    broken = [one.name for one, is_kept in kept if is_kept is False]
    if broken:
        return _told(Outcome.WRONG, f"it does not keep to {broken[0]}")
    unknown = [one.name for one, is_kept in kept if is_kept is None]
    if unknown:
        return _told(Outcome.UNKNOWN, f"{unknown[0][:60]} cannot be told")
    return _told(Outcome.RIGHT, f"it keeps to {'all ' * (len(kept) > 1)}{len(kept)}")


def holds(constraint: Constraint, response: str, prompt: str = "") -> bool | None:
    """Whether one demand is kept; None: it is not known, or its settings cannot be read."""
    found = CONSTRAINTS.get(constraint.name)
    if found is None or not response:
        # An empty response keeps to nothing that is known.
        return None if found is None else False
    try:
        return found(response, constraint.settings, prompt)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def related(count: float, relation: Any, bound: Any) -> bool:
    """Whether a count is as demanded: "less than", "at least", "at most", "more than", "exactly". Raises ValueError."""
    count, bound = float(count), float(bound)
    match str(relation or "at least").lower():
        case "less than":
            return count < bound
        case "at least":
            return count >= bound
        case "at most":
            return count <= bound
        case "more than":
            return count > bound
        case "exactly" | "equal to":
            return count == bound
        case _:
            raise ValueError(f"no relation {relation!r}")


def words_in(text: str) -> list[str]:
    """The words of a text, a hyphen or an apostrophe within one no end of it."""
    return _WORD.findall(text)


def sentences_in(text: str) -> int:
    """How many sentences a text has."""
    ends = [
        found
        for found in _SENTENCE_END.finditer(text)
        if not _ABBREVIATIONS.search(text[max(0, found.start() - 6) : found.end()].rstrip("\"'”’)]"))
    ]
    tail = text[ends[-1].end() :] if ends else text
    return len(ends) + bool(_WORD.search(tail))


def _times(text: str, phrase: str) -> int:
    """How often a phrase stands in a text as whole words, in any case."""
    words = rf"(?<!\w){re.escape(phrase.strip())}(?!\w)"
    return len(re.findall(words, text, re.I)) if phrase.strip() else 0


def _number_words(said: str, wanted: Mapping, _: str) -> bool:
    return related(len(words_in(said)), wanted.get("relation"), wanted["num_words"])


def _number_characters(said: str, wanted: Mapping, _: str) -> bool:
    return related(len(said), wanted.get("relation"), wanted["num_characters"])


def _number_sentences(said: str, wanted: Mapping, _: str) -> bool:
    return related(sentences_in(said), wanted.get("relation"), wanted["num_sentences"])


def _paragraphs(said: str) -> list[str]:
    """Set apart by a rule of three stars where there is one, else by empty lines."""
    parts = _RULE.split(f"\n{said}\n") if _RULE.search(f"\n{said}\n") else re.split(r"\n[ \t]{0,40}\n", said)
    return [part.strip() for part in parts if part.strip()]


def _number_paragraphs(said: str, wanted: Mapping, _: str) -> bool:
    return related(len(_paragraphs(said)), wanted.get("relation", "exactly"), wanted["num_paragraphs"])


def _nth_paragraph(said: str, wanted: Mapping, _: str) -> bool:
    parts = [part.strip() for part in re.split(r"\n[ \t]{0,40}\n", said) if part.strip()]
    at = int(wanted["nth_paragraph"])
    if len(parts) != int(wanted["num_paragraphs"]) or not 1 <= at <= len(parts):
        return False
    words = words_in(parts[at - 1])
    return bool(words) and words[0].lower() == str(wanted["first_word"]).lower()


def _existence(said: str, wanted: Mapping, _: str) -> bool:
    return all(str(word).lower() in said.lower() for word in _some(wanted["keywords"]))


def _forbidden(said: str, wanted: Mapping, _: str) -> bool:
    return not any(_times(said, str(word)) for word in _some(wanted["forbidden_words"]))


def _frequency(said: str, wanted: Mapping, _: str) -> bool:
    return related(_times(said, str(wanted["keyword"])), wanted.get("relation"), wanted["frequency"])


def _letter_frequency(said: str, wanted: Mapping, _: str) -> bool:
    letter = str(wanted["letter"]).lower()
    if len(letter) != 1:
        raise ValueError("one letter")
    return related(said.lower().count(letter), wanted.get("let_relation"), wanted["let_frequency"])


def _some(words: Any) -> list:
    """A list of words, not empty. Raises ValueError."""
    if isinstance(words, str) or not list(words):
        raise ValueError("a list of words")
    return list(words)[:200]


def _placeholders(said: str, wanted: Mapping, _: str) -> bool:
    return len(_PLACEHOLDER.findall(said)) >= int(wanted["num_placeholders"])


def _postscript(said: str, wanted: Mapping, _: str) -> bool:
    marker = re.escape(str(wanted["postscript_marker"]).strip()).replace("\\.", r"\.?\s?")
    return bool(re.search(rf"(?:^|\n)[ \t*_]{{0,6}}{marker}", said, re.I))


def _bullets(said: str, wanted: Mapping, _: str) -> bool:
    return related(len(_BULLET.findall(said)), wanted.get("relation", "exactly"), wanted["num_bullets"])


ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def _constrained(said: str, wanted: Mapping, _: str) -> bool:
    return any(str(one).lower() in said.lower() for one in _some(wanted.get("answers") or ANSWERS))


def _highlights(said: str, wanted: Mapping, _: str) -> bool:
    return len(_HIGHLIGHT.findall(said)) >= int(wanted["num_highlights"])


def _sections(said: str, wanted: Mapping, _: str) -> bool:
    splitter = re.escape(str(wanted["section_spliter"]).strip())
    return len(re.findall(rf"(?:^|\n)[ \t#*]{{0,8}}{splitter}\s{{0,3}}\d", said, re.I)) >= int(wanted["num_sections"])


def _json(said: str, wanted: Mapping, _: str) -> bool:
    return not json_answer.parsed(said)[1]


def _title(said: str, wanted: Mapping, _: str) -> bool:
    return any(found.strip("<> \t") for found in _TITLE.findall(said))


def _two_responses(said: str, wanted: Mapping, _: str) -> bool:
    parts = [part.strip() for part in said.split("******")]
    parts = [part for at, part in enumerate(parts) if part or 0 < at < len(parts) - 1]
    return len(parts) == 2 and all(parts) and parts[0] != parts[1]


def _repeat_prompt(said: str, wanted: Mapping, prompt: str) -> bool | None:
    repeated = str(wanted.get("prompt_to_repeat") or prompt).strip().lower()
    return said.lower().startswith(repeated) if repeated else None


def _end(said: str, wanted: Mapping, _: str) -> bool:
    return said.strip().strip('"').lower().endswith(str(wanted["end_phrase"]).strip().strip('"').lower())


def _start(said: str, wanted: Mapping, _: str) -> bool:
    return said.strip().strip('"').lower().startswith(str(wanted["start_phrase"]).strip().lower())


def _quotation(said: str, wanted: Mapping, _: str) -> bool:
    return len(said) > 1 and said[0] in '"“' and said[-1] in '"”'


def _capital_words(said: str, wanted: Mapping, _: str) -> bool:
    count = sum(word.isupper() for word in words_in(said))
    return related(count, wanted.get("capital_relation"), wanted["capital_frequency"])


def _all_capital(said: str, wanted: Mapping, _: str) -> bool | None:
    return said.isupper() and written_in(said.lower(), "en")


def _all_lower(said: str, wanted: Mapping, _: str) -> bool | None:
    return said.islower() and written_in(said, "en")


def _no_comma(said: str, wanted: Mapping, _: str) -> bool:
    return "," not in said


def _language(said: str, wanted: Mapping, _: str) -> bool | None:
    return written_in(said, str(wanted["language"]))


def _lines(said: str, wanted: Mapping, _: str) -> bool:
    return related(sum(bool(line.strip()) for line in said.splitlines()), wanted.get("relation"), wanted["num_lines"])


CONSTRAINTS: dict[str, Holds] = {
    "length_constraints:number_words": _number_words,
    "length_constraints:number_characters": _number_characters,
    "length_constraints:number_sentences": _number_sentences,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:number_lines": _lines,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "keywords:existence": _existence,
    "keywords:forbidden_words": _forbidden,
    "keywords:frequency": _frequency,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _language,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:end_checker": _end,
    "startend:start_checker": _start,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _all_capital,
    "change_case:english_lowercase": _all_lower,
    "punctuation:no_comma": _no_comma,
}


def _told(outcome: Outcome, why: str) -> Finding:
    return Finding(outcome, why, Kind.CONSTRAINTS)
