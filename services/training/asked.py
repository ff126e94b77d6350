"""What a run asks of the trainer of language models, as that takes it."""

import json
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from concord.kit.errors import InvalidInput
from concord.training import spec
from concord.training.knobs import CHOICES

# Torch takes no larger seed.
MOST_SEED = 2**31 - 1


def located(model: str) -> str:
    """A folder by its whole path, since trainers run in a folder of their own; a name on the hub and a URI as they stand."""
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


def check_knobs(program: str, text: str, setting: str) -> None:
    """Raises InvalidInput, in the program's own words, for knobs that it would refuse."""
    knobs_of(text, setting)
    module = import_module(program)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"model": "", "data": "", "out": ""}, file)
        file.flush()
        said = [part.strip() for part in text.split(",") if part.strip()]
        try:
            spec.read(file.name, said, module.Knobs, module.RANGES, CHOICES)
        except InvalidInput as error:
            raise InvalidInput(f"{setting}: {error}") from None
