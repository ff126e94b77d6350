"""A whole JSON document in place of JSON Lines: what in it are the rows. PURE.

A list of rows under any key (`{"data": […]}`, the rows of the hub's viewer), columns of equal length, or one row alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

from concord.client.intake.messages import is_message

_USUAL = ("data", "rows", "examples", "instances", "records", "items", "train", "pairs", "results")


def rows_in(document: Mapping[str, Any], is_row: Callable[[Mapping[str, Any]], bool]) -> tuple[list[Any], str]:
    """The rows of a document, and how they were found in words ("" where the document is a row itself: `is_row` knows)."""
    if not _is_columns(document) and not _is_frame(document) and is_row(document):
        return [document], ""
    lists = {key: held for key, held in document.items() if _is_rows(held)}
    if key := next(
        (name for name in (*_USUAL, *lists) if name in lists and (name in _USUAL or is_row(lists[name][0]))), ""
    ):
        others = ", ".join(repr(name[:60]) for name in lists if name != key)
        left_out = f"; left out: {others}" if others else ""
        return [_unwrapped(row) for row in lists[key]], f"the rows under {key[:60]!r}{left_out}"
    if _is_columns(document):
        return [
            dict(zip(document, cells, strict=True)) for cells in zip(*document.values(), strict=True)
        ], "columns, a list each"
    if _is_frame(document):
        numbers = next(iter(document.values()))
        return [{name: held[at] for name, held in document.items()} for at in numbers], "columns, an object each"
    return [document], ""


def _is_frame(document: Mapping[str, Any]) -> bool:
    """Whether this is a table as pandas writes it: column -> number of the row -> cell."""
    columns = list(document.values())
    return (
        len(columns) > 1
        and all(isinstance(held, Mapping) and held for held in columns)
        and all(number.isdecimal() for number in columns[0])
        and all(held.keys() == columns[0].keys() for held in columns)
    )


def _is_columns(document: Mapping[str, Any]) -> bool:
    columns = list(document.values())
    lists = len(columns) > 1 and all(isinstance(held, list) and held for held in columns)
    return lists and len(set(map(len, columns))) == 1 and not any(isinstance(held[0], Mapping) for held in columns)


def _is_rows(held: Any) -> bool:
    return (
        isinstance(held, list) and bool(held) and all(isinstance(row, Mapping) and not is_message(row) for row in held)
    )


def _unwrapped(row: Any) -> Any:
    """What the hub's viewer puts around a row is taken away."""
    return row["row"] if isinstance(row.get("row"), Mapping) and "row_idx" in row else row
