"""Preferences whose prompt has another name: Orca-DPO, alpaca and sharegpt ranking (LLaMA-Factory), axolotl. PURE.

| form | keys |
| --- | --- |
| Orca-DPO | `system`, `question` (or `input`), `chosen`, `rejected` |
| alpaca ranking | `instruction`, `input`, `chosen`, `rejected`, perhaps `system` and `history` |
| sharegpt ranking | `conversations` (or `messages`) and `chosen`, `rejected`: texts, or one message each |
"""

from collections.abc import Mapping
from typing import Any

from concord.client.intake.formats import canonical
from concord.client.intake.formats.record import Decoded, Record
from concord.preference.pairs import BadRecord, checked_text

_QUESTIONS = ("question", "query", "input")
_CHATS = ("conversations", "messages")


def is_orca(row: Decoded) -> bool:
    """Whether a question stands beside the two answers."""
    return _has_sides(row) and "instruction" not in row and any(isinstance(row.get(key), str) for key in _QUESTIONS)


def read_orca(row: Decoded) -> Record:
    """The record of a row of Orca-DPO. Raises BadRecord."""
    question = next(row[key] for key in _QUESTIONS if isinstance(row.get(key), str))
    return canonical.ordered(row, question, _sides(row))


def is_alpaca(row: Decoded) -> bool:
    """Whether an instruction stands beside the two answers, or beside an output of two."""
    return isinstance(row.get("instruction"), str) and (_has_sides(row) or ("prompt" not in row and _is_two(row)))


def read_alpaca(row: Decoded) -> Record:
    """The record of a row of LLaMA-Factory's alpaca form. Raises BadRecord."""
    told = [checked_text(row["instruction"], "`instruction`")]
    told += [checked_text(row["input"], "`input`")] if row.get("input") not in (None, "") else []
    prompt: Any = "\n".join(told)
    if turns := _history(row.get("history")):
        prompt = [*turns, {"role": "user", "content": prompt}]
    return canonical.ordered(row, prompt, row["output"] if not _has_sides(row) else _sides(row))


def is_sharegpt(row: Decoded) -> bool:
    """Whether a chat stands beside the two answers."""
    return "prompt" not in row and _sides_named(row) and any(_is_chat(row.get(key)) for key in _CHATS)


def read_sharegpt(row: Decoded) -> Record:
    """The record of a row of LLaMA-Factory's sharegpt form, or of axolotl's. Raises BadRecord."""
    chat = next(canonical.chat_in(row[key]) for key in _CHATS if _is_chat(row.get(key)))
    if isinstance(canonical.chat_in(row["chosen"]), list):
        return canonical.read_conversation(row)
    return canonical.ordered(row, chat, _sides(row))


def _sides(row: Decoded) -> list[Any]:
    return [canonical.chat_in(row[side]) for side in ("chosen", "rejected")]


def _sides_named(row: Decoded) -> bool:
    return all(row.get(side) is not None for side in ("chosen", "rejected"))


def _has_sides(row: Decoded) -> bool:
    return "prompt" not in row and _sides_named(row) and isinstance(row["chosen"], str)


def _is_two(row: Decoded) -> bool:
    output = row.get("output")
    return isinstance(output, list) and len(output) == 2 and all(isinstance(text, str) for text in output)


def _is_chat(value: object) -> bool:
    held = canonical.chat_in(value)
    return isinstance(held, list) and bool(held) and isinstance(held[0], Mapping)


def _history(given: object) -> list[dict[str, Any]]:
    if given in (None, "", []):
        return []
    if not isinstance(given, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in given):
        raise BadRecord("broken messages", "`history` is not a list of [question, answer]")
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for turn in given for role, text in zip(roles, turn, strict=True)]
