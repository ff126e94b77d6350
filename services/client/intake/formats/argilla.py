"""Argilla's records: version 2, and version 1's feedback records. PURE.

Nested, as version 2 writes them with `dataset.records.to_json` and `to_list`:
`{"id", "fields": {…}, "responses": {question: [{"value", "user_id"}]}, "suggestions": {question: {"value", "score",
"agent"}}}`; version 1 has `"responses": [{"user_id", "status", "values": {question: {"value"}}}]` and `"suggestions":
[{"question_name", "value", "agent"}]`. Flat, as `to_datasets` and the hub hold them: the fields beside
`<question>.responses`, `<question>.responses.status`, `<question>.suggestion`, `<question>.suggestion.agent`; in version 1
beside `<question>`, a list of `{"user_id", "value", "status"}`, and `<question>-suggestion`.
"""

from collections.abc import Mapping
from typing import Any

from concord.client.intake.formats.fields import Answer, record_of
from concord.client.intake.formats.record import Decoded, Record
from concord.preference.pairs import BadRecord

_NOT_FIELDS = ("id", "_server_id", "status", "inserted_at", "updated_at", "metadata", "vectors", "score", "external_id")
# What a person began or threw away is no answer.
_COUNTS = ("submitted", None)


def recognises(row: Decoded) -> bool:
    """Whether a decoded row is one of Argilla's records."""
    nested = isinstance(row.get("fields"), Mapping) and ("responses" in row or "suggestions" in row)
    return nested or any(isinstance(key, str) and key.endswith((".responses", ".suggestion")) for key in row)


def recognises_first(row: Decoded) -> bool:
    """Whether a decoded row is one of version 1's, as the hub holds them."""
    return any(f"{key}-suggestion" in row for key in row) or (
        "external_id" in row and any(_is_question(row.get(key)) for key in row)
    )


def read(row: Decoded) -> Record:
    """The record of one of Argilla's. Raises BadRecord."""
    name = row.get("id") or row.get("_server_id")
    if isinstance(row.get("fields"), Mapping):
        return record_of(_texts_alone(row["fields"]), _nested_answers(row), name)
    fields = {key: row.get(key) for key in row if key not in _NOT_FIELDS and "." not in key}
    return record_of(fields, _flat_answers(row), name)


def read_first(row: Decoded) -> Record:
    """The record of one of version 1's on the hub. Raises BadRecord."""
    answers, fields = [], {}
    for key in row:
        if key in _NOT_FIELDS or key.endswith("-suggestion-metadata"):
            continue
        if key.endswith("-suggestion"):
            about = row.get(key + "-metadata")
            told = about if isinstance(about, Mapping) else {}
            answers += _suggested(key.removesuffix("-suggestion"), row[key], told.get("agent"), told.get("score"))
        elif f"{key}-suggestion" in row or _is_question(row.get(key)):
            answers += [answer for held in _rows_of(row[key]) for answer in _given(key, held)]
        else:
            fields[key] = row[key]
    return record_of(fields, answers, row.get("external_id") or row.get("id"))


def _nested_answers(row: Decoded) -> list[Answer]:
    answers = []
    for question, held in _told(row.get("responses"), "responses"):
        if not isinstance(held, Mapping):
            raise BadRecord("broken label", f"the responses to {question[:40]!r} are not objects with a `value`")
        answers += _given(question, held)
    for question, held in _told(row.get("suggestions"), "suggestions"):
        if isinstance(held, Mapping):
            answers += _suggested(question, held.get("value"), held.get("agent"), held.get("score"))
    return answers


def _told(given: Any, what: str) -> list[tuple[str, Any]]:
    """(question, what was said) of either version's form."""
    if given in (None, "", [], {}):
        return []
    if isinstance(given, Mapping):
        return [(str(key), one) for key, held in given.items() for one in (held if isinstance(held, list) else [held])]
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        raise BadRecord("broken label", f"`{what}` is not an object of questions")
    told = []
    for one in given:
        values = one.get("values")
        said = values.items() if isinstance(values, Mapping) else [(one.get("question_name", one.get("question")), one)]
        rest = {"user_id": one.get("user_id"), "status": one.get("status")}
        told += [(str(question), {**rest, **value}) for question, value in said if isinstance(value, Mapping)]
    return told


def _flat_answers(row: Decoded) -> list[Answer]:
    answers: list[Answer] = []
    for key in row:
        if key.endswith(".responses") and isinstance(row.get(key), list):
            answers += _columns(
                key.removesuffix(".responses"), row[key], row.get(key + ".status"), row.get(key + ".users")
            )
        elif key.endswith(".suggestion"):
            answers += _suggested(
                key.removesuffix(".suggestion"), row[key], row.get(key + ".agent"), row.get(key + ".score")
            )
    return answers


def _columns(question: str, values: list[Any], statuses: Any, users: Any) -> list[Answer]:
    def beside(given: Any, what: str) -> list[Any]:
        if given in (None, []):
            return [None] * len(values)
        if not isinstance(given, list) or len(given) != len(values):
            raise BadRecord("broken label", f"the {what} of {question[:40]!r} are not a list as long as its responses")
        return given

    told = zip(values, beside(statuses, "states"), beside(users, "users"), strict=True)
    held = [{"value": value, "status": status, "user_id": user} for value, status, user in told]
    return [answer for one in held for answer in _given(question, one)]


def _given(question: str, held: Mapping[str, Any]) -> list[Answer]:
    """What one person answered, where it counts."""
    value, status = _value(held.get("value")), held.get("status")
    if value is None or (status is not None and status not in _COUNTS):
        return []
    return [Answer(question, value, by=str(held.get("user_id"))[:200])]


def _suggested(question: str, value: Any, agent: Any, score: Any) -> list[Answer]:
    """What a model suggested, where it did."""
    if value is None:
        return []
    if agent is not None and not isinstance(agent, str):
        raise BadRecord(
            "broken label", f"the agent that suggested {question[:40]!r} is {str(agent)[:40]!r}, not a text"
        )
    return [Answer(question, _value(value), agent or "suggestion", score)]


def _value(value: Any) -> Any:
    """A ranking may be one object of lists, as Parquet has it."""
    if isinstance(value, Mapping) and isinstance(value.get("value"), list) and isinstance(value.get("rank"), list):
        return [{"value": one, "rank": rank} for one, rank in zip(value["value"], value["rank"], strict=False)]
    return value


def _is_question(value: Any) -> bool:
    rows = _rows_of(value)
    return bool(rows) and all("value" in held and ("user_id" in held or "status" in held) for held in rows)


def _rows_of(value: Any) -> list[Mapping[str, Any]]:
    """Objects of an answer each, from a list of them or from one object of lists."""
    if isinstance(value, Mapping) and value and all(isinstance(held, list) for held in value.values()):
        longest = max(len(held) for held in value.values())
        return [{key: held[at] for key, held in value.items() if at < len(held)} for at in range(longest)]
    return [held for held in value if isinstance(held, Mapping)] if isinstance(value, list) else []


def _texts_alone(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): held for key, held in fields.items()}
