"""Label Studio's exports: JSON (one task each), JSON_MIN and CSV (one annotation a row). PURE.

JSON: `{"id", "data": {…}, "annotations": [{"completed_by", "was_cancelled", "result": [{"type", "from_name", "to_name",
"value"}]}], "predictions": [{"model_version", "result": […]}]}`, with results of the type `pairwise` (`{"selected":
"left"}`), `choices` (`{"choices": ["…"]}`), `rating` (`{"rating": 4}`), `number` or `ranker`. The labelling configuration,
which knows what is on the left, is not in the export: the names in `to_name` are fields of `data`, or the names of these
decide. JSON_MIN and CSV hold the data beside `id`, `annotator`, `annotation_id` and what was answered under the name of its
control; several annotations of one task are neighbouring rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from concord.client.intake.chat_text import decoded
from concord.client.intake.formats.fields import Answer, index_of, rated_field, record_of, response_fields
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.ratings import number_of
from concord.preference.pairs import BadRecord

_VALUES = {"pairwise": "selected", "choices": "choices", "rating": "rating", "number": "number", "ranker": "ranker"}
# What JSON_MIN and CSV say of an annotation beside the data and the answers.
_ABOUT = ("annotation_id", "annotator", "created_at", "updated_at", "lead_time")


def recognises(row: Decoded) -> bool:
    """Whether a decoded row is a task of Label Studio."""
    return isinstance(row.get("data"), Mapping) and any(
        isinstance(row.get(key), list) for key in ("annotations", "predictions", "completions")
    )


def read(row: Decoded) -> Record:
    """The record of a task. Raises BadRecord."""
    annotations = _objects(row, "annotations") or _objects(row, "completions")
    counted = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    answers, told = [], []
    for at, annotation in enumerate(counted):
        results = _objects(annotation, "result")
        told += results
        answers += _answers(results, by=f"{at}/{str(annotation.get('completed_by'))[:100]}")
    for prediction in _objects(row, "predictions"):
        answers += _answers(_objects(prediction, "result"), str(prediction.get("model_version") or "prediction"))
    return record_of(row["data"], answers, row.get("id"), _order(told, row["data"]))


def is_annotation(row: Decoded) -> bool:
    """Whether a decoded row is one annotation of JSON_MIN or CSV."""
    return "annotation_id" in row and ("annotator" in row or "lead_time" in row)


def task_key(row: Decoded) -> str | None:
    """What neighbouring rows must share to be annotations of one task."""
    return None if row.get("id") is None else repr(row["id"])[:200]


def read_annotations(row: Decoded) -> Record:
    """The record of gathered rows (`rows`: each one annotation of the same task). Raises BadRecord."""
    rows: list[Mapping[str, Any]] = row["rows"]
    first = {key: held for key, held in rows[0].items() if key not in (*_ABOUT, "id")}
    names = response_fields(first)
    answers, asked = [], set()
    for at, held in enumerate(rows):
        for key in first:
            answer = Answer(key, _word(held.get(key)), by=f"{at}/{str(held.get('annotator'))[:100]}")
            if key not in names and _says(answer, names):
                answers.append(answer)
                asked.add(key)
    return record_of({key: held for key, held in first.items() if key not in asked}, answers, rows[0].get("id"), names)


def _says(answer: Answer, names: Sequence[str]) -> bool:
    """Whether a cell answers something about the responses; a text that compares nothing is data."""
    is_rating = number_of(answer.value) is not None and rated_field(answer, names)[0] is not None
    return is_rating or index_of(answer.value, names, may_be_short=True) is not None


def _word(value: Any) -> Any:
    """What a cell says: one choice may be an object or a list around it."""
    value = decoded(value)
    for _ in range(3):  # such as [{"choices": ["A"]}]
        if isinstance(value, Mapping):
            value = next((value[key] for key in _VALUES.values() if key in value), None)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
    return value


def _answers(results: Sequence[dict[str, Any]], model: str = "", by: str = "") -> list[Answer]:
    told = [(result, value) for result in results if (value := _value(result)) is not None]
    return [
        Answer(str(result.get("from_name")), value, model, by=by, about=str(result.get("to_name")))
        for result, value in told
    ]


def _order(results: Sequence[dict[str, Any]], data: Mapping[str, Any]) -> tuple[str, ...]:
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
    chosen = value.get(key) if key and isinstance(value, Mapping) else None
    if isinstance(chosen, Mapping):  # a ranker: bucket -> items, the best first
        chosen = next((held for held in chosen.values() if isinstance(held, list)), None)
        return chosen
    if isinstance(chosen, list):
        return chosen[0] if len(chosen) == 1 else None
    return chosen


def _objects(held: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    listed = held.get(key) or []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise BadRecord("broken label", f"`{key}` is not a list of objects")
    return listed
