"""A spec: the knobs of one training, from a YAML or JSON file and `knob=value` of the command line.

Knobs are a frozen dataclass whose fields are texts, whole numbers, numbers or switches; a field without a default must be
given. What cannot be is refused in words that name the file, the knob and what to do.
"""

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from concord.kit.errors import InvalidInput

Knobs = TypeVar("Knobs")
# Lowest and highest value of a knob, both allowed.
Ranges = Mapping[str, tuple[float, float]]
Choices = Mapping[str, tuple[str, ...]]
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def read(path: str, more: Sequence[str], kind: type[Knobs], ranges: Ranges, choices: Choices) -> Knobs:
    """The knobs that the file says, those of `more` (`knob=value`) in their place."""
    values: dict[str, Any] = {}
    for name, value in _loaded(path).items():
        values[name] = _value(kind, name, value, path)
    for said in more:
        name, equals, text = said.partition("=")
        if not equals:
            raise InvalidInput(f"{said!r}: knob=value is expected, such as seed=1")
        values[name] = _value(kind, name, _yaml(text, said), said)
    return checked(values, path, kind, ranges, choices)


def checked(values: Mapping[str, Any], where: str, kind: type[Knobs], ranges: Ranges, choices: Choices) -> Knobs:
    """The knobs of these values; InvalidInput for one that is missing or out of range."""
    missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in values]  # type: ignore[arg-type]
    if missing:
        raise InvalidInput(f"{where}: {', '.join(missing)} must be given")
    for name, (low, high) in ranges.items():
        # Written so that NaN, which is in no range, is refused as well.
        if name in values and not low <= values[name] <= high:
            raise InvalidInput(f"{where}: {name}: {values[name]} is not in {low:g} to {high:g}")
    for name, names in choices.items():
        if name in values and values[name] not in names:
            raise InvalidInput(f"{where}: {name}: {values[name]!r} is not one of {', '.join(names)}")
    return kind(**values)


def _loaded(path: str) -> Mapping[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read ({error}): a file of YAML or JSON is expected") from None
    held = _yaml(text, path)
    if not isinstance(held, dict):
        raise InvalidInput(f"{path}: a mapping is expected, one `knob: value` a line")
    return held


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"{where} is no YAML: {' '.join(str(error).split())}") from None


def _value(kind: type[Knobs], name: object, value: Any, where: str) -> Any:
    """The value as the knob's type has it."""
    kinds = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    if name not in kinds:
        near = difflib.get_close_matches(str(name), kinds, 1)
        said = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(kinds)}"
        raise InvalidInput(f"{where}: there is no knob {name!r}{said}")
    wanted: Any = kinds[str(name)]
    # YAML takes 1e-4 for a text.
    if wanted is float and isinstance(value, int | str) and not isinstance(value, bool):
        with suppress(ValueError):
            value = float(value)
    if type(value) is not wanted:
        raise InvalidInput(f"{where}: {name}: {value!r} is not {_WORDS[wanted]}")
    return value
