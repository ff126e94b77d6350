"""What the knobs of every trainer have in common: their ranges, their names, and what follows from them. Pure."""

from collections.abc import Mapping
from typing import Any, TypeAlias

LABELS = ("soft", "weighted", "hard")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "labels": LABELS,
    "too_long": ("cut", "leave_out"),
    "precision": ("auto", "float32", "bfloat16"),
}
RANGES: Mapping[str, tuple[float, float]] = {
    "validation": (0, 0.5),
    "validation_most": (0, 1e9),
    "people_weight": (0, 1_000),
    "max_length": (8, 1e6),
    "lora_rank": (0, 4_096),
    "lora_alpha": (1, 65_536),
    "epochs": (0.001, 1_000),
    "max_steps": (0, 1e9),
    "learning_rate": (1e-9, 1),
    "warmup": (0, 0.9),
    "batch": (1, 65_536),
    "micro_batch": (1, 65_536),
    "evaluations": (1, 10_000),
    "checkpoint_s": (0, 1e6),
    "seed": (0, 2**31 - 1),
    "devices": (1, 4_096),
}


# The knobs of any script. Each script has a dataclass of its own, so that all that may be set there stands on one screen; what
# several of them have is called the same.
Run: TypeAlias = Any


def steps_of(knobs: Run, examples: int) -> int:
    """Steps of the optimizer over so many examples."""
    batches = -(-examples // (knobs.micro_batch * knobs.devices))
    an_epoch = max(-(-batches // accumulation(knobs)), 1)
    return knobs.max_steps or max(round(knobs.epochs * an_epoch), 1)


def accumulation(knobs: Run) -> int:
    """Micro-batches of one step: `batch` is over all devices."""
    return max(knobs.batch // (knobs.micro_batch * knobs.devices), 1)


def evaluate_every(knobs: Run, steps: int) -> int:
    """Steps from one validation to the next."""
    return max(-(-steps // knobs.evaluations), 1)
