"""What a row brings to check its answers against, as the message that travels with the pair. Pure.

| field of a row | |
| --- | --- |
| `reference` | the right answer, a text or a number; a list: its items are the answer, all of them |
| `answers` | alternatives: an answer that gives any of them is right |
| `choices` | what is offered to choose from, in order; a mapping of letters works too |
| `constraints` | demands on the form: `{"name": "punctuation:no_comma"}`, by the names of `checks/constraints.py` |
| `schema` | a JSON schema that the answer must fit |
| `reference_kind` | which kind of check, where the form of the answer does not tell |

What cannot be used says nothing: columns of these names are common, and hold other things as well.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from concord.v1 import pairs_pb2 as pb

MOST_ANSWERS, MOST_CHOICES, MOST_CONSTRAINTS = 200, 26, 50
# Characters. A longer answer is a text to compare with, and no rule does that.
MOST_ANSWER, MOST_SCHEMA = 2_000, 20_000
MOST_KIND = 100


def reference_of(reference: Any, known: Mapping[str, Any]) -> pb.Reference | None:
    """The message; None where the row brings nothing to check against.

    `reference` is the field of that name, `known` holds the others by their names.
    """
    is_list = isinstance(reference, Sequence) and not isinstance(reference, str)
    answers = _texts([*_listed(known.get("answers")), *(_listed(reference) if is_list else [reference])])
    kind = known.get("reference_kind")
    schema = known.get("schema")
    made = pb.Reference(
        answers=answers if len(answers) <= MOST_ANSWERS else (),
        choices=_choices(known.get("choices")),
        constraints=_constraints(known.get("constraints")),
        schema=_json(schema, MOST_SCHEMA) if isinstance(schema, Mapping) else "",
        ordered=known.get("ordered") is True,
        kind=kind[:MOST_KIND] if isinstance(kind, str) else "list" if is_list and answers else "",
    )
    return made if made.answers or made.constraints or made.schema else None


def _listed(value: Any) -> list[Any]:
    """A list's items, also where it stands below `text` or `aliases`, as question answering data sets have it."""
    if isinstance(value, Mapping):
        return [item for key in ("value", "text", "aliases") for item in _listed(value.get(key))]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return [] if value is None else [value]


def _choices(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        value = value.get("text", [value[letter] for letter in sorted(value, key=str)])
    held = _listed(value)
    texts = [_text(item) for item in held]
    # One that cannot be used would shift the letters of those behind it.
    return texts if 2 <= len(texts) <= MOST_CHOICES and all(texts) else []


def _constraints(value: Any) -> list[pb.Constraint]:
    held = [value] if isinstance(value, Mapping) else _listed(value)
    made = [_constraint(one) for one in held]
    # An answer is right where it keeps all demands: some alone would call a wrong one right.
    return [one for one in made if one] if all(made) and len(made) <= MOST_CONSTRAINTS else []


def _constraint(said: Any) -> pb.Constraint | None:
    if isinstance(said, str):
        said = {"name": said}
    if not isinstance(said, Mapping) or not isinstance(said.get("name"), str):
        return None
    settings = {key: value for key, value in said.items() if key != "name" and value is not None}
    text = _json(settings, MOST_ANSWER) if settings else ""
    return None if settings and not text else pb.Constraint(name=said["name"][:MOST_KIND], settings=text)


def _texts(values: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(text for value in values if (text := _text(value))))


def _text(value: Any) -> str:
    """A short text or a number as a text; else the empty one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Python refuses to write a number of thousands of digits out.
        value = str(value) if abs(value) < 10**MOST_KIND else ""
    if not isinstance(value, str) or len(value) > MOST_ANSWER:
        return ""
    # Half a surrogate pair, which JSON may hold and a message may not.
    return value.strip().encode(errors="ignore").decode()


def _json(value: Mapping[str, Any], most: int) -> str:
    try:
        text = json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return ""
    return text if len(text) <= most else ""
