"""Random messages of the contract, with the values at which code breaks: extremes, holes, what no enumeration names."""

import math
import random
from collections.abc import Callable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

# Field name → what it often holds, so that a random message is about something that is there.
Likely = Mapping[str, tuple[object, ...]]

INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
FLOATS = (0.0, -0.0, 1.0, 0.5, -5.0, 7.0, 1e-320, 1e38, math.nan, math.inf, -math.inf)
DOUBLES = (*FLOATS, 1e308, -1e308, 5e-324)
TEXTS = (
    "",
    " ",
    "x",
    "²",
    "\0",
    "\n",
    "../../etc/passwd",
    "sha256:" + "0" * 64,
    "{" * 50,
    "\U0001f600",
    "last",
    "%s{}",
)
LISTED = (0, 1, 1, 2, 3, 17)


def message(rng: random.Random, kind: type[Message], likely: Likely, depth: int = 0) -> Message:
    """One of this kind; about half of its fields are set."""
    made = kind()
    seen: set[str] = set()
    for field in rng.sample(list(kind.DESCRIPTOR.fields), len(kind.DESCRIPTOR.fields)):
        one_of = field.containing_oneof.name if field.containing_oneof else field.name
        if rng.random() < 0.45 + 0.1 * depth or one_of in seen:
            continue
        seen.add(one_of)
        many = rng.choice(LISTED) if field.is_repeated else 1
        values = [value(rng, field, likely, depth) for _ in range(many)]
        if field.message_type and field.message_type.GetOptions().map_entry:
            continue
        if field.is_repeated:
            getattr(made, field.name).extend(values)
        elif field.message_type:
            getattr(made, field.name).CopyFrom(values[0])
        else:
            setattr(made, field.name, values[0])
    return made


def value(rng: random.Random, field: FieldDescriptor, likely: Likely, depth: int) -> object:
    """A value of the field's type."""
    known = [one for one in likely.get(field.name, ()) if isinstance(one, Message) == bool(field.message_type)]
    if known and rng.random() < 0.7:
        return rng.choice(known)
    if field.message_type:
        return message(rng, GetMessageClass(field.message_type), likely, depth + 1)
    return SCALARS[field.cpp_type](rng, field)


def _whole(rng: random.Random, field: FieldDescriptor) -> int:
    low, high = INTEGERS[field.cpp_type]
    return rng.choice((0, 1, 2, 3, low, high, high - 1, high // 2, min(high, 2**57), rng.randint(low, high)))


def _named(rng: random.Random, field: FieldDescriptor) -> int:
    return rng.choice((*field.enum_type.values_by_number, 99, -1, 2**31 - 1))


def _text(rng: random.Random, field: FieldDescriptor) -> str:
    return rng.choice(TEXTS) if rng.random() < 0.9 else rng.choice("xä\0") * rng.choice((100, 101, 2_001, 30_000))


SCALARS: Mapping[int, Callable[[random.Random, FieldDescriptor], object]] = {
    **dict.fromkeys(INTEGERS, _whole),
    FieldDescriptor.CPPTYPE_ENUM: _named,
    FieldDescriptor.CPPTYPE_BOOL: lambda rng, field: rng.random() < 0.5,
    FieldDescriptor.CPPTYPE_FLOAT: lambda rng, field: rng.choice(FLOATS),
    FieldDescriptor.CPPTYPE_DOUBLE: lambda rng, field: rng.choice(DOUBLES),
    FieldDescriptor.CPPTYPE_STRING: lambda rng, field: (
        _text(rng, field) if field.type == FieldDescriptor.TYPE_STRING else _text(rng, field).encode()
    ),
}
