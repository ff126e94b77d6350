"""Tables as text: CSV, TSV and what spreadsheets make of them, with a line of names first."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from concord.client.intake.text_lines import BROKEN_GZIP, opened, unreadable
from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.preference.pairs import MAX_TEXT_BYTES, BadRecord

ENDINGS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_DELIMITERS = ("\t", ",", ";")
_MAX_COLUMNS = 1_000
_MAX_NAME = 1_000
# Cells of these columns are numbers or indexes where they look like it; of others a number is a text.
_NUMBERS = ("human_majority", "p_chosen", "weight")


def delimiter_of(first_line: str, ending: str) -> str | None:
    """What stands between the names of a table's first line; None where the line does not look like one."""
    if ending in ENDINGS:
        other = next((mark for mark in ("\t", ";") if mark in first_line and "," not in first_line), "")
        return other or ENDINGS[ending]
    counts = {mark: first_line.count(mark) for mark in _DELIMITERS}
    mark = max(_DELIMITERS, key=lambda one: counts[one])
    names = [name.strip(' "') for name in first_line.split(mark)]
    plain = all(name and len(name) <= 100 and name.replace(".", "_").replace("-", "_").isprintable() for name in names)
    return mark if counts[mark] and plain and len(set(names)) == len(names) else None


def table_rows(path: Path, delimiter: str) -> Iterator[tuple[int, dict[str, Any] | BadRecord]]:
    """(line on which it begins, row) of each row; empty cells are absent.

    A row with more or fewer cells than there are names is a BadRecord. Raises InvalidInput where the file cannot be read to
    its end, or where its first line names no columns.
    """
    # The module knows one limit for all: a cell of 128 KB is a text to us.
    csv.field_size_limit(MAX_TEXT_BYTES + 1)
    with _in_words(path), opened(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        names = _names(path, next(reader, []))
        before = reader.line_num
        for cells in reader:
            line, before = before + 1, reader.line_num
            if cells:
                yield line, _row(names, cells)


def _names(path: Path, names: list[str]) -> list[str]:
    if len(names) > _MAX_COLUMNS or any(len(name) > _MAX_NAME for name in names):
        raise InvalidInput(
            f"{path}: its first line has over {_MAX_COLUMNS:,} names, or a name of over {_MAX_NAME:,} characters"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"{path}: two columns are called {twice!r}; call them differently")
    return names


def _row(names: list[str], cells: list[str]) -> dict[str, Any] | BadRecord:
    if len(cells) != len(names):
        return BadRecord(
            "broken row", f"{many(len(cells), 'cell')}, but the first line names {many(len(names), 'column')}"
        )
    return {name: _cell(name, cell) for name, cell in zip(names, cells, strict=True) if cell != ""}


def _cell(name: str, cell: str) -> Any:
    if name in _NUMBERS and cell.isascii() and cell.isdecimal() and len(cell) < 10:
        return int(cell)
    return cell


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path}: is not UTF-8 (byte {error.start + 1} of a part of it); save the table as CSV UTF-8"
        ) from None
    except csv.Error as error:
        raise InvalidInput(f"{path}: cannot be read as a table: {error}; are its quotation marks in pairs?") from None
    except BROKEN_GZIP as error:
        raise InvalidInput(f"{path}: the gzip data are broken: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from None
