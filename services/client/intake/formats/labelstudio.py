"""Label Studio's JSON export: one task each. PURE.

`{"id", "data": {…}, "annotations": [{"was_cancelled", "result": [{"type", "from_name", "to_name", "value"}]}],
"predictions": [{"model_version", "result": […]}]}`, with results of the type `pairwise` (`{"selected": "left"}`) or
`choices` (`{"choices": ["…"]}`). The labelling configuration, which knows what is on the left, is not in the export: the
names in `to_name` are fields of `data`, or the names of these decide.
"""

from collections.abc import Sequence
from typing import Any

from concord.client.intake.formats.canonical import Record
from concord.client.intake.formats.fields import Answer, record_of
from concord.preference.pairs import BadRecord

FORM = "Label Studio tasks"
_VALUES = {"pairwise": "selected", "choices": "choices"}


def is_record(record: Record) -> bool:
    """Whether a decoded record is a task of Label Studio."""
    return isinstance(record.get("data"), dict) and any(
        isinstance(record.get(key), list) for key in ("annotations", "predictions", "completions")
    )


def converted(record: Record) -> tuple[Record, str]:
    """The record in Concord's form, and an answer that says nothing of a preference (see fields). Raises BadRecord."""
    annotations = _objects(record, "annotations") or _objects(record, "completions")
    told = [
        result for annotation in annotations if not annotation.get("was_cancelled") for result in _results(annotation)
    ]
    answers = [Answer(str(result.get("from_name")), value) for result in told if (value := _value(result)) is not None]
    for prediction in _objects(record, "predictions"):
        model = str(prediction.get("model_version") or "prediction")
        guessed = [(result, value) for result in _results(prediction) if (value := _value(result)) is not None]
        answers += [Answer(str(result.get("from_name")), value, model) for result, value in guessed]
    made, silent = record_of(record["data"], answers, _order(told, record["data"]))
    return ({**made, "id": record["id"]} if record.get("id") is not None else made), silent


def _order(results: Sequence[dict[str, Any]], data: dict[str, Any]) -> tuple[str, ...]:
    """The two fields that a pairwise result compares, the left one first, where they are called as their data are."""
    for result in results:
        names = [name.strip() for name in str(result.get("to_name") or "").split(",")]
        if (
            result.get("type") == "pairwise"
            and len(set(names)) == 2
            and all(isinstance(data.get(name), str) for name in names)
        ):
            return tuple(names)
    return ()


def _value(result: dict[str, Any]) -> object:
    """What was chosen; None for a result of another type, such as a comment."""
    key, value = _VALUES.get(str(result.get("type"))), result.get("value")
    chosen = value.get(key) if key and isinstance(value, dict) else None
    if isinstance(chosen, list):
        return chosen[0] if len(chosen) == 1 else None
    return chosen


def _results(held: dict[str, Any]) -> list[dict[str, Any]]:
    return _objects(held, "result")


def _objects(held: dict[str, Any] | Record, key: str) -> list[dict[str, Any]]:
    listed = held.get(key) or []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise BadRecord("broken label", f"`{key}` is not a list of objects")
    return listed
