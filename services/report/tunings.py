"""The language models that a run trained, as their manifests tell of them. Pure."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from concord.kit.ids import unit_name
from concord.report.history import History
from concord.v1.events_pb2 import Event, ModelManifest

# (step, value) over the training.
Curve = tuple[tuple[int, float], ...]
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Tuning:
    """One training."""

    unit: str
    kind: str
    base: str
    learned: int | None  # pairs
    held_out: int | None
    accuracy: float | None  # of the held-out pairs, by the model that was kept; in [0, 1]
    margin: float | None  # their mean
    loss: Curve
    margins: Curve


def tunings(history: History, read: Callable[[str], bytes]) -> tuple[Tuning, ...]:
    """Every training of a language model in the run, in order; what a manifest does not tell is None or empty."""
    return tuple(_tuning(event, uri, read) for event, _ in history.events for uri in _uris(event))


def _uris(event: Event) -> Iterator[str]:
    found = (event.fold_trained.reward_uri, event.final_trained.reward_uri, event.policy_trained.model_uri)
    yield from filter(None, found)


def _tuning(event: Event, uri: str, read: Callable[[str], bytes]) -> Tuning:
    manifest = ModelManifest.FromString(read(uri))
    told = next((_object(read(file.uri)) for file in manifest.files if file.name == MANIFEST), {})
    pairs, last, curves = (_part(told, name) for name in ("pairs", "validation", "curves"))
    return Tuning(
        unit=unit_name(event.unit),
        kind=manifest.kind,
        base=str(_object(manifest.settings.encode()).get("model", "")),
        learned=_whole(pairs.get("learned")),
        held_out=_whole(pairs.get("held_out")),
        accuracy=_number(last.get("accuracy")),
        margin=_number(last.get("margin")),
        loss=_curve(curves.get("loss"), "loss"),
        margins=_curve(curves.get("validation"), "margin"),
    )


def _object(content: bytes) -> Mapping[str, Any]:
    """What a trainer wrote; other versions and other tools may have written otherwise."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = told.get(name)
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _curve(points: object, name: str) -> Curve:
    rows = [point for point in points if isinstance(point, dict)] if isinstance(points, list) else []
    known = [(_whole(row.get("step")), _number(row.get(name))) for row in rows]
    return tuple((step, value) for step, value in known if step is not None and value is not None)
