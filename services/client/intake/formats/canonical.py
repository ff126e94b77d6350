"""Concord's own formats of a row. PURE.

| format | keys | what stands for truth |
| --- | --- | --- |
| PREFERENCE | `prompt`, `chosen`, `rejected`: texts | `chosen` is better |
| CONVERSATION | the same as lists of messages; the prompt apart, or inside both | `chosen` is better |
| RESPONSES | `prompt`, `responses`: texts, chats, or `{"text", "model"}` | nothing |
| RECORD | RESPONSES with `human_majority`, `human_labels` or `ai_labels` | `human_majority` |

`prompt` is a text or a list of `{"role", "content"}` in every format; `system` and `tools` stand above it. An empty response
is refused, except in a RECORD, which tells what a model did: there it means that the model said nothing. In an export of one
of our own runs only the rows whose `source` is `people` hold a truth.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from concord.client.intake.chat_text import decoded
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.messages import is_message, messages_of, prompt_of
from concord.preference.pairs import BadRecord
from concord.v1 import pairs_pb2 as pb

PREFERENCE = "prompt/chosen/rejected"
CONVERSATION = "prompt/chosen/rejected as chat messages"
RESPONSES = "prompt/responses"
RECORD = "prompt/responses with labels"

_SIDES = ("chosen", "rejected")
_LABELS = ("human_majority", "human_labels", "ai_labels")
_CHATS = ("prompt", "messages", "conversations", "context")
_ASKING = ("user", "human")
# Beside `reference`; and what `answers` is called where there is one right answer.
ALTERNATIVES = ("answers", "choices", "constraints", "schema", "reference_kind", "ordered")
_RIGHT = ("answer", "ground_truth")
_GOLD_KINDS = {"numeric": "number", "short-answer": "short_answer", "choice": "choice"}
UNLIKE = "the prompt's column is unlike the chat's own first turn: the chat is what counts"


def is_preference(row: Decoded) -> bool:
    """Whether a chosen and a rejected text are named."""
    return all(row.get(side) is not None for side in _SIDES) and not isinstance(row["chosen"], list | Mapping)


def is_conversation(row: Decoded) -> bool:
    """Whether a chosen and a rejected conversation are named."""
    return row.get("rejected") is not None and isinstance(row.get("chosen"), list | Mapping)


def is_responses(row: Decoded) -> bool:
    """Whether responses are listed, with labels or without."""
    return row.get("responses") is not None and not any(side in row for side in _SIDES)


def is_record(row: Decoded) -> bool:
    """Whether responses are listed, and some label is named."""
    return is_responses(row) and any(key in row for key in _LABELS)


def read_preference(row: Decoded) -> Record:
    """The record of a PREFERENCE."""
    sides = [chat_in(row[side]) for side in _SIDES]
    if all(isinstance(side, list) for side in sides):
        return conversation(row, row.get("prompt") if _has_prompt(sides[0]) else chat_of(row), sides)
    return ordered(row, chat_of(row), [row[side] for side in _SIDES])


def read_conversation(row: Decoded) -> Record:
    """The record of a CONVERSATION; raises BadRecord where the two part ways before their answers."""
    sides = [[row[side]] if is_message(row[side]) else row[side] for side in _SIDES]
    if is_export(row) and not _has_prompt(sides[0][:1] if isinstance(sides[0], list) else []):
        # What both answers of ours begin with is part of the answers.
        return ordered(row, chat_of(row), [{"turns": side} for side in sides])
    # Where the prompt is inside, other chats of the row are copies of one side, or another cut.
    return conversation(row, row.get("prompt") if _has_prompt(sides[0]) else chat_of(row), sides)


def conversation(row: Decoded, given: Any, sides: Sequence[Any]) -> Record:
    """The record of two conversations, the better one first; `given`: the prompt that stands apart, None where none does."""
    turns = [messages_of(side, f"`{name}`") for name, side in zip(_SIDES, sides, strict=True)]
    shared = shared_turns(*turns)
    for name, said in zip(_SIDES, turns, strict=True):
        check_answer(said[shared:], f"`{name}`")
    prompt, unlike = _joined(given, turns[0][:shared])
    if not prompt:
        raise BadRecord("missing prompt", "no `prompt`, and `chosen` and `rejected` have no opening in common")
    answers = [{"turns": said[shared:]} for said in turns]
    return ordered(row, prompt, answers, (UNLIKE,) if unlike else ())


def _joined(given: Any, opening: list[pb.Message]) -> tuple[list[pb.Message], bool]:
    """The prompt of the column `given` and of what both chats open with; whether the two tell of different prompts."""
    apart = _prompt_apart(given)
    said, held = ([(turn.role, turn.content.strip()) for turn in turns] for turns in (apart, opening))
    # Data sets name the prompt apart and repeat it in both conversations, some with a system message before it.
    if held[: len(said)] == said or held[len(held) - len(said) :] == said:
        return opening, False
    if said[max(0, len(said) - len(held)) :] == held:
        return apart, False
    if "user" in (turn.role for turn in opening) and apart[-1].role == "user":
        return opening, True
    return [*apart, *opening], False


def _has_prompt(side: Any) -> bool:
    listed = side if isinstance(side, list) else []
    return any(is_message(turn) and str(turn.get("role", turn.get("from"))).lower() in _ASKING for turn in listed)


def _prompt_apart(given: Any) -> list[pb.Message]:
    if given in (None, "", []):
        return []
    # What stands apart may be the system's message alone: the chat has the question.
    return messages_of(given, "`prompt`") if isinstance(given, list) else prompt_of(given)


def check_answer(rest: Sequence[pb.Message], what: str) -> None:
    """Raises BadRecord where these messages, of one chat alone, are not one answer: of the assistant, and of its tools."""
    roles = [turn.role for turn in rest]
    if not roles or roles[0] != "assistant" or roles[-1] != "assistant" or not set(roles) <= {"assistant", "tool"}:
        raise BadRecord(
            "not one answer",
            f"{what} must end with one assistant message where the two part ways (tool calls and what they gave may stand "
            "before it); cut both behind the answers that were compared",
        )


def read_responses(row: Decoded) -> Record:
    """The record of RESPONSES or of a RECORD, or what can be told as such of a row that is neither."""
    return Record(
        responses=row.get("responses"),
        prompt=row.get("prompt"),
        id=_id(row),
        domain=row.get("domain"),
        system=row.get("system"),
        tools=row.get("tools"),
        source=_source(row),
        reference=_reference(row),
        known=_known(row),
        harmful=_harmful(row),
        may_be_empty=is_record(row),
        majority=row.get("human_majority"),
        annotations=row.get("human_labels"),
        verdicts=row.get("ai_labels"),
    )


def ordered(row: Decoded, prompt: object, answers: Sequence[Any], remarks: tuple[str, ...] = ()) -> Record:
    """The record of a row whose order is the label; `answers`: the chosen one, then the rejected one."""
    tools, ours = row.get("tools"), is_export(row)
    system = row.get("system")
    if ours:
        prompt, answers, tools, system = _exported(row, prompt, answers, tools, system)
    return Record(
        responses=list(answers),
        prompt=prompt,
        id=_id(row),
        domain=row.get("domain"),
        system=system,
        tools=tools,
        source=_source(row),
        reference=_reference(row),
        known=_known(row),
        harmful=_harmful(row),
        may_be_empty=ours,
        best_first=True,
        best_by_people=by_people(row),
        remarks=remarks,
    )


def _exported(
    row: Decoded, prompt: Any, answers: Sequence[Any], tools: Any, system: Any
) -> tuple[Any, Sequence[Any], Any, Any]:
    """Prompt, answers, tools and system of a row that a run of ours exported: `original` says what its columns cannot."""
    held = decoded(row.get("original"))
    if isinstance(held, Mapping) and all(isinstance(held.get(key), list) for key in ("prompt", *_SIDES)):
        return held["prompt"], [{"turns": held[side]} for side in _SIDES], held.get("tools"), None
    if isinstance(prompt, str):
        # The line break that keeps a text prompt and its answers apart.
        return prompt.removesuffix("\n"), answers, tools, system
    return "" if prompt is None else prompt, answers, tools, system


def chat_of(row: Decoded) -> Any:
    """What stands for the prompt: a text or a chat, under one of its usual names; None where there is none."""
    name = next((name for name in _CHATS if name in row and row[name] not in (None, "")), None)
    return None if name is None else chat_in(row[name])


def chat_in(value: Any) -> Any:
    """The chat that a text holds as JSON, as in a cell of a table; else the value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        held = decoded(value)
        return held if isinstance(held, list) and all(map(is_message, held)) else value
    return value


