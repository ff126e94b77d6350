"""What an endpoint understands of a request, found out from what it refuses. PURE.

The canonical request asks for all that the standard has. `Dialect` is how one endpoint and model wants it; `spoken` puts a request
so, and `after` gives the next dialect to try for a refusal: the field that it names renamed, put otherwise or left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from concord.labeling.refusal import OPTIONAL, Words

# How a JSON schema is asked for, best first: the standard; the standard without what some refuse in a schema; as TGI before
# its third version has it; JSON of any shape; not at all.
SHAPES = ("json_schema", "plain json_schema", "tgi", "json_object", "")
# Keywords that some engines' grammars do not know.
_FANCY = ("minimum", "maximum", "description")
# Names of the limit on tokens, in the order in which they are tried; "" leaves it out.
LIMITS = ("max_tokens", "max_completion_tokens", "")
# How much more room answers get that are cut: those of a model that thinks first, and all others.
THINKS, WRITES = (16, 64), (2,)
# As near to 0 as an endpoint goes that wants it above.
_COLDEST = 0.01

# By which words a message means a field, beside its own name.
_WORDS = {
    "response_format": r"response[_ ]?format|json[_ ]?(?:schema|object|mode)|structured[_ ]outputs?|grammar|guided",
    "logprobs": r"(?<!top_)log[-_ ]?prob(?:s|abilit\w+)?",
    "top_logprobs": r"top[-_ ]?logprobs",
    "seed": r"seed",
    "temperature": r"temperature",
    "max_completion_tokens": r"max[-_ ]completion[-_ ]tokens",
    "max_tokens": r"max[-_ ](?:new[-_ ]|output[-_ ])?tokens",
}
_MEANS = {
    field: re.compile(rf"(?<![A-Za-z_])(?:{words})(?![A-Za-z_])", re.IGNORECASE) for field, words in _WORDS.items()
}
# Behind these a message lists what is allowed.
_LIST = re.compile(
    r"expected one of|allowed|permitted|(?:valid|supported|known|accepted) (?:fields|parameters|options|keys|values)",
    re.I,
)
_CONTEXT = re.compile(r"context[_ ](?:length|window|size)|input tokens|prompt is too long", re.I)
_TOO_LONG = re.compile(
    r"context[_ ](?:length|window|size)|maximum (?:context|model|sequence)|too (?:large|long|many)|exceed", re.I
)
_AT_MOST = re.compile(
    r"(?:at most|up to|maximum (?:value )?(?:is|of)|less than or equal to|no (?:more|greater|larger) than|<=|≤)\D{0,3}(\d{2,7})",
    re.I,
)
_ABOVE_ZERO = re.compile(r"positive|greater than 0|> ?0(?!\.?\d)|above 0|non-?zero", re.I)
_ABOUT_THE_SCHEMA = re.compile(
    r"minimum|maximum|description|strict|additional_?properties|keyword|invalid.{0,30}schema"
    r"|schema.{0,40}(?:invalid|not permitted)",
    re.I,
)


@dataclass(frozen=True)
class Dialect:
    """How one endpoint and model wants a request."""

    shape: str = SHAPES[0]
    limit: str = LIMITS[0]
    without: frozenset[str] = frozenset()
    coldest: bool = False  # temperature 0 is too cold
    most_tokens: int = 0  # that it takes as a limit; 0: any
    # Tokens of an answer beyond the limit that was asked for, as for one who thinks before it answers: the limit times this.
    room: int = 1
    narrow: bool = False  # more room was refused

    @property
    def dropped(self) -> tuple[str, ...]:
        """What it is not asked as it should be, in words."""
        words = [] if self.shape == SHAPES[0] else [f"response_format {self.shape or 'left out'}"]
        words += [] if self.limit == LIMITS[0] else [f"max_tokens {'as ' + self.limit if self.limit else 'left out'}"]
        words += [f"temperature at least {_COLDEST}"] if self.coldest and "temperature" not in self.without else []
        return (*words, *(f"{field} left out" for field in sorted(self.without)))


STANDARD = Dialect()


def spoken(request: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The canonical request as this endpoint wants it."""
    body = {name: value for name, value in request.items() if name not in dialect.without}
    if "response_format" in body and dialect.shape != SHAPES[0]:
        if (shaped := _shaped(body["response_format"], dialect.shape)) is None:
            del body["response_format"]
        else:
            body["response_format"] = shaped
    if "max_tokens" in body:
        most = body.pop("max_tokens") * dialect.room
        if dialect.limit:
            body[dialect.limit] = min(most, dialect.most_tokens) if dialect.most_tokens else most
    if dialect.coldest and "temperature" in body:
        body["temperature"] = max(_COLDEST, body["temperature"])
    return body


