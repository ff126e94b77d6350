"""What a run asks of the trainer of language models, as that takes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from concord.kit.errors import InvalidInput

# Torch takes no larger seed.
MOST_SEED = 2**31 - 1


def located(model: str) -> str:
    """A folder by its whole path, since trainers run in a folder of their own; a name on the hub as it stands."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def seed_of(seed: int) -> int:
    """The run's seed as one that the trainer takes."""
    return seed % MOST_SEED


def knobs_of(text: str, setting: str) -> Mapping[str, Any]:
    """`knob=value,knob=value` as a mapping; raises InvalidInput that names the setting and what is none."""
    found: dict[str, Any] = {}
    for said in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = said.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{setting}: {said!r}: knob=value is expected, such as lora_rank=8")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InvalidInput(f"{setting}: {said!r}: the value is neither a number nor a plain text") from None
    return found
