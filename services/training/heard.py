"""What a trainer says on its way, a JSON object a line, as whoever started it takes it in. Pure.

`concord.training.progress` says what there is; what is unknown or no number is passed over.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from concord.v1.training_service_pb2 import TrainingProgress

# What is said of each kind of event: the trainer's name for it, and the field.
STEP = {name: name for name in ("step", "of", "loss", "tokens_a_second", "seconds_left", "mfu")}
FIELDS: Mapping[str, Mapping[str, str]] = {
    "begin": {"steps": "of", "from_step": "step"},
    "step": STEP,
    "validation": {"accuracy": "accuracy", "margin": "margin"},
}
CHECKPOINT = "checkpoint"
EVENTS = (*FIELDS, CHECKPOINT)
_COUNTED = ("step", "of")
_MOST = 2**32 - 1


def said(line: str) -> Mapping[str, Any]:
    """The object of a line; an empty one for a line that is none, such as a library's."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def take_in(progress: TrainingProgress, event: Mapping[str, Any], now: float) -> None:
    """Writes what the event says into the progress; `now` in Unix seconds."""
    progress.heard_at = now
    for name, field in FIELDS.get(str(event.get("event")), {}).items():
        value = event.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            continue
        setattr(progress, field, min(max(int(value), 0), _MOST) if field in _COUNTED else float(value))
