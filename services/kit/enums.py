"""The protos' enumerations in words. Pure."""

import re
from functools import cache

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper


@cache
def short(kind: EnumTypeWrapper, value: int) -> str:
    """The value's name without that of its kind: `PILOT_LABEL` for STAGE_PILOT_LABEL. Raises ValueError for no value of it."""
    before = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.DESCRIPTOR.name).upper()
    return kind.Name(value).removeprefix(f"{before}_")


def word(kind: EnumTypeWrapper, value: int) -> str:
    """The same as a word in a sentence: `paused` for RUN_STATUS_PAUSED."""
    return short(kind, value).lower()
