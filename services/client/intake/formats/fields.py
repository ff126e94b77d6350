"""Fields whose names a user chose, and labels in a user's words: which is the prompt, which the responses, who won. PURE.

Annotation tools export what was on the screen, and neither says which field is what; so their names decide: a prompt is
called `prompt`, `instruction`, `question` …, responses are numbered or lettered alike (`response_1`, `response_2`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from concord.client.intake.formats.record import Cells, Record
from concord.client.intake.multi_response import majority
from concord.client.intake.ratings import compared as ratings_compared
from concord.client.intake.ratings import label as _label
from concord.client.intake.ratings import number_of
from concord.preference.pairs import BadRecord

PROMPTS = ("prompt", "instruction", "question", "query", "input", "context", "conversation", "messages", "chat", "task")
_NOUNS = ("response", "answer", "completion", "generation", "output", "text", "option", "candidate", "reply", "summary")
# `response_1`, `answer-b`, `text2`, `outputA`; a small letter needs something before it, or `data` would be a `dat`.
_NUMBERED = re.compile(r"(.*?)(?:[ _.-]*(\d{1,3})|[ _.-]+([a-hA-H]|left|right|first|second)|(?<=[a-z])([A-H]))")
_NAMED_PAIRS = (("left", "right"), ("first", "second"), ("chosen", "rejected"), ("a", "b"))
_SIDES = {"left": 0, "right": 1, "first": 0, "second": 1}
_TIES = {"tie", "tied", "equal", "equally", "same", "both", "neither", "none", "draw"}
_FILLING = {
    "the",
    "is",
    "are",
    "better",
    "best",
    "wins",
    "preferred",
    "prefer",
    "much",
    "slightly",
    "it",
    "a",
    "one",
    *_NOUNS,
}
_WINNERS = ("winner", "label", "preference", "preferred", "choice", "better", "best", "vote", "chosen")
_NUMBER = re.compile(r"[ _.-]*\d{1,3}$")
_OVERALL = re.compile(r"overall|quality|rating|score", re.I)
# A name, or a label in words, of more characters is none that we know.
MAX_NAME_CHARACTERS = 200
_PREFERENCE = re.compile(r"prefer|better|best|compar|rank|overall|pair|chosen|choice|winner", re.I)


@dataclass(frozen=True)
class Answer:
    """One answer to one question about a record."""

    question: str
    value: Any
    model: str = ""  # whose suggestion it is; "": a person's
    confidence: Any = None
    by: str = ""  # which person
    about: str = ""  # the one field that it is about, where the tool says so


def record_of(fields: Mapping[str, Any], answers: Sequence[Answer], name: Any, order: Sequence[str] = ()) -> Record:
    """The record, `name` its id. Raises BadRecord where a field or question is not plain.

    `order`: names of the fields that hold the responses, where the tool says so. People's answers become annotations and
    for two responses the majority, models' become verdicts; one that told nothing, where none told more, is `silent`.
    """
    cells = Cells(fields)
    names = tuple(order) or response_fields(fields)
    prompt = _prompt(fields, names)
    understood = [(answer, said) for answer in answers if (said := compared(answer, names))]
    asked = _one_question([answer.question for answer, _ in understood])
    used = [(answer, said) for answer, said in understood if answer.question == asked]
    if not understood:
        used = rated(answers, names)
    people = [label for answer, said in used if not answer.model for label in said]
    models = [(answer, said) for answer, said in used if answer.model]
    silent = next((answer for answer in answers if not answer.model), None) if not people else None
    return Record(
        responses=[_text(cells[name]) for name in names],
        prompt=cells[prompt],
        id=name,
        system=next((cells[key] for key in ("system", "system_prompt") if isinstance(fields.get(key), str)), None),
        may_be_empty=bool(people or models),
        majority=majority(label["choice"] for label in people) if people and len(names) == 2 else None,
        annotations=people or None,
        verdicts={answer.model: _with_confidence(said, answer.confidence) for answer, said in models} or None,
        silent=f"{silent.question[:60]}: {str(silent.value)[:60]}" if silent else "",
        not_used=(*cells.not_used, *_unused_questions(answers, names, asked) * bool(people or models)),
    )


def _unused_questions(answers: Sequence[Answer], names: Sequence[str], asked: str) -> tuple[str, ...]:
    """The questions whose answers say nothing here: others than the preference, or where none is, than the ratings."""
    used = {asked} if asked else {answer.question for answer in answers if rated_field(answer, names)[0] is not None}
    return tuple(sorted({answer.question for answer in answers} - used))


def guess(fields: Mapping[str, Any]) -> str:
    """What `--columns` could be for a row with these fields, as far as their names tell; "" where they do not."""
    try:
        first, second, *_ = response_fields(fields)
        said = {"prompt": _prompt(fields, (first, second)), "first": first, "second": second}
    except BadRecord:
        return ""
    winner = next((name for name in fields if name.lower() in _WINNERS and name not in said.values()), "")
    said |= {"winner": winner} if winner else {}
    plain = all(name.isprintable() and len(name) <= 60 and "," not in name for name in said.values())
    return ",".join(f"{role}={name}" for role, name in said.items()) if plain else ""


def rated(answers: Sequence[Answer], names: Sequence[str]) -> list[tuple[Answer, list[dict[str, Any]]]]:
    """The pairwise labels that ratings mean: those that one person, or one model, gave to the responses one by one.

    Raises BadRecord where they were rated in several ways, and none of these is the overall one.
    """
    given: dict[tuple[str, str, str], dict[int, float]] = {}
    for answer in answers:
        at, aspect = rated_field(answer, names)
        if at is not None and (number := number_of(answer.value)) is not None:
            given.setdefault((aspect, answer.model, answer.by), {})[at] = number
    labels = {key: said for key, ratings in given.items() if (said := ratings_compared(ratings))}
    aspects = sorted({aspect for aspect, _, _ in labels})
    if len(aspects) > 1:
        aspects = [aspect for aspect in aspects if _OVERALL.search(aspect)] or aspects
    if len(aspects) > 1:
        raise BadRecord("several questions", f"which rating is the preference? {', '.join(map(repr, aspects[:5]))}")
    return [
        (Answer(aspect, None, model, by=by), said)
        for (aspect, model, by), said in labels.items()
        if aspect == aspects[0]
    ]


def rated_field(answer: Answer, names: Sequence[str]) -> tuple[int | None, str]:
    """Which response a rating is about, and what it asks: `generation-1-rating` is about `generation-1`, `r2` the second."""
    if answer.about in names:
        return names.index(answer.about), _NUMBER.sub("", answer.question)
    inside = [at for at, name in enumerate(names) if name.lower() in answer.question.lower()]
    if len(inside) == 1:
        return inside[0], answer.question.lower().replace(names[inside[0]].lower(), "")
    numbers = {_number(found): at for at, name in enumerate(names) if (found := _numbered(name))}
    found = _numbered(answer.question)
    return (numbers.get(_number(found)), found[1].lower()) if found else (None, "")


def _numbered(name: str) -> re.Match[str] | None:
    return _NUMBERED.fullmatch(name) if len(name) <= MAX_NAME_CHARACTERS else None


def response_fields(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the fields that hold the responses, in their order; raises BadRecord where that is not plain."""
    stems: dict[str, dict[int, str]] = {}
    for name in fields:
        if (found := _numbered(name)) and _is_response(fields.get(name)):
            stems.setdefault(found[1].lower(), {})[_number(found)] = name
    groups = {stem: held for stem, held in stems.items() if len(held) > 1}
    if len(groups) > 1:
        groups = {stem: held for stem, held in groups.items() if any(noun in stem for noun in _NOUNS)} or groups
    if len(groups) == 1:
        return tuple(name for _, name in sorted(next(iter(groups.values())).items()))
    lowered = {name.lower(): name for name in fields}
    named = [pair for pair in _NAMED_PAIRS if all(side in lowered for side in pair)]
    if not groups and len(named) == 1:
        return tuple(lowered[side] for side in named[0])
    raise BadRecord(
        "missing response",
        f"which fields hold the responses? `response_1` and `response_2` are expected; found: {listed(fields)}",
    )


