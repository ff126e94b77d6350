"""Chat messages as files hold them: of a prompt, of a conversation. PURE."""

from collections.abc import Sequence

from concord.preference.pairs import ROLES, BadRecord, checked_text
from concord.v1 import pairs_pb2 as pb


def prompt_of(given: object, may_be_empty: bool = False) -> list[pb.Message]:
    """The messages of a prompt that is a text or a list of messages; raises BadRecord, also where nobody is to answer."""
    if given is None:
        raise BadRecord("missing prompt", "no `prompt`")
    if isinstance(given, list):
        if not given and not may_be_empty:
            raise BadRecord("missing prompt", "`prompt` has no messages")
        turns = messages_of(given, "`prompt`")
        _check_end(turns)
        return turns
    if may_be_empty and given == "":
        return []
    return [pb.Message(role="user", content=checked_text(given, "`prompt`"))]


def messages_of(given: object, what: str) -> list[pb.Message]:
    """The messages of a list of `{"role", "content"}`; raises BadRecord, naming `what`."""
    if not isinstance(given, list):
        raise BadRecord("broken messages", f"{what} is not a list of messages")
    return [_message(message, f"{what}: message {at}") for at, message in enumerate(given)]


def _message(message: object, what: str) -> pb.Message:
    if not isinstance(message, dict):
        raise BadRecord("broken messages", f"{what} is not an object with `role` and `content`")
    if message.get("role") not in ROLES:
        role = str(message.get("role"))[:40]
        raise BadRecord("broken messages", f"{what} has the role {role!r}, not one of {', '.join(ROLES)}")
    return pb.Message(role=message["role"], content=checked_text(message.get("content"), what))


def _check_end(prompt: Sequence[pb.Message]) -> None:
    if prompt and prompt[-1].role not in ("user", "tool"):
        raise BadRecord(
            "broken messages", f"`prompt` ends with the {prompt[-1].role}, so that there is nothing to answer"
        )
