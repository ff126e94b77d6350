"""Pairs that a program holds (dicts, a `datasets.Dataset`, a DataFrame), written as the file that a run reads."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from concord.kit.errors import InvalidInput
from concord.kit.files import whole

# A row nested deeper than this is no row.
_DEEPEST = 50


def path_of(pairs: object, folder: Path) -> str:
    """The path of a file or folder of pairs as it is (None: empty); of anything that gives rows, a JSON Lines file in `folder`.

    The file is named after what it holds, so that the same rows are the same run. Raises InvalidInput.
    """
    if pairs is None or isinstance(pairs, str | Path):
        return str(pairs or "")
    text = "".join(_line(number, row) for number, row in enumerate(_rows(pairs), start=1))
    if not text:
        raise InvalidInput("pairs: there are no rows")
    path = folder / f"rows-{hashlib.sha256(text.encode()).hexdigest()[:12]}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: the pairs cannot be written there: {error.strerror or error}") from None
    return str(path)


def _rows(pairs: Any) -> Iterator[object]:
    """The rows of whatever holds them; the libraries are not imported for that."""
    if isinstance(pairs, Mapping):
        splits = ", ".join(map(str, list(pairs)[:5]))
        raise InvalidInput(
            f"pairs: one table is expected, not a mapping ({splits}); choose one, such as pairs['train']"
        )
    if hasattr(pairs, "to_dicts"):  # Polars
        return iter(pairs.to_dicts())
    if hasattr(pairs, "to_dict") and hasattr(pairs, "columns"):  # pandas
        return map(_with_integers, pairs.to_dict(orient="records"))
    if not isinstance(pairs, Iterable) or isinstance(pairs, bytes):
        raise InvalidInput(
            f"pairs: a path, dicts, a datasets.Dataset or a DataFrame is expected, not {type(pairs).__name__}"
        )
    return iter(pairs)


def _with_integers(row: Mapping[object, object]) -> dict[object, object]:
    """A column of whole numbers becomes one of floats where a row has none."""
    return {key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in row.items()}


def _line(number: int, row: object) -> str:
    if not isinstance(row, Mapping):
        raise InvalidInput(f"pairs, row {number}: a dict is expected, not {type(row).__name__}")
    try:
        return _json(_plain(dict(row))) + "\n"
    except ValueError as error:
        raise InvalidInput(f"pairs, row {number}: {error}") from None


def _json(row: object) -> str:
    """One line; half a character, which no file can hold, as its escape."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(row, allow_nan=False)
    return text


def _plain(value: Any, depth: int = 0) -> Any:
    """The value in JSON's types: arrays as lists, moments as ISO text, what a table leaves empty as null."""
    if depth > _DEEPEST:
        raise ValueError("the values are nested too deeply")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if hasattr(value, "tolist") and not isinstance(value, str):  # NumPy's arrays and numbers
        return _plain(value.tolist(), depth + 1)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if value is None or isinstance(value, str | int):
        return value
    if type(value).__name__ in ("NAType", "NaTType"):  # pandas' own nothing
        return None
    raise ValueError(f"a value of type {type(value).__name__} has no place in JSON; leave that column out")