def listed(names: Iterable[str]) -> str:
    """The first names of columns, for a message."""
    shown = [repr(name if len(name) <= 60 else name[:57] + "…") for name in sorted(names)]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12:,} more" if len(shown) > 12 else "") if shown else "none"


def compared(answer: Answer, names: Sequence[str]) -> list[dict[str, Any]]:
    """The pairwise labels that an answer means, in the form of a record's annotations; none where it says nothing of the kind."""
    if isinstance(answer.value, list):
        ranks = _ranks(answer.value, names)
        pairs = combinations(sorted(ranks), 2)
        return [_label(i, j, "tie" if ranks[i] == ranks[j] else i if ranks[i] < ranks[j] else j) for i, j in pairs]
    best = index_of(answer.value, names, bool(_PREFERENCE.search(answer.question)))
    if best is None:
        return []
    if best == "tie":
        return [_label(i, j, "tie") for i, j in combinations(range(len(names)), 2)]
    return [_label(min(best, other), max(best, other), best) for other in range(len(names)) if other != best]


def index_of(label: object, names: Sequence[str], may_be_short: bool) -> Any:
    """Which of the named responses a label in words means, "tie", or None: it means something else.

    `may_be_short`: a bare number or letter counts too; of a question that does not ask for a preference it would be a
    grade.
    """
    if not isinstance(label, str) or len(label) > MAX_NAME_CHARACTERS:
        return None
    plain = [_words(name) for name in names]
    said = _words(label)
    if said in plain:
        return plain.index(said)
    told = set(said.split())
    if told & _TIES and told <= _TIES | _FILLING | {"good", "bad", "about", "equally", "of", "them"}:
        return "tie"
    numbers = [found and str(found[2] or found[3] or found[4]).lower() for found in map(_numbered, names)]
    words = said.split()
    if len(words) == 1 and not may_be_short and words[0] not in _SIDES:
        return None
    # `a` is a name here and an article elsewhere: it is taken away only where something else remains.
    left = [word for word in words if word not in _FILLING] or [word for word in words if word == "a"]
    if len(left) != 1:
        return None
    if left[0] in numbers:
        return numbers.index(left[0])
    at = _SIDES.get(left[0], ord(left[0]) - ord("a") if len(left[0]) == 1 and left[0].isalpha() else -1)
    return at if 0 <= at < len(names) else None


