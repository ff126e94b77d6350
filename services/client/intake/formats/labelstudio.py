"""Label Studio's JSON export: one task each. PURE.

`{"id", "data": {…}, "annotations": [{"was_cancelled", "result": [{"type", "from_name", "to_name", "value"}]}],
"predictions": [{"model_version", "result": […]}]}`, with results of the type `pairwise` (`{"selected": "left"}`) or
`choices` (`{"choices": ["…"]}`). The labelling configuration, which knows what is on the left, is not in the export: the
names in `to_name` are fields of `data`, or the names of these decide.
"""

from collections.abc import Sequence
from typing import Any

from concord.client.intake.formats.fields import Answer, record_of
from concord.client.intake.formats.record import Decoded, Record
from concord.preference.pairs import BadRecord

_VALUES = {"pairwise": "selected", "choices": "choices"}


def recognises(row: Decoded) -> bool:
    """Whether a decoded row is a task of Label Studio."""
    return isinstance(row.get("data"), dict) and any(
        isinstance(row.get(key), list) for key in ("annotations", "predictions", "completions")
    )


def read(row: Decoded) -> Record:
    """The record of a task. Raises BadRecord."""
    annotations = _objects(row, "annotations") or _objects(row, "completions")
    told = [
        result for annotation in annotations if not annotation.get("was_cancelled") for result in _results(annotation)
    ]
    answers = [Answer(str(result.get("from_name")), value) for result in told if (value := _value(result)) is not None]
    for prediction in _objects(row, "predictions"):
        model = str(prediction.get("model_version") or "prediction")
        guessed = [(result, value) for result in _results(prediction) if (value := _value(result)) is not None]
        answers += [Answer(str(result.get("from_name")), value, model) for result, value in guessed]
    return record_of(row["data"], answers, row.get("id"), _order(told, row["data"]))


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


def _results(held: Decoded) -> list[dict[str, Any]]:
    return _objects(held, "result")


def _objects(held: Decoded, key: str) -> list[dict[str, Any]]:
    listed = held.get(key) or []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise BadRecord("broken label", f"`{key}` is not a list of objects")
    return listed
