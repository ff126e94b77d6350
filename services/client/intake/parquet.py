"""Parquet and Arrow files: the only module that knows pyarrow, which is there with the extra `data` alone."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from concord.kit.errors import InvalidInput

INSTALL = "pip install 'concord-preference[data]'"
# A column has one type: where "tie" is among the choices 0 and 1 are texts, and where null is, pandas makes them floats.
_CHOICES = ("human_majority", "choice", "choice_swapped")
# Rows that are turned into Python objects at once; texts are long, so few of them.
_BATCH = 512
# Rows that are held while a file is written.
_ROW_GROUP = 4_096
# What a value that Python has no word for raises: broken UTF-8, a date in the year 300,000, a nanosecond.
_NO_WORD = (ValueError, OverflowError, TypeError, NotImplementedError)
# A choice is a digit; an identifier of thousands of them is none.
_CHOICE_DIGITS = 9


@dataclass(frozen=True)
class UnreadableValue:
    """Stands in the place of a value that is not read: harmless where nobody needs it, no text where somebody does."""

    what: str


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file in order, see `_plain`. Raises InvalidInput where it cannot be read to its end."""
    pyarrow = _pyarrow(path)
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                yield from map(_plain, _python(pyarrow, batch))
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _broken(path, "Parquet", error) from None


def arrow_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an Arrow file, as a stream (so `datasets` saves them) or with the magic bytes of the file format."""
    pyarrow = _pyarrow(path)
    try:
        with pyarrow.OSFile(str(path)) as source:
            is_file = source.read(6) == b"ARROW1"
            source.seek(0)
            for batch in _batches(pyarrow, source, is_file):
                for at in range(0, batch.num_rows, _BATCH):
                    yield from map(_plain, _python(pyarrow, batch.slice(at, _BATCH)))
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _broken(path, "Arrow", error) from None


def write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One Parquet file of the rows that `export.table_row` makes, a row group at a time.

    What the system refuses passes through as OSError.
    """
    pyarrow = _pyarrow(path)
    import pyarrow.parquet as parquet

    rows = iter(rows)
    with parquet.ParquetWriter(path, _export_schema(pyarrow)) as writer:
        while group := list(islice(rows, _ROW_GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, writer.schema))


def _export_schema(pyarrow: ModuleType) -> Any:
    """The columns' types, said beforehand: the first rows may hold nothing in a column that later ones fill."""
    messages = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
    return pyarrow.schema(
        [
            *((name, messages) for name in ("prompt", "chosen", "rejected")),
            ("pair_id", pyarrow.string()),
            ("p_chosen", pyarrow.float64()),
            ("weight", pyarrow.float64()),
            ("source", pyarrow.string()),
            ("judge_agrees", pyarrow.bool_()),
            ("judge_confidence", pyarrow.float64()),
            ("pair_sha256", pyarrow.string()),
            ("original", pyarrow.string()),
            ("harmful", pyarrow.bool_()),
        ]
    )


def _batches(pyarrow: ModuleType, source: Any, is_file: bool) -> Iterator[Any]:
    if not is_file:
        yield from pyarrow.ipc.open_stream(source)
        return
    reader = pyarrow.ipc.open_file(source)
    for at in range(reader.num_record_batches):
        yield reader.get_batch(at)


def _python(pyarrow: ModuleType, batch: Any) -> list[dict[str, Any]]:
    """The batch's rows as Python's values; columns that hold no text and no number are not read."""
    names = batch.schema.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise pyarrow.ArrowInvalid(f"two columns are called {twice[:60]!r}")
    columns = [_column(pyarrow, batch.column(at)) for at in range(len(names))]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _column(pyarrow: ModuleType, column: Any) -> list[Any]:
    if _is_skipped(pyarrow, column.type):
        unread = UnreadableValue(str(column.type)[:60])
        return [unread if valid else None for valid in column.is_valid().to_pylist()]
    try:
        held: list[Any] = column.to_pylist()
    except (*_NO_WORD, pyarrow.ArrowException):
        return [_value(pyarrow, column[at]) for at in range(len(column))]
    return held


def _value(pyarrow: ModuleType, scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (*_NO_WORD, pyarrow.ArrowException) as error:
        return UnreadableValue(type(error).__name__)


def _is_skipped(pyarrow: ModuleType, kind: Any, inside: bool = False) -> bool:
    """Whether a column of this type is left unread: dates, durations, decimals and bytes are no part of a pair.

    Inside of an object dates stay, for the texts beside them; bytes there are an image or a sound.
    """
    types = pyarrow.types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    if types.is_struct(kind):
        return any(_is_skipped(pyarrow, kind.field(at).type, True) for at in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_skipped(pyarrow, kind.value_type, True)
    return not inside and bool(types.is_temporal(kind) or types.is_decimal(kind))


def _plain(value: Any) -> Any:
    """The value as JSON would hold it: a column that is null in this row is a key that the row does not have."""
    if isinstance(value, dict):
        return {
            key: _choice(held) if key in _CHOICES else _plain(held)
            for key, held in value.items()
            if not _is_absent(held)
        }
    return [_plain(held) for held in value] if isinstance(value, list) else value


def _choice(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _CHOICE_DIGITS:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_absent(value: Any) -> bool:
    # pandas writes what is missing among numbers as NaN.
    return value is None or (isinstance(value, float) and math.isnan(value))


def _pyarrow(path: Path) -> ModuleType:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise InvalidInput(f"{path}: Parquet and Arrow files need the extra `data`: {INSTALL}") from None
    return pyarrow


def _broken(path: Path, kind: str, error: Exception) -> InvalidInput:
    if isinstance(error, FileNotFoundError):
        return InvalidInput(f"{path}: there is no such file")
    said = str(error).strip().split("\n")[0] or type(error).__name__
    return InvalidInput(f"{path}: cannot be read as {kind}: {said}")
