"""Does a JSON value fit a schema: the part of JSON Schema that prompts use. Pure.

What a schema says beyond that part (`pattern`, formats, remote references) is not looked at: the answer is then
"can't tell" unless something else is wrong already. Patterns are left out because a schema's author could write one that
never ends.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MAX_DEPTH = 40
MAX_LOOKS = 20_000
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
    "integer": (int, float),
}
# Say nothing about whether a value fits.
NOTES = {
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "$comment",
    "readOnly",
    "deprecated",
}
_SIZES = {
    "minItems": (list, lambda size, bound: size >= bound, "too few items"),
    "maxItems": (list, lambda size, bound: size <= bound, "too many items"),
    "minLength": (str, lambda size, bound: size >= bound, "too short"),
    "maxLength": (str, lambda size, bound: size <= bound, "too long"),
    "minProperties": (dict, lambda size, bound: size >= bound, "too few fields"),
    "maxProperties": (dict, lambda size, bound: size <= bound, "too many fields"),
}
_BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
}


class _Looks:
    """How many more values are looked at, and whether something was not understood."""

    def __init__(self) -> None:
        self.left = MAX_LOOKS
        self.unknown = ""


def fault(value: Any, schema: Any) -> tuple[str, bool]:
    """(what is wrong with a value, or what of the schema is not looked at; whether it is wrong). ("", False): it fits."""
    looks = _Looks()
    wrong = _fault(value, schema, schema, "", 0, looks)
    return (wrong, True) if wrong else (looks.unknown, False)


def _fault(value: Any, schema: Any, root: Any, where: str, depth: int, looks: _Looks) -> str:
    looks.left -= 1
    if looks.left < 0 or depth > MAX_DEPTH:
        looks.unknown = "it is too large to be checked"
        return ""
    if schema is False:
        return f"{where or 'the value'} must not be there"
    if not isinstance(schema, Mapping):
        return ""
    if "$ref" in schema:
        found = _referred(schema["$ref"], root)
        if found is None:
            looks.unknown = "a reference that is not in the schema"
            return ""
        return _fault(value, found, root, where, depth + 1, looks)
    name = where or "the value"
    return (
        _wrong_type(value, schema, name)
        or _wrong_size(value, schema, name)
        or _wrong_inside(value, schema, root, where, depth, looks)
        or _wrong_choice(value, schema, root, where, depth, looks)
        or _unseen(schema, looks)
    )


def _referred(name: Any, root: Any) -> Any:
    """What `#/…/…` names in the schema; None: nothing."""
    if not isinstance(name, str) or not name.startswith("#"):
        return None
    found = root
    for step in name[1:].split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def is_type(value: Any, name: str) -> bool:
    """Whether a value is of a schema's type; an unknown type's name fits everything."""
    if name not in TYPES:
        return True
    if isinstance(value, bool):
        return name == "boolean"
    whole = name != "integer" or (isinstance(value, int | float) and value % 1 == 0)
    return whole and isinstance(value, TYPES[name])


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and true is not 1. Raises RecursionError for values nested beyond reason."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and (type(one) is type(other) or (_number(one) and _number(other)))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong_type(value: Any, schema: Mapping, name: str) -> str:
    wanted = schema.get("type")
    types = wanted if isinstance(wanted, list) else [wanted] if wanted else []
    if types and not any(is_type(value, one) for one in types if isinstance(one, str)):
        return f"{name} is not of type {' or '.join(map(str, types))}"
    if isinstance(schema.get("enum"), list) and not any(same(value, one) for one in schema["enum"]):
        return f"{name} is none of the values that it may have"
    if "const" in schema and not same(value, schema["const"]):
        return f"{name} is not the value that it must have"
    return ""


def _wrong_size(value: Any, schema: Mapping, name: str) -> str:
    for key, (kind, fits, words) in _SIZES.items():
        if isinstance(value, kind) and _number(schema.get(key)) and not fits(len(value), schema[key]):
            return f"{name} is {words}" if kind is str else f"{name} has {words}"
    for key, holds in _BOUNDS.items():
        if _number(value) and _number(schema.get(key)) and not holds(value, schema[key]):
            return f"{name} is beyond {key} {schema[key]}"
    return ""


def _wrong_inside(value: Any, schema: Mapping, root: Any, where: str, depth: int, looks: _Looks) -> str:
    if isinstance(value, dict):
        return _wrong_fields(value, schema, root, where, depth, looks)
    if not isinstance(value, list):
        return ""
    for at, one in enumerate(value):
        if wrong := _fault(one, schema.get("items", True), root, f"{where}[{at}]", depth + 1, looks):
            return wrong
    return ""


def _wrong_fields(value: dict, schema: Mapping, root: Any, where: str, depth: int, looks: _Looks) -> str:
    known = schema.get("properties")
    known = known if isinstance(known, Mapping) else {}
    for key in schema.get("required", ()) if isinstance(schema.get("required"), Sequence) else ():
        if key not in value:
            return f"the field {str(key)[:40]} is missing"
    for key, one in value.items():
        if key not in known and "patternProperties" in schema:
            continue
        below = known.get(key, schema.get("additionalProperties", True))
        if below is False and key not in known:
            return f"the field {key[:40]} is one too many"
        if wrong := _fault(one, below, root, f"{where}.{key[:40]}".lstrip("."), depth + 1, looks):
            return wrong
    return ""


def _wrong_choice(value: Any, schema: Mapping, root: Any, where: str, depth: int, looks: _Looks) -> str:
    counts = {}
    for key in ("allOf", "anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            faults = [_fault(value, one, root, where, depth + 1, looks) for one in schema[key]]
            counts[key] = (len(faults), faults.count(""), next(filter(None, faults), ""))
    every, some, one = (counts.get(key) for key in ("allOf", "anyOf", "oneOf"))
    if every and every[1] < every[0]:
        return every[2]
    if (some and not some[1]) or (one and one[1] != 1):
        return (
            f"{where or 'the value'} fits {'none' if not (one and one[1]) else 'several'} of the forms that it may have"
        )
    if isinstance(schema.get("not"), Mapping) and not _fault(value, schema["not"], root, where, depth + 1, looks):
        return f"{where or 'the value'} has a form that it must not have"
    return ""


_SEEN = {
    "type",
    "enum",
    "const",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
}


def _unseen(schema: Mapping, looks: _Looks) -> str:
    """Remembers a demand that is not looked at; never a fault."""
    for key in schema:
        if key not in _SEEN and key not in NOTES and key not in _SIZES and key not in _BOUNDS:
            looks.unknown = f"{str(key)[:40]} of the schema is not looked at"
    return ""
