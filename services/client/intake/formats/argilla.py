"""Argilla's exports (version 2): one record each. PURE.

Nested, as `dataset.records.to_json` and `to_list` write them:
`{"id", "fields": {…}, "responses": {question: [{"value", "user_id"}]}, "suggestions": {question: {"value", "score",
"agent"}}}`. Flat, as `to_datasets` and the hub hold them: the fields beside `<question>.responses`,
`<question>.responses.status`, `<question>.suggestion`, `<question>.suggestion.agent`.
"""

from typing import Any

from concord.client.intake.formats.canonical import Record
from concord.client.intake.formats.fields import Answer, record_of
from concord.preference.pairs import BadRecord

FORM = "Argilla records"
_NOT_FIELDS = ("id", "_server_id", "status", "inserted_at", "updated_at", "metadata", "vectors", "score")
# What a person began or threw away is no answer.
_COUNTS = ("submitted", None)


def is_record(record: Record) -> bool:
    """Whether a decoded record is one of Argilla's."""
    nested = isinstance(record.get("fields"), dict) and ("responses" in record or "suggestions" in record)
    return nested or any(isinstance(key, str) and key.endswith((".responses", ".suggestion")) for key in record)


def converted(record: Record) -> tuple[Record, str]:
    """The record in Concord's form, and an answer that says nothing of a preference (see fields). Raises BadRecord."""
    nested = isinstance(record.get("fields"), dict)
    fields = record["fields"] if nested else _flat_fields(record)
    made, silent = record_of(fields, _nested_answers(record) if nested else _flat_answers(record))
    given = record.get("id") or record.get("_server_id")
    return ({**made, "id": given} if given is not None else made), silent


def _nested_answers(record: Record) -> list[Answer]:
    answers = []
    for question, given in _mapping(record, "responses").items():
        for held in given if isinstance(given, list) else []:
            if not isinstance(held, dict):
                raise BadRecord("broken label", f"the responses to {question[:40]!r} are not objects with a `value`")
            if held.get("value") is not None and held.get("status") in _COUNTS:
                answers.append(Answer(question, held["value"]))
    for question, held in _mapping(record, "suggestions").items():
        if isinstance(held, dict) and held.get("value") is not None:
            answers.append(Answer(question, held["value"], held.get("agent") or "suggestion", held.get("score")))
    return answers


def _flat_answers(record: Record) -> list[Answer]:
    answers = []
    for key, given in record.items():
        if key.endswith(".responses") and isinstance(given, list):
            statuses = record.get(key + ".status") or [None] * len(given)
            told = zip(given, statuses, strict=False)
            answers += [Answer(key.removesuffix(".responses"), value) for value, status in told if status in _COUNTS]
        elif key.endswith(".suggestion") and given is not None:
            agent, score = record.get(key + ".agent") or "suggestion", record.get(key + ".score")
            answers.append(Answer(key.removesuffix(".suggestion"), given, agent, score))
    return [answer for answer in answers if answer.value is not None]


def _flat_fields(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _NOT_FIELDS and "." not in key}


def _mapping(record: Record, key: str) -> dict[str, Any]:
    given = record.get(key) or {}
    if not isinstance(given, dict):
        raise BadRecord("broken label", f"`{key}` is not an object of questions")
    return given
