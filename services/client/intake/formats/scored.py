"""Several responses to one prompt with a number each: SHP, Nectar, UltraFeedback, distilabel. PURE.

| form | keys | whose numbers |
| --- | --- | --- |
| SHP | `history`, `human_ref_A`, `human_ref_B`, `labels` (1: A), `score_A`, `score_B` | people's votes |
| Nectar | `prompt`, `answers`: `{"answer", "model", "rank"}` | a judge's, `recorded:rank` |
| UltraFeedback | `instruction`, `completions`: `{"response", "model", "overall_score"}` | a judge's, `recorded:overall_score` |
| distilabel | `instruction`, `generations`, `ratings`, perhaps `generation_models` | a judge's, `recorded:ratings` |
"""

from collections.abc import Mapping
from typing import Any

from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.ratings import compared, number_of
from concord.client.intake.transcripts import is_transcript, opening_of
from concord.preference.pairs import BadRecord

_MODELS = ("generation_models", "model_names", "generation_model")
_RATINGS = ("ratings", "rating", "scores")
_SCORES = ("overall_score", "fine-grained_score", "score", "rating")


def is_shp(row: Decoded) -> bool:
    """Whether the row is one of the Stanford Human Preferences."""
    return "human_ref_A" in row and "human_ref_B" in row


def read_shp(row: Decoded) -> Record:
    """The record of a row of SHP. Raises BadRecord."""
    said = row.get("labels")
    number = number_of(said)
    if said is not None and number not in (0, 1):
        raise BadRecord("broken label", f"`labels` is {str(said)[:40]!r}, not 1 (A is better) or 0")
    best = None if number is None else 1 - int(number)
    domain = row.get("domain")
    return Record(
        responses=[row["human_ref_A"], row["human_ref_B"]],
        prompt=row.get("history"),
        domain=domain.rpartition("_")[0] or domain if isinstance(domain, str) else domain,
        majority=best,
        annotations=None if best is None else [{"choice": best}],
    )


def is_nectar(row: Decoded) -> bool:
    """Whether ranked answers are listed."""
    return isinstance(row.get("answers"), list) and all(
        isinstance(held, Mapping) and "answer" in held for held in row["answers"]
    )


def read_nectar(row: Decoded) -> Record:
    """The record of a row of Nectar. Raises BadRecord."""
    prompt, held = row.get("prompt"), row["answers"]
    labels = compared([one.get("rank") for one in held], low_is_best=True)
    return Record(
        responses=[{"text": one.get("answer"), "model": one.get("model")} for one in held],
        prompt=opening_of(prompt) if isinstance(prompt, str) and is_transcript(prompt) else prompt,
        source=None,
        may_be_empty=True,
        verdicts={"rank": labels} if labels else None,
    )


def is_ultrafeedback(row: Decoded) -> bool:
    """Whether completions are listed, each with its response."""
    listed = row.get("completions")
    return (
        isinstance(listed, list)
        and bool(listed)
        and all(isinstance(one, Mapping) and "response" in one for one in listed)
    )


def read_ultrafeedback(row: Decoded) -> Record:
    """The record of a row of UltraFeedback as it was rated. Raises BadRecord."""
    held = row["completions"]
    score = next((key for key in _SCORES if sum(number_of(one.get(key)) is not None for one in held) > 1), _SCORES[0])
    labels = compared([one.get(score) for one in held])
    return Record(
        responses=[{"text": one.get("response"), "model": one.get("model")} for one in held],
        prompt=row["instruction"] if "instruction" in row else row.get("prompt"),
        source=row.get("source"),
        may_be_empty=True,
        verdicts={score: labels} if labels else None,
    )


def is_distilabel(row: Decoded) -> bool:
    """Whether generations are listed."""
    return isinstance(row.get("generations"), list) and not ("chosen" in row and "rejected" in row)


def read_distilabel(row: Decoded) -> Record:
    """The record of a row of distilabel's. Raises BadRecord."""
    texts = row["generations"]
    rated = next((key for key in _RATINGS if isinstance(row.get(key), list)), "")
    ratings = row[rated] if rated else []
    if ratings and len(ratings) != len(texts):
        raise BadRecord("broken label", f"{len(texts)} generations, but {len(ratings)} `{rated}`")
    models: list[Any] = next((row[key] for key in _MODELS if isinstance(row.get(key), list)), [])
    named = models if len(models) == len(texts) else [None] * len(texts)
    labels = compared(ratings)
    return Record(
        responses=[_generation(text, model) for text, model in zip(texts, named, strict=True)],
        prompt=next((row[key] for key in ("instruction", "prompt", "input") if row.get(key) is not None), None),
        id=row.get("id"),
        system=row.get("system_prompt") if row.get("system_prompt") is not None else row.get("system"),
        may_be_empty=True,
        verdicts={rated: labels} if labels else None,
    )


def _generation(text: Any, model: Any) -> Any:
    return {"turns": text, "model": model} if isinstance(text, list) else {"text": text, "model": model}
