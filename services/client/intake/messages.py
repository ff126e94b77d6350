"""Chat messages as files hold them: of a prompt, of a conversation, of an answer. PURE.

Read are `{"role", "content"}` and `{"from", "value"}`, whatever the role is called; `content` may be a list of text parts.
A message with tool calls or reasoning is written out as text (see `chat_text`) and kept as it was in `original`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from concord.client.intake.chat_text import REASONING, answer_text, as_json, content_of, decoded, tools_text, written
from concord.preference.pairs import ROLES, BadRecord, checked_text
from concord.v1 import pairs_pb2 as pb

_ROLE = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "prompter", "instruction"), "user"),
    **dict.fromkeys(("gpt", "bot", "model", "ai", "chatgpt", "bing", "bard", "claude", "function_call"), "assistant"),
    **dict.fromkeys(("developer", "context"), "system"),
    **dict.fromkeys(("function", "observation", "tool_response", "ipython", "environment"), "tool"),
}
# What a message may have beside role and content, and what an answer is not itself without.
_KEPT = ("tool_calls", "tool_call_id", "name")
_NAMES_ROLE, _CONTENTS = ("role", "from"), ("content", "value", "text")
_READ = {*_NAMES_ROLE, *_CONTENTS, *REASONING, *_KEPT, "function_call"}
_MEDIA = ("images", "image", "audio", "video", "videos", "audios")


def prompt_of(given: object, may_be_empty: bool = False) -> list[pb.Message]:
    """The messages of a prompt that is a text or a list of messages; raises BadRecord, also where nobody is to answer."""
    if given is None:
        raise BadRecord("missing prompt", "no `prompt`; if it has another name, say it: --columns prompt=…")
    if isinstance(given, list | Mapping):
        if not given and not may_be_empty:
            raise BadRecord("missing prompt", "`prompt` has no messages")
        turns = messages_of([given] if is_message(given) else given, "`prompt`")
        _check_end(turns)
        return turns
    if may_be_empty and given == "":
        return []
    return [pb.Message(role="user", content=checked_text(given, "`prompt`"))]


def messages_of(given: object, what: str) -> list[pb.Message]:
    """The messages of a list of them; raises BadRecord, naming `what`. A system message that says nothing is none."""
    given = _in_rows(given)
    if not isinstance(given, list):
        raise BadRecord("broken messages", f"{what} is not a list of messages")
    turns = [_message(message, f"{what}: message {at}") for at, message in enumerate(given)]
    return [turn for turn in turns if turn.content]


def answer_of(turns: Sequence[pb.Message], what: str, model: str = "") -> pb.Response:
    """One response of an answer's messages: of the assistant, perhaps with what tools said between. Raises BadRecord."""
    if not turns or turns[0].role != "assistant" or turns[-1].role != "assistant":
        raise BadRecord("not one answer", f"{what} must begin and end with a message of the assistant")
    if len(turns) == 1 and not turns[0].original:
        return pb.Response(text=turns[0].content, model=model)
    text = checked_text(answer_text(turns), what)
    return pb.Response(text=text, model=model, original=as_json([plain(turn) for turn in turns], what))


def plain(turn: pb.Message) -> dict[str, Any]:
    """The message as JSON holds it."""
    held: dict[str, Any] = json.loads(turn.original) if turn.original else {"role": turn.role, "content": turn.content}
    return held


def is_message(value: object) -> bool:
    """Whether this is one chat message."""
    return isinstance(value, Mapping) and any(key in value and not isinstance(value[key], list) for key in _NAMES_ROLE)


def not_read(value: object) -> list[str]:
    """The keys of the messages in a cell that hold something and that nobody reads; none for a cell of no messages."""
    turns = [value] if is_message(value) else _in_rows(value)
    if not isinstance(turns, list) or not turns or not is_message(turns[0]):
        return []
    keys = {key: held for turn in turns if isinstance(turn, Mapping) for key, held in turn.items()}
    return [key for key, held in keys.items() if key not in _READ and held not in (None, "", [], {})]


def _in_rows(given: Any) -> Any:
    """A chat as a table may have it, an object of lists, as a list of objects."""
    if not isinstance(given, Mapping) or not all(isinstance(held, list) for held in given.values()):
        return given
    longest = max(map(len, given.values()), default=0)
    return [{key: held[at] for key, held in given.items() if at < len(held)} for at in range(longest)]


def tools_message(tools: object) -> list[pb.Message]:
    """The tools that may be called as the message that shows them; none where there are none. Raises BadRecord."""
    tools = decoded(tools)
    if tools in (None, "", [], {}):
        return []
    listed = tools if isinstance(tools, list) else [tools]
    if not all(isinstance(tool, Mapping) for tool in listed):
        raise BadRecord("broken messages", "`tools` is not a list of objects")
    original = as_json({"tools": listed}, "`tools`")
    return [pb.Message(role="system", content=tools_text(listed, "`tools`"), original=original)]


def _message(message: object, what: str) -> pb.Message:
    if isinstance(message, pb.Message):
        return message
    if not isinstance(message, Mapping):
        raise BadRecord("broken messages", f"{what} is not an object with `role` and `content`")
    role, content = _role(message, what), message.get("content")
    if len(message) == 2 and isinstance(content, str) and "role" in message and message["role"] != "function_call":
        return pb.Message(role=role, content=checked_text(content, what, may_be_empty=role == "system"))
    if held := next((key for key in _MEDIA if message.get(key) not in (None, "", [], {})), ""):
        raise BadRecord("not a text", f"{what} holds {held}: Concord compares texts alone")
    text, calls, thought = content_of(_content(message), what)
    if str(message.get("from", message.get("role"))).lower() == "function_call":
        text, calls = "", _listed(decoded(text))
    calls += _listed(decoded(message.get("tool_calls"))) or _listed(decoded(message.get("function_call")))
    reasoning = "\n".join(filter(None, [thought, _reasoning(message, what)]))
    content = written(text, calls, reasoning, what) if calls or reasoning else text
    if role != "system" or content:
        checked_text(content, what)
    kept: dict[str, Any] = {"role": role, "content": text} | ({"reasoning_content": reasoning} if reasoning else {})
    kept |= {"tool_calls": calls} if calls else {}
    kept |= {key: message[key] for key in _KEPT if key not in kept and message.get(key) is not None}
    original = as_json(kept, what) if len(kept) > 2 else ""
    return pb.Message(role=role, content=content, original=original)


def _role(message: Mapping[str, Any], what: str) -> str:
    given = message.get("role", message.get("from"))
    role = _ROLE.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        raise BadRecord("broken messages", f"{what} has the role {str(given)[:40]!r}, not one of {', '.join(ROLES)}")
    return role


def _content(message: Mapping[str, Any]) -> object:
    return next((message[key] for key in _CONTENTS if message.get(key) is not None), None)


def _reasoning(message: Mapping[str, Any], what: str) -> str:
    given = next((message[key] for key in REASONING if message.get(key)), "")
    return checked_text(given, f"{what}: the reasoning", may_be_empty=True)


def _listed(value: object) -> list[Any]:
    if value in (None, "", [], {}):
        return []
    return list(value) if isinstance(value, list) else [value]


def _check_end(prompt: Sequence[pb.Message]) -> None:
    if prompt and prompt[-1].role not in ("user", "tool"):
        raise BadRecord(
            "broken messages", f"`prompt` ends with the {prompt[-1].role}, so that there is nothing to answer"
        )