def _prompt(fields: Mapping[str, Any], responses: Sequence[str]) -> str:
    others = [
        name for name in fields if name not in responses and isinstance(held := fields.get(name), str | list) and held
    ]
    known = [name for wish in PROMPTS for name in others if name.lower() == wish]
    if known or len(others) == 1:
        return (known or others)[0]
    raise BadRecord(
        "missing prompt",
        f"which field is the prompt? `{'`, `'.join(PROMPTS[:4])}` are expected; found: {listed(others)}",
    )


def _one_question(questions: Sequence[str]) -> str:
    """The question that asks for a preference; several such cannot be told apart."""
    asked = sorted(set(questions))
    if len(asked) > 1:
        asked = [question for question in asked if _PREFERENCE.search(question)] or asked
    if len(asked) > 1:
        raise BadRecord("several questions", f"which question is the preference? {', '.join(map(repr, asked[:5]))}")
    return asked[0] if asked else ""


def _ranks(value: Sequence[Any], names: Sequence[str]) -> dict[int, int]:
    """Index of a response → its rank, 1 the best: of `[{"value", "rank"}]`, or of names in their order."""
    ranks = {}
    for at, held in enumerate(value, start=1):
        name, rank = (held.get("value"), held.get("rank", at)) if isinstance(held, dict) else (held, at)
        index = index_of(name, names, may_be_short=True)
        if type(index) is int and type(rank) is int:
            ranks[index] = rank
    return ranks if len(value) > 1 else {}


def _with_confidence(said: Sequence[dict[str, Any]], confidence: Any) -> list[dict[str, Any]]:
    known = isinstance(confidence, float) and 0 < confidence <= 1
    return [{**label, "confidence": confidence} if known else label for label in said]


def _is_response(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict))


def _text(value: Any) -> Any:
    """A response as text; a chat of one message is its content, whatever its role is called."""
    return (
        value[0].get("content", value[0].get("value"))
        if isinstance(value, list) and value and isinstance(value[0], dict)
        else value
    )


def _number(found: re.Match[str]) -> int:
    if found[2]:
        return int(found[2])
    side = str(found[3] or found[4]).lower()
    return _SIDES.get(side, ord(side[0]) - ord("a"))


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+|\d+", text.lower()))
