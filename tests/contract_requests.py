"""Every field of every request of the contract, found by walking it; and requests that go beyond one bound."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from concord.kit.bounds import Any64, Bound, Known, Many, Number, Text
from concord.preference.request_bounds import TABLE
from concord.v1 import (
    labeling_service_pb2,
    runs_service_pb2,
    scoring_service_pb2,
    tasks_service_pb2,
    training_service_pb2,
    triage_service_pb2,
)

FILES = (
    runs_service_pb2,
    tasks_service_pb2,
    labeling_service_pb2,
    scoring_service_pb2,
    training_service_pb2,
    triage_service_pb2,
)
WHOLE = {getattr(FieldDescriptor, f"CPPTYPE_{kind}") for kind in ("INT32", "INT64", "UINT32", "UINT64")}


@dataclass(frozen=True)
class Rpc:
    """One call of the contract."""

    path: str  # "/concord.v1.RunService/GetRun"
    request: type[Message]
    response: type[Message]
    streams: bool


def rpcs() -> list[Rpc]:
    """Every call of every service, in the order of the files."""
    return [
        Rpc(
            f"/{service.full_name}/{method.name}",
            GetMessageClass(method.input_type),
            GetMessageClass(method.output_type),
            method.server_streaming,
        )
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


def types(found: Descriptor, seen: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """The message and all that it may hold, by full name."""
    if found.full_name not in seen:
        seen[found.full_name] = found
        for field in found.fields:
            if field.message_type:
                types(field.message_type, seen)
    return seen


def beyond(kind: type[Message]) -> Iterator[tuple[str, Message]]:
    """(place, message): a message of this kind for each bound that it has, gone just beyond at this one place."""
    for field in kind.DESCRIPTOR.fields:
        bound = TABLE[kind.DESCRIPTOR.full_name][field.name]
        each = bound.each if isinstance(bound, Many) else bound
        if isinstance(bound, Many):
            one = GetMessageClass(field.message_type)() if field.message_type else _least(field)
            yield field.name, kind(**{field.name: [one] * (bound.most + 1)})
        if field.message_type:
            for place, inner in beyond(GetMessageClass(field.message_type)):
                yield f"{field.name}.{place}", kind(**{field.name: [inner] if isinstance(bound, Many) else inner})
        else:
            for value in too_much(field, each):
                yield field.name, kind(**{field.name: [value] if isinstance(bound, Many) else value})


def too_much(field: FieldDescriptor, bound: Bound) -> list[object]:
    """Values just beyond the bound, as far as the field's type has any."""
    if isinstance(bound, Text):
        return ["x" * (bound.most + 1)]
    if isinstance(bound, Known):
        return [max(field.enum_type.values_by_number) + 1]
    if isinstance(bound, Number):
        if field.cpp_type in WHOLE:
            return [int(bound.high) + 1, *([int(bound.low) - 1] if bound.low < 0 else [])]
        return [bound.high * 1.001, bound.low - 0.001, math.nan, math.inf, -math.inf]
    assert isinstance(bound, Any64) or field.message_type
    return []


def _least(field: FieldDescriptor) -> object:
    return "" if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else 0