def is_export(row: Decoded) -> bool:
    """Whether the row comes from a run of ours: then `source` says whose label it is, and a judge's is no truth."""
    return "p_chosen" in row and "weight" in row


def by_people(row: Decoded) -> bool:
    """Whether people's label is what orders the row, as far as it says."""
    return not is_export(row) or row.get("source") == "people"


def _id(row: Decoded) -> Any:
    return row["id"] if "id" in row else row.get("pair_id")


def _source(row: Decoded) -> Any:
    return None if is_export(row) else row.get("source")


def _reference(row: Decoded) -> Any:
    """`reference`, else the data pack's `gold.answer`."""
    if "reference" in row:
        return row["reference"]
    gold = row.get("gold")
    return gold.get("answer") if isinstance(gold, dict) else None


def _harmful(row: Decoded) -> Any:
    """`harmful`, else the data pack's `gold.harmful`."""
    gold = row.get("gold")
    return row.get("harmful", gold.get("harmful") if isinstance(gold, dict) else None)


def _known(row: Decoded) -> Mapping[str, Any]:
    """What else the answers can be checked against, see `preference/references.py`."""
    gold = row.get("gold")
    if isinstance(gold, dict) and "reference" not in row:
        answer, kind = gold.get("answer"), gold.get("kind")
        several = answer.split("/") if kind == "short-answer" and isinstance(answer, str) else []
        return {"answers": [text for text in several if text.strip()], "reference_kind": _GOLD_KINDS.get(str(kind))}
    known = {name: row.get(name) for name in ALTERNATIVES}
    if known["constraints"] is None and "instruction_id_list" in row:
        known["constraints"] = _instructions(row["instruction_id_list"], row.get("kwargs"))
    if known["answers"] is None and "reference" not in row:
        known["answers"] = next((row[name] for name in _RIGHT if row.get(name) is not None), None)
    return known


def _instructions(names: Any, settings: Any) -> list[Any]:
    """IFEval's demands: their names in one column, their settings in another."""
    if not isinstance(names, list) or not isinstance(settings, list) or len(names) != len(settings):
        return []
    return [
        {**held, "name": name} if isinstance(held, Mapping) else None
        for name, held in zip(names, settings, strict=True)
    ]


def shared_turns(chosen: Sequence[pb.Message], rejected: Sequence[pb.Message]) -> int:
    """How many messages both open with; the last of each is its answer and never counts."""
    shared = 0
    for one, other in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != other:
            break
        shared += 1
    return shared
