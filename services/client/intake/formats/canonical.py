"""Concord's own formats of a row. PURE.

| format | keys | what stands for truth |
| --- | --- | --- |
| PREFERENCE | `prompt`, `chosen`, `rejected`: texts | `chosen` is better |
| CONVERSATION | the same as lists of messages; the prompt apart, or inside both | `chosen` is better |
| RESPONSES | `prompt`, `responses`: texts, or `{"text", "model"}` | nothing |
| RECORD | RESPONSES with `human_majority`, `human_labels` or `ai_labels` | `human_majority` |

`prompt` is a text or a list of `{"role", "content"}` in every format. An empty response is refused, except in a RECORD,
which tells what a model did: there it means that the model said nothing. In an export of one of our own runs only the
rows whose `source` is `people` hold a truth.
"""

from collections.abc import Sequence
from typing import Any

from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.messages import messages_of, prompt_of
from concord.preference.pairs import BadRecord
from concord.v1 import pairs_pb2 as pb

PREFERENCE = "prompt/chosen/rejected"
CONVERSATION = "prompt/chosen/rejected as chat messages"
RESPONSES = "prompt/responses"
RECORD = "prompt/responses with labels"

_SIDES = ("chosen", "rejected")
_LABELS = ("human_majority", "human_labels", "ai_labels")


def is_preference(row: Decoded) -> bool:
    """Whether a chosen and a rejected text are named."""
    return all(row.get(side) is not None for side in _SIDES) and not isinstance(row["chosen"], list)


def is_conversation(row: Decoded) -> bool:
    """Whether a chosen and a rejected conversation are named."""
    return row.get("rejected") is not None and isinstance(row.get("chosen"), list)


def is_responses(row: Decoded) -> bool:
    """Whether responses are listed, with labels or without."""
    return row.get("responses") is not None and not any(side in row for side in _SIDES)


def is_record(row: Decoded) -> bool:
    """Whether responses are listed, and some label is named."""
    return is_responses(row) and any(key in row for key in _LABELS)


def read_preference(row: Decoded) -> Record:
    """The record of a PREFERENCE."""
    return _ordered(row, row.get("prompt"), [row[side] for side in _SIDES])


def read_conversation(row: Decoded) -> Record:
    """The record of a CONVERSATION; raises BadRecord where the two part ways before their last messages."""
    turns = [messages_of(row[side], f"`{side}`") for side in _SIDES]
    shared = _shared_turns(*turns)
    for side, said in zip(_SIDES, turns, strict=True):
        if len(said) != shared + 1 or said[shared].role != "assistant":
            raise BadRecord("not one answer", f"`{side}` must end with one assistant message where the two part ways")
    given = prompt_of(row["prompt"]) if row.get("prompt") is not None else []
    opening = turns[0][:shared]
    # Data sets name the prompt apart and repeat it in both conversations, some with a system message before it.
    repeated = opening[: len(given)] == given or opening[-len(given) :] == given
    prompt = opening if repeated else [*given, *opening]
    if not prompt:
        raise BadRecord("missing prompt", "no `prompt`, and `chosen` and `rejected` have no opening in common")
    messages = [{"role": turn.role, "content": turn.content} for turn in prompt]
    return _ordered(row, messages, [said[shared].content for said in turns])


def read_responses(row: Decoded) -> Record:
    """The record of RESPONSES or of a RECORD, or what can be told as such of a row that is neither."""
    return Record(
        responses=row.get("responses"),
        prompt=row.get("prompt"),
        id=_id(row),
        domain=row.get("domain"),
        source=_source(row),
        reference=_reference(row),
        may_be_empty=is_record(row),
        majority=row.get("human_majority"),
        annotations=row.get("human_labels"),
        verdicts=row.get("ai_labels"),
    )


def missing(row: Decoded) -> str:
    """What a row lacks that has none of these formats, in words."""
    if any(side in row for side in _SIDES):
        return f"no `{next(side for side in _SIDES if row.get(side) is None)}`"
    found = ", ".join(sorted(map(repr, row))[:8]) or "none"
    return f"neither `chosen` and `rejected` nor `responses`; its keys: {found}"


def _ordered(row: Decoded, prompt: object, texts: Sequence[Any]) -> Record:
    """`texts` holds the chosen text, then the rejected one."""
    return Record(
        responses=[{"text": text} for text in texts],
        prompt=prompt,
        id=_id(row),
        domain=row.get("domain"),
        source=_source(row),
        reference=_reference(row),
        best_first=True,
        best_by_people=not _is_export(row) or row.get("source") == "people",
    )


def _is_export(row: Decoded) -> bool:
    """Whether the row comes from a run of ours: then `source` says whose label it is, and a judge's is no truth."""
    return "p_chosen" in row and "weight" in row


def _id(row: Decoded) -> Any:
    return row.get("id", row.get("pair_id"))


def _source(row: Decoded) -> Any:
    return None if _is_export(row) else row.get("source")


def _reference(row: Decoded) -> Any:
    """`reference`, else the data pack's `gold.answer`."""
    gold = row.get("gold")
    return row.get("reference", gold.get("answer") if isinstance(gold, dict) else None)


def _shared_turns(chosen: Sequence[pb.Message], rejected: Sequence[pb.Message]) -> int:
    """How many messages both open with; the last of each is its answer and never counts."""
    shared = 0
    for one, other in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != other:
            break
        shared += 1
    return shared