def after(dialect: Dialect, sent: Mapping[str, Any], words: Words) -> Dialect | None:
    """The next dialect to try after a refusal of `sent`; None where it names nothing that could be put otherwise."""
    if dialect.room > 1 and _TOO_LONG.search(words.message):
        return replace(dialect, room=max(1, dialect.room // 4), narrow=True)
    if _CONTEXT.search(words.message):
        return None  # a question that is too long is not the limit's fault, though its name is told
    for field in words.fields or _named(sent, words.message):
        if field in sent:
            return _without(dialect, field, sent, words.message)
    return None


def may_quote(sent: Mapping[str, Any], words: Words) -> bool:
    """Whether the field that a refusal means may be a word of the question, which asks for the temperature in Paris."""
    if words.fields:
        return False
    question = " ".join(message["content"] for message in sent["messages"]).lower()
    found = (_MEANS[field].search(words.message) for field in _named(sent, words.message))
    return any(match and match[0].lower() in question for match in found)


def plainer(dialect: Dialect, sent: Mapping[str, Any]) -> Dialect | None:
    """The next dialect where a refusal does not say why: in three steps all that is optional goes; None: nothing is left."""
    steps = (("response_format", "logprobs", "top_logprobs"), ("seed",), ("temperature", "max_tokens"))
    for step in steps:
        if any(field in sent or (field == "max_tokens" and LIMITS[1] in sent) for field in step):
            shape = "" if "response_format" in step else dialect.shape
            limit = "" if "max_tokens" in step else dialect.limit
            gone = frozenset(step) - {"response_format", "max_tokens"}
            return replace(dialect, shape=shape, limit=limit, without=dialect.without | gone)
    return None


def wider(dialect: Dialect, thinks: bool) -> Dialect | None:
    """With more room for the answer, after one that was cut; None where that was given already, or cannot be."""
    more = next((room for room in (THINKS if thinks else WRITES) if room > dialect.room), None)
    return None if more is None or dialect.narrow or not dialect.limit else replace(dialect, room=more)


def _without(dialect: Dialect, field: str, sent: Mapping[str, Any], message: str) -> Dialect:
    match field:
        case "response_format":
            return replace(dialect, shape=_next_shape(dialect.shape, message))
        case "logprobs" | "top_logprobs":
            return replace(dialect, without=dialect.without | {"logprobs", "top_logprobs"})
        case "max_tokens" | "max_completion_tokens":
            return _shorter(dialect, sent[field], message)
        case "temperature" if sent[field] < _COLDEST and not dialect.coldest and _ABOVE_ZERO.search(message):
            return replace(dialect, coldest=True)
    return replace(dialect, without=dialect.without | {field})


def _shorter(dialect: Dialect, sent: int, message: str) -> Dialect:
    """Another name for the limit, or a lower one where the message says how much is taken."""
    most = _AT_MOST.search(message)
    if most and 16 <= int(most[1]) < sent:
        return replace(dialect, most_tokens=int(most[1]))
    return replace(dialect, limit=LIMITS[min(LIMITS.index(dialect.limit) + 1, len(LIMITS) - 1)])


def _next_shape(shape: str, message: str) -> str:
    at = SHAPES.index(shape) + 1
    # Where the form itself is unknown, another schema in it will not be liked either.
    return SHAPES[at + (SHAPES[at] == SHAPES[1] and not _ABOUT_THE_SCHEMA.search(message))]


def _shaped(standard: Mapping[str, Any], shape: str) -> dict[str, Any] | None:
    schema = standard["json_schema"]["schema"]
    if shape == SHAPES[1]:
        return {
            "type": "json_schema",
            "json_schema": {"name": standard["json_schema"]["name"], "schema": _plain(schema)},
        }
    if shape == "tgi":
        return {"type": "json_object", "value": schema}
    return {"type": shape} if shape else None


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = {
        name: {key: value for key, value in field.items() if key not in _FANCY}
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _named(sent: Mapping[str, Any], message: str) -> list[str]:
    """The sent fields that the message means, the one that it most probably refuses first."""
    list_at = at.start() if (at := _LIST.search(message)) else len(message)
    found = [(match.start(), field) for field in OPTIONAL if field in sent and (match := _MEANS[field].search(message))]
    before = sorted(one for one in found if one[0] < list_at)
    # "Allowed are model, messages, temperature; got seed": the last one is the culprit.
    return [field for _, field in before or sorted(found, reverse=True)]
