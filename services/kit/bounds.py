"""What the fields of a message may hold, as a table, and the first field of a message that holds something else. Pure.

A field that is absent, or at its zero, lies within every bound: whether it may be left out, its reader decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from concord.kit.errors import InvalidInput


@dataclass(frozen=True)
class Text:
    """At most so many characters."""

    most: int


@dataclass(frozen=True)
class Number:
    """From `low` to `high`, both included; never NaN, and finite where the bounds are."""

    low: float
    high: float


@dataclass(frozen=True)
class Known:
    """A value that its enumeration names."""


@dataclass(frozen=True)
class Any64:
    """Any value that the type has: a flag, a hash, a seed."""


@dataclass(frozen=True)
class Inner:
    """A message: the table has an entry for its type."""


@dataclass(frozen=True)
class Many:
    """At most so many, each within `each`."""

    most: int
    each: "Bound"


Bound = Text | Number | Known | Any64 | Inner | Many
# Full name of a message's type → its fields → what each may hold.
Table = Mapping[str, Mapping[str, Bound]]


def check(message: Message, table: Table) -> None:
    """Raises InvalidInput that names the first field beyond its bound."""
    if found := _beyond(message, table):
        raise InvalidInput("".join(found))


# A place such as `pairs[3].verdicts[0].confidence`, and what is wrong there. The place is put together on the way out: nearly
# all messages are well, and most of the time of a check would go into names that nobody reads.
Found = tuple[str, str] | None


def _beyond(message: Message, table: Table) -> Found:
    bounds = table[message.DESCRIPTOR.full_name]
    for field, value in message.ListFields():
        bound = bounds[field.name]
        look = _in_list if isinstance(bound, Many) else _in_one
        if found := look(field, value, bound, table):
            return f"{field.name}{found[0]}", found[1]
    return None


def _in_list(field: FieldDescriptor, values: Any, bound: Any, table: Table) -> Found:
    if len(values) > bound.most:
        return "", f": at most {bound.most:,} are taken, not {len(values):,}"
    if isinstance(bound.each, Any64):
        return None
    for at, value in enumerate(values):
        if found := _in_one(field, value, bound.each, table):
            return f"[{at}]{found[0]}", found[1]
    return None


def _in_one(field: FieldDescriptor, value: Any, bound: Bound, table: Table) -> Found:
    if isinstance(bound, Text):
        if len(value) > bound.most:
            return "", f" has {len(value):,} characters; at most {bound.most:,} are taken"
    elif isinstance(bound, Inner):
        if found := _beyond(value, table):
            return f".{found[0]}", found[1]
    elif isinstance(bound, Number):
        # Written so that NaN, which is in no range, is refused as well.
        if not bound.low <= value <= bound.high:
            return "", f" must lie between {bound.low:,} and {bound.high:,}, not {value:,}"
    elif isinstance(bound, Known) and field.enum_type and value not in field.enum_type.values_by_number:
        known = ", ".join(field.enum_type.values_by_name)
        return "", f" is {value}, which this version does not know; it knows {known}"
    return None
