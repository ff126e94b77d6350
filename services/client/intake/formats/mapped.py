"""A table of any other form: which column is what, as its user says with `--columns`. PURE.

`prompt=question,first=a,second=b,winner=label`, or `chosen=…,rejected=…`. A name is a column, or leads into one with dots:
`output.text`, `answers.0`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concord.client.intake.chat_text import decoded
from concord.client.intake.formats import canonical
from concord.client.intake.formats.fields import index_of, listed
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.ratings import compared, number_of
from concord.kit.errors import InvalidInput
from concord.preference.pairs import BadRecord

NAME = "columns named by --columns"
ROLES = {
    "prompt": "the question, a text or a chat",
    "first": "one response",
    "second": "the other response",
    "winner": "which of the two people prefer",
    "chosen": "the better response",
    "rejected": "the worse response",
    "first_rating": "how good the first is, high is good",
    "second_rating": "how good the second is",
    "first_model": "who wrote the first",
    "second_model": "who wrote the second",
    "system": "a text above the prompt",
    "tools": "what may be called",
    "id": "the pair's name",
    "domain": "the kind of text",
    "reference": "a known right answer",
    "answers": "right answers, any of which will do",
    "choices": "what is offered to choose from",
    "constraints": "demands on the form that a rule can verify",
}
MAX_COLUMNS_CHARACTERS = 10_000
_MISSING = object()


@dataclass(frozen=True)
class Columns:
    """Role -> column; checked, see `columns_of`."""

    of: Mapping[str, str]

    @property
    def text(self) -> str:
        """The same mapping always as the same text: it is part of what an input is."""
        return json.dumps(dict(sorted(self.of.items())))

    def recognises(self, row: Decoded) -> bool:
        """Any row: what it lacks is said when it is read."""
        return True

    def read(self, row: Decoded) -> Record:
        """The record of a row. Raises BadRecord."""
        needed = (*_responses(self.of), *(["prompt"] if "prompt" in self.of else []))
        if lacking := [name for role in needed if _at(row, name := self.of[role]) is _MISSING]:
            named = ", ".join(repr(name[:60]) for name in lacking)
            raise BadRecord("missing response", f"no column {named}, which --columns names; its columns: {listed(row)}")
        held = self.held(row)
        rest: dict[str, Any] = {key: held.get(key) for key in ("system", "tools", "id", "domain", "reference")}
        known = {key: held[key] for key in canonical.ALTERNATIVES if key in held}
        if "chosen" in self.of:
            return _ordered(held, rest | known)
        texts = [_response(held, role) for role in ("first", "second")]
        best = _best(held, self.of)
        return Record(
            responses=texts,
            prompt=held.get("prompt"),
            may_be_empty=best is not None,
            majority=best,
            annotations=None if best is None else [{"choice": best}],
            known=known,
            **rest,
        )

    def held(self, row: Decoded) -> dict[str, Any]:
        """What the row has of each role."""
        return {
            role: canonical.chat_in(value)
            for role, name in self.of.items()
            if (value := _at(row, name)) is not _MISSING
        }


def columns_of(said: str | Mapping[str, str], prompts: bool = False) -> Columns:
    """The mapping that a user gave: as `role=column,role=column`, as JSON, or as a mapping; `prompts`: of prompts alone.

    Raises InvalidInput.
    """
    given = _parsed(said) if isinstance(said, str) else said
    if not isinstance(given, Mapping) or not all(
        isinstance(role, str) and isinstance(name, str) and name for role, name in given.items()
    ):
        raise InvalidInput(
            "--columns: names of columns are expected, such as prompt=question,first=a,second=b,winner=label"
        )
    if unknown := [role for role in given if role not in ROLES]:
        raise InvalidInput(f"--columns: {unknown[0][:60]!r} is none of {', '.join(ROLES)}")
    if prompts:
        if "prompt" not in given:
            raise InvalidInput("--columns: name the column of the prompts: prompt=…")
        return Columns(dict(given))
    two, ordered = {"first", "second"} <= set(given), {"chosen", "rejected"} <= set(given)
    if two == ordered:
        raise InvalidInput("--columns: name the columns of both responses: first and second, or chosen and rejected")
    other = ("chosen", "rejected") if two else ("first", "second", "winner", "first_rating", "second_rating")
    if both := [role for role in other if role in given]:
        raise InvalidInput(
            f"--columns: {both[0]} does not go with {'first and second' if two else 'chosen and rejected'}"
        )
    if len({given[role] for role in _responses(given)}) < 2:
        raise InvalidInput("--columns: both responses cannot be the same column")
    return Columns(dict(given))


def _parsed(said: str) -> Any:
    if len(said) > MAX_COLUMNS_CHARACTERS:
        raise InvalidInput(f"--columns: over {MAX_COLUMNS_CHARACTERS:,} characters")
    if said.lstrip().startswith("{"):
        return decoded(said)
    parts = [part.partition("=") for part in said.split(",") if part.strip()]
    given = {role.strip(): name.strip() for role, _, name in parts}
    if len(given) < len(parts):
        raise InvalidInput("--columns: a role is named twice")
    return given


def _responses(of: Mapping[str, str]) -> tuple[str, str]:
    return ("chosen", "rejected") if "chosen" in of else ("first", "second")


def _at(row: Decoded, name: str) -> Any:
    """What stands under a name; _MISSING where there is no such column."""
    if name in row:
        return row[name]
    head, _, rest = name.partition(".")
    held: Any = row.get(head, _MISSING)
    for part in rest.split(".") if rest else ():
        if isinstance(held, Mapping) and part in held:
            held = held[part]
        elif isinstance(held, list) and part.isascii() and part.isdecimal() and len(part) < 6 and int(part) < len(held):
            held = held[int(part)]
        else:
            return _MISSING
    return held if rest else _MISSING


def _ordered(held: Mapping[str, Any], rest: Mapping[str, Any]) -> Record:
    sides = [held.get("chosen"), held.get("rejected")]
    row = {key: value for key, value in rest.items() if value is not None}
    if all(isinstance(side, list) for side in sides):
        return canonical.conversation(row, held.get("prompt"), sides)
    return canonical.ordered(row, held.get("prompt"), sides)


def _response(held: Mapping[str, Any], role: str) -> Any:
    value, model = held.get(role), held.get(f"{role}_model")
    return {"turns": value, "model": model} if isinstance(value, list) else {"text": value, "model": model}


def _best(held: Mapping[str, Any], of: Mapping[str, str]) -> Any:
    """Which response the row calls better; None where it says nothing."""
    if "first_rating" in of and "second_rating" in of and "winner" not in of:
        labels = compared([held.get("first_rating"), held.get("second_rating")])
        return labels[0]["choice"] if labels else None
    value = held.get("winner")
    if value is None or value == "":
        return None
    best = _winner(value, [of["first"], of["second"]], [held.get("first_model"), held.get("second_model")])
    if best is None:
        raise BadRecord(
            "broken label",
            f"{of['winner']!r} is {str(value)[:40]!r}, which is neither response: the name or number of a column, a or b, "
            "first or second, 0 or 1, a model's name and tie are understood",
        )
    return best


def _winner(value: object, names: Sequence[str], models: Sequence[object]) -> Any:
    if isinstance(value, str) and value in models and models[0] != models[1]:
        return models.index(value)
    number = number_of(value)
    if number is not None:
        # Columns called answer_1 and answer_2 say from where they are counted; otherwise from 0, as everywhere here.
        named = index_of(f"{number:.0f}", names, may_be_short=True) if number == int(number) else None
        numbered = any(character.isdecimal() for character in "".join(names))
        return named if numbered else int(number) if number in (0, 1) else None
    plain = value.strip().lower() if isinstance(value, str) else ""
    aliases = {"model_a": 0, "model_b": 1, "tie (bothbad)": "tie", "left": 0, "right": 1}
    return aliases[plain] if plain in aliases else index_of(value, names, may_be_short=True)
