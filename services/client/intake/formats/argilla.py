"""Argilla's exports (version 2): one record each. PURE.

Nested, as `dataset.records.to_json` and `to_list` write them:
`{"id", "fields": {…}, "responses": {question: [{"value", "user_id"}]}, "suggestions": {question: {"value", "score",
"agent"}}}`. Flat, as `to_datasets` and the hub hold them: the fields beside `<question>.responses`,
`<question>.responses.status`, `<question>.suggestion`, `<question>.suggestion.agent`.
"""

from typing import Any

from concord.client.intake.formats.fields import Answer, record_of
from concord.client.intake.formats.record import Decoded, Record
from concord.preference.pairs import BadRecord

_NOT_FIELDS = ("id", "_server_id", "status", "inserted_at", "updated_at", "metadata", "vectors", "score")
# What a person began or threw away is no answer.
_COUNTS = ("submitted", None)


def recognises(row: Decoded) -> bool:
    """Whether a decoded row is one of Argilla's records."""
    nested = isinstance(row.get("fields"), dict) and ("responses" in row or "suggestions" in row)
    return nested or any(isinstance(key, str) and key.endswith((".responses", ".suggestion")) for key in row)


def read(row: Decoded) -> Record:
    """The record of one of Argilla's. Raises BadRecord."""
    nested = isinstance(row.get("fields"), dict)
    fields = row["fields"] if nested else _flat_fields(row)
    answers = _nested_answers(row) if nested else _flat_answers(row)
    return record_of(fields, answers, row.get("id") or row.get("_server_id"))


def _nested_answers(row: Decoded) -> list[Answer]:
    answers = []
    for question, given in _mapping(row, "responses").items():
        for held in given if isinstance(given, list) else []:
            if not isinstance(held, dict):
                raise BadRecord("broken label", f"the responses to {question[:40]!r} are not objects with a `value`")
            if held.get("value") is not None and held.get("status") in _COUNTS:
                answers.append(Answer(question, held["value"]))
    for question, held in _mapping(row, "suggestions").items():
        if isinstance(held, dict) and held.get("value") is not None:
            answers.append(Answer(question, held["value"], held.get("agent") or "suggestion", held.get("score")))
    return answers


def _flat_answers(row: Decoded) -> list[Answer]:
    answers = []
    for key, given in row.items():
        if key.endswith(".responses") and isinstance(given, list):
            statuses = row.get(key + ".status") or [None] * len(given)
            told = zip(given, statuses, strict=False)
            answers += [Answer(key.removesuffix(".responses"), value) for value, status in told if status in _COUNTS]
        elif key.endswith(".suggestion") and given is not None:
            agent, score = row.get(key + ".agent") or "suggestion", row.get(key + ".score")
            answers.append(Answer(key.removesuffix(".suggestion"), given, agent, score))
    return [answer for answer in answers if answer.value is not None]


def _flat_fields(row: Decoded) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in _NOT_FIELDS and "." not in key}


def _mapping(row: Decoded, key: str) -> dict[str, Any]:
    given = row.get(key) or {}
    if not isinstance(given, dict):
        raise BadRecord("broken label", f"`{key}` is not an object of questions")
    return given
