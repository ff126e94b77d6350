"""HTML in which no text can be forgotten: whatever is not Markup is escaped. PURE."""

import re
from collections.abc import Sequence
from html import escape

# Control characters have no place in a page, and bidirectional overrides can make a text read as another one.
_UNWELCOME = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]")


Row = Sequence[object]


class Markup(str):
    """HTML that is safe as it stands. Only this module and the drawings make it."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Any value as inert text; Markup as it is."""
    return value if isinstance(value, Markup) else Markup(escape(_UNWELCOME.sub("\ufffd", str(value)), quote=True))


def element(name: str, *children: object, **attributes: object) -> Markup:
    """`<name …>children</name>`; None among the children or attributes is left out.

    Attribute names may end in `_` (`class_`), and inner `_` become `-`.
    """
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    head = "".join(f' {key}="{text(str(value))}"' for key, value in given.items())
    return Markup(f"<{name}{head}>{joined(*children)}</{name}>")


def joined(*parts: object) -> Markup:
    """The parts one behind the other; None is left out."""
    return Markup("".join(text(part) for part in parts if part is not None))


def behind_a_click(harmful: bool, *children: object) -> Markup:
    """The children, or where their texts are marked as harmful what opens to show them."""
    if not harmful:
        return joined(*children)
    warning = element("summary", "Marked as harmful: these texts may hurt. Open to read them")
    return element("details", warning, *children, class_="harmful")


def table(head: Sequence[str], rows: Sequence[Row], label: str, sums: Row | None = None) -> Markup:
    """A table whose first column names the rows; the others are numbers. It scrolls sideways where it must."""
    top = element("tr", *(element("th", name, scope="col") for name in head))
    body = element("tbody", *map(_row, rows))
    made = element("table", element("thead", top), body, element("tfoot", _row(sums)) if sums else None)
    # A region that scrolls must be reachable by keyboard.
    return element("div", made, class_="scroll", role="region", aria_label=label, tabindex="0")


def facts(rows: Sequence[tuple[str, object] | None]) -> Markup:
    """Names and what they are; None is left out."""
    named = [joined(element("dt", row[0]), element("dd", row[1])) for row in rows if row]
    return element("dl", *named, class_="facts")


def _row(cells: Row) -> Markup:
    return element("tr", element("th", cells[0], scope="row"), *(element("td", cell) for cell in cells[1:]))
