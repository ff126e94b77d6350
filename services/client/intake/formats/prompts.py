"""Prompts that nobody has answered yet, for a run whose models do. PURE.

A prompt is a pair whose two responses are empty. Any row with something to answer is one; responses that stand beside it are not
read, and the assistant's last words in a chat are cut off, so that a file of pairs or of chats gives its prompts.
"""

from typing import Any

from concord.client.intake.formats import canonical
from concord.client.intake.formats.fields import listed
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.messages import is_message, messages_of
from concord.preference.pairs import BadRecord

NAME = "prompts"
_NAMES = ("instruction", "question", "query", "goal")


def recognises(row: Decoded) -> bool:
    """Any row: what it lacks is said when it is read."""
    return True


def read(row: Decoded) -> Record:
    """The record of a prompt. Raises BadRecord where the row has none."""
    prompt = _prompt(row)
    if prompt in (None, "", []):
        raise BadRecord(
            "missing prompt",
            f"no `prompt` to be answered; its columns: {listed(row)}; if it has another name, say it: --columns prompt=…",
        )
    # Its responses are empty, and so may nothing else be.
    return Record(
        responses=["", ""],
        prompt=prompt,
        id=row.get("id"),
        domain=row.get("domain"),
        system=row.get("system"),
        tools=row.get("tools"),
        source=row.get("source"),
        reference=row.get("reference"),
        known={name: row.get(name) for name in (*canonical.ALTERNATIVES,)} | _right(row),
        may_be_empty=True,
        harmful=row.get("harmful"),
    )


def _prompt(row: Decoded) -> Any:
    given = canonical.chat_of(row)
    if given is None:
        name = next((name for name in _NAMES if row.get(name) not in (None, "")), None)
        given = None if name is None else row[name]
        if isinstance(given, str) and isinstance(row.get("input"), str) and row["input"].strip():
            given = f"{given}\n\n{row['input']}"
    if isinstance(given, list) and given and all(map(is_message, given)):
        turns = messages_of(given, "`prompt`")
        while turns and turns[-1].role == "assistant":
            turns.pop()
        return turns
    return given


def _right(row: Decoded) -> dict[str, Any]:
    if row.get("answers") is not None or row.get("reference") is not None:
        return {}
    return {"answers": next((row[name] for name in ("answer", "ground_truth") if row.get(name) is not None), None)}
