"""What of a chat message is no plain text, written as text: so the judge, people and features see all of an answer. PURE.

Reasoning stands in `<think>`, calls in `<tool_call>`, as several models' chat templates write them; what a tool gave back,
inside an answer, in `<tool_response>`. The message as it came is kept beside it, for exports.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from concord.preference.pairs import BadRecord, checked_text
from concord.v1 import pairs_pb2 as pb

REASONING = ("reasoning_content", "reasoning", "thinking")
_TEXT_PARTS = ("text", "input_text", "output_text")
_SPEAKERS = {"user": "User: ", "system": "System: "}


def as_json(value: object, what: str) -> str:
    """The value as JSON on one line; raises BadRecord for what JSON has no words for, or what no run can carry."""
    try:
        return checked_text(json.dumps(value, ensure_ascii=False, allow_nan=False), what)
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, BadRecord):
            raise
        raise BadRecord("broken messages", f"{what} holds what JSON cannot say") from None


def content_of(content: object, what: str) -> tuple[str, list[Any], str]:
    """(text, tool calls, reasoning) of a message's `content`, which is a text, null or a list of parts. Raises BadRecord."""
    if content is None or isinstance(content, str):
        return content or "", [], ""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        return checked_text(content, what), [], ""
    text, calls, reasoning = list[str](), list[Any](), list[str]()
    for at, part in enumerate(content):
        if isinstance(part, str):
            text.append(part)
            continue
        kind, said = _part(part, f"{what}: part {at}")
        {"text": text, "call": calls, "reasoning": reasoning}[kind].append(said)
    return "".join(text), calls, "\n".join(reasoning)


def _part(part: object, what: str) -> tuple[str, Any]:
    if not isinstance(part, Mapping):
        raise BadRecord("broken messages", f"{what} is no object with a `type`")
    kind = part.get("type", "text")
    if kind in _TEXT_PARTS:
        return "text", checked_text(part.get("text"), what, may_be_empty=True)
    if kind == "thinking":
        return "reasoning", checked_text(part.get("thinking"), what, may_be_empty=True)
    if kind == "tool_use":
        return "call", {"name": part.get("name"), "arguments": part.get("input", {})}
    if kind == "tool_result":
        return "text", content_of(part.get("content"), what)[0]
    raise BadRecord(
        "not a text", f"{what} is of the type {str(kind)[:40]!r}: Concord compares texts alone, no images and no sound"
    )


def written(text: str, calls: Sequence[Any], reasoning: str, what: str) -> str:
    """Reasoning, text and calls of one message as one text."""
    thought = [f"<think>\n{reasoning}\n</think>"] if reasoning else []
    return "\n\n".join([*thought, *([text] if text else []), *(_call(call, what) for call in calls)])


def answer_text(turns: Sequence[pb.Message]) -> str:
    """An answer of several messages as one text."""
    said, before = [], "assistant"
    for turn in turns:
        speaker = _SPEAKERS.get(turn.role, "Assistant: " if turn.role == "assistant" and before in _SPEAKERS else "")
        shown = f"<tool_response>\n{turn.content}\n</tool_response>" if turn.role == "tool" else turn.content
        said.append(speaker + shown)
        before = turn.role
    return "\n\n".join(said)


def tools_text(tools: Sequence[Any], what: str) -> str:
    """The tools that may be called, for those who see the prompt."""
    return "\n".join(["Tools that may be called:", "<tools>", *(as_json(tool, what) for tool in tools), "</tools>"])


def _call(call: object, what: str) -> str:
    held = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(held, Mapping) or not isinstance(held.get("name"), str):
        raise BadRecord("broken messages", f"{what} has a tool call without the `name` of a function")
    arguments = decoded(held.get("arguments", {}))
    return f"<tool_call>\n{as_json({'name': held['name'], 'arguments': arguments}, what)}\n</tool_call>"


def decoded(value: object) -> Any:
    """The value that a text holds as JSON, where it does; else the value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
