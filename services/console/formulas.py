"""A formula of TeX as MathML, which browsers lay out themselves: no script, no font, nothing fetched.

What cannot be read, or gives anything but MathML's own harmless elements, is shown as it is written.
"""

import re
from collections.abc import Callable, Mapping
from html import escape
from xml.etree import ElementTree

from latex2mathml import converter, exceptions

# Beyond this a formula is shown as it is written: conversion takes longer than it is long.
LONGEST = 2_000
# Brackets within brackets; a formula that people wrote has few.
DEEPEST = 30
MATHML = "{http://www.w3.org/1998/Math/MathML}"
TAGS = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msup", "msub", "msubsup", "mfrac", "msqrt", "mroot"),
    *("mover", "munder", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom"),
}
ATTRIBUTES: Mapping[str, set[str]] = {
    "math": {"display"},
    "mo": {"stretchy", "fence", "separator", "form", "movablelimits", "minsize", "maxsize"},
    "mi": {"mathvariant"},
    "mfrac": {"linethickness"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "mspace": {"width"},
    "mover": {"accent"},
}
_OPENS = ("{", "\\left", "\\begin")
_BRACKET = re.compile(r"[{}]|\\(?:left|right|begin|end)(?![a-zA-Z])")
_OWN = [one for one in vars(exceptions).values() if isinstance(one, type) and issubclass(one, Exception)]
_UNREADABLE: tuple[type[Exception], ...] = (
    *_OWN,
    ElementTree.ParseError,
    ValueError,
    LookupError,
    AttributeError,
    RecursionError,
)


def shown(tex: str, block: bool) -> str:
    """The formula as HTML; `block`: on a line of its own. Its source where it cannot be laid out."""
    return _mathml(tex, block) or f"<code>{escape(tex)}</code>"


def _mathml(tex: str, block: bool) -> str:
    """Made anew from the parsed tree, of known elements and attributes alone; empty where there is anything else in it."""
    if len(tex) > LONGEST or _depth(tex) > DEEPEST:
        return ""
    convert: Callable[..., str] = converter.convert
    try:
        tree = ElementTree.fromstring(convert(tex, display="block" if block else "inline"))
        if any(one.tag.removeprefix(MATHML) not in TAGS for one in tree.iter()):
            return ""
        return _written(tree)
    except _UNREADABLE:
        return ""


def _depth(tex: str) -> int:
    """How deep its brackets go, at the most."""
    deepest = depth = 0
    for opened in _BRACKET.finditer(tex):
        depth += 1 if opened[0] in _OPENS else -1
        deepest = max(deepest, depth)
    return deepest


def _written(one: ElementTree.Element) -> str:
    name = one.tag.removeprefix(MATHML)
    known = ATTRIBUTES.get(name, set())
    attributes = "".join(f' {key}="{escape(value)}"' for key, value in one.attrib.items() if key in known)
    inside = escape(one.text or "") + "".join(_written(child) + escape(child.tail or "") for child in one)
    return f"<{name}{attributes}>{inside}</{name}>"
