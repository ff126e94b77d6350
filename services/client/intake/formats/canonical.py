"""From one decoded line of a file to a row: the forms in which preference data comes. PURE.

| form | keys | what stands for truth |
| --- | --- | --- |
| PREFERENCE | `prompt`, `chosen`, `rejected`: texts | `chosen` is better |
| CONVERSATION | the same as lists of messages; the prompt apart, or inside both | `chosen` is better |
| RESPONSES | `prompt`, `responses`: two texts, or two of `{"text", "model"}` | nothing |
| RECORD | RESPONSES with `human_majority`, `human_labels` or `ai_labels` | `human_majority` |

`prompt` is a text or a list of `{"role", "content"}` in every form. An empty response is refused, except in a RECORD,
which tells what a model did: there it means that the model said nothing. In an export of one of our own runs only the
rows whose `source` is `people` hold a truth. Rows with more responses: see many.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from concord.client.intake.verdicts import CHOSEN, better, recorded_verdicts
from concord.preference.pairs import (
    MAX_ID_CHARACTERS,
    ROLES,
    BadRecord,
    Choice,
    Row,
    checked_text,
    domain_of,
    make_pair,
)
from concord.v1 import pairs_pb2 as pb

PREFERENCE = "prompt/chosen/rejected"
CONVERSATION = "prompt/chosen/rejected as chat messages"
RESPONSES = "prompt/responses"
RECORD = "prompt/responses with labels"

_LABELS = ("human_majority", "human_labels", "ai_labels")
# Keeps this draw apart from every other hash of an id.
_ORDER = "concord-order"

Record = Mapping[str, Any]


def form_of(record: object) -> str:
    """Which of the forms a decoded line has; raises BadRecord where it has none of them."""
    if not isinstance(record, dict):
        raise BadRecord("not an object", "the line is JSON, but not an object {…}")
    if "chosen" in record or "rejected" in record:
        missing = [key for key in ("chosen", "rejected") if record.get(key) is None]
        if missing:
            raise BadRecord("missing response", f"no `{missing[0]}`")
        return CONVERSATION if isinstance(record["chosen"], list) else PREFERENCE
    if record.get("responses") is None:
        found = ", ".join(sorted(map(repr, record))[:8]) or "none"
        raise BadRecord("missing response", f"neither `chosen` and `rejected` nor `responses`; its keys: {found}")
    return RECORD if any(key in record for key in _LABELS) else RESPONSES


def same_family(form: str, other: str) -> bool:
    """Whether rows of these forms may stand in one file: labels may be absent from some rows, never the structure."""
    labelled = (RESPONSES, RECORD)
    return form == other or (form in labelled and other in labelled)


def row_of(record: Record, form: str, number: int) -> Row:
    """The row that a record of this form is; `number` (from 1) names it where it has no id.

    The order of `chosen` and `rejected` is drawn by a hash of the id, so that the label is not in the position.
    Raises BadRecord.
    """
    if form == PREFERENCE:
        return _preference(record, number)
    if form == CONVERSATION:
        return _conversation(record, number)
    return _responses(record, form, number)


def _preference(record: Record, number: int) -> Row:
    texts = [checked_text(record[key], f"`{key}`") for key in ("chosen", "rejected")]
    return _labelled(record, number, _prompt(record, may_be_empty=False), texts)


def _conversation(record: Record, number: int) -> Row:
    turns = [_messages(record[key], f"`{key}`") for key in ("chosen", "rejected")]
    shared = _shared_turns(*turns)
    texts = []
    for key, said in zip(("chosen", "rejected"), turns, strict=True):
        rest = said[shared:]
        if len(rest) != 1 or rest[0].role != "assistant":
            raise BadRecord("not one answer", f"`{key}` must end with one assistant message where the two part ways")
        texts.append(rest[0].content)
    given = _prompt(record, may_be_empty=False) if record.get("prompt") is not None else []
    opening = turns[0][:shared]
    # Data sets name the prompt apart and repeat it in both conversations, some with a system message before it.
    repeated = opening[: len(given)] == given or opening[-len(given) :] == given
    prompt = opening if repeated else [*given, *opening]
    if not prompt:
        raise BadRecord("missing prompt", "no `prompt`, and `chosen` and `rejected` have no opening in common")
    _check_turns(prompt)
    return _labelled(record, number, prompt, texts)


def _labelled(record: Record, number: int, prompt: list[pb.Message], texts: Sequence[str]) -> Row:
    """`texts` holds the chosen text, then the rejected one."""
    if texts[0] == texts[1]:
        raise BadRecord("same responses", "`chosen` and `rejected` are the same text")
    pair_id = id_of(record, number)
    chosen, rejected = (pb.Response(text=text) for text in texts)
    chosen_first = hashlib.sha256(f"{_ORDER}/{pair_id}".encode()).digest()[0] % 2 == 0
    responses = (chosen, rejected) if chosen_first else (rejected, chosen)
    truth = pb.CHOICE_FIRST if chosen_first else pb.CHOICE_SECOND
    pair = make_pair(pair_id, prompt, *responses, domain=_domain(record), reference=_reference(record))
    verdicts = (pb.RecordedVerdict(judge=CHOSEN, choice=truth),)
    if _is_export(record) and record.get("source") != "people":
        return Row(pair, None, (), verdicts)
    return Row(pair, truth, (truth,), verdicts)


def _is_export(record: Record) -> bool:
    """Whether the row comes from a run of ours: then `source` says whose label it is, and a judge's is no truth."""
    return "p_chosen" in record and "weight" in record


def _responses(record: Record, form: str, number: int) -> Row:
    listed = record["responses"]
    if not isinstance(listed, list):
        raise BadRecord("missing response", "`responses` is not a list")
    if len(listed) > 2:
        raise BadRecord("more than two responses", f"{len(listed)} responses; a pair has two")
    if len(listed) < 2:
        raise BadRecord("missing response", f"{len(listed)} of two responses")
    first, second = (_response(value, at, form == RECORD) for at, value in enumerate(listed))
    majority = record.get("human_majority")
    return Row(
        pair=make_pair(
            id_of(record, number),
            _prompt(record, may_be_empty=form == RECORD),
            first,
            second,
            domain=_domain(record),
            reference=_reference(record),
        ),
        truth=None if majority is None else better(majority, "human_majority"),
        people=_people(record.get("human_labels")),
        verdicts=recorded_verdicts(record.get("ai_labels")),
    )


def _response(value: object, at: int, may_be_empty: bool) -> pb.Response:
    what = f"response {at}"
    if isinstance(value, dict):
        if "text" not in value:
            raise BadRecord("missing response", f"{what} has no `text`")
        model = value.get("model") or ""
        text = checked_text(value["text"], what, may_be_empty=may_be_empty)
        return pb.Response(text=text, model=checked_text(model, f"{what}'s model", may_be_empty=True))
    return pb.Response(text=checked_text(value, what, may_be_empty=may_be_empty))


def _people(labels: object) -> tuple[Choice, ...]:
    """What single people said; labels of other kinds than `pairwise` say nothing of which response is better."""
    if labels is None:
        return ()
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise BadRecord("broken label", "`human_labels` is not a list of objects")
    pairwise = [label for label in labels if label.get("kind", "pairwise") == "pairwise"]
    said = [better(label.get("choice"), "human_labels", label.get("pair")) for label in pairwise]
    return tuple(choice for choice in said if choice != pb.CHOICE_UNSPECIFIED)


def _prompt(record: Record, may_be_empty: bool) -> list[pb.Message]:
    given = record.get("prompt")
    if given is None:
        raise BadRecord("missing prompt", "no `prompt`")
    if isinstance(given, list):
        if not given and not may_be_empty:
            raise BadRecord("missing prompt", "`prompt` has no messages")
        turns = _messages(given, "`prompt`")
        _check_turns(turns)
        return turns
    if may_be_empty and given == "":
        return []
    return [pb.Message(role="user", content=checked_text(given, "`prompt`"))]


def _messages(given: object, what: str) -> list[pb.Message]:
    if not isinstance(given, list):
        raise BadRecord("broken messages", f"{what} is not a list of messages")
    turns = []
    for at, message in enumerate(given):
        if not isinstance(message, dict):
            raise BadRecord("broken messages", f"{what}: message {at} is not an object with `role` and `content`")
        if message.get("role") not in ROLES:
            role = str(message.get("role"))[:40]
            raise BadRecord(
                "broken messages", f"{what}: message {at} has the role {role!r}, not one of {', '.join(ROLES)}"
            )
        content = checked_text(message.get("content"), f"{what}: message {at}")
        turns.append(pb.Message(role=message["role"], content=content))
    return turns


def _check_turns(prompt: Sequence[pb.Message]) -> None:
    if prompt and prompt[-1].role not in ("user", "tool"):
        raise BadRecord(
            "broken messages", f"`prompt` ends with the {prompt[-1].role}, so that there is nothing to answer"
        )


def _shared_turns(chosen: Sequence[pb.Message], rejected: Sequence[pb.Message]) -> int:
    """How many messages both open with; the last of each is its answer and never counts."""
    shared = 0
    for one, other in zip(chosen[:-1], rejected[:-1], strict=False):
        if one != other:
            break
        shared += 1
    return shared


def id_of(record: Record, number: int) -> str:
    """The row's id: `id`, `pair_id` or `row-<number>`; raises BadRecord."""
    given = record.get("id", record.get("pair_id"))
    if given is None:
        return f"row-{number}"
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise BadRecord("broken id", "`id` is neither a text nor a whole number")
    text = checked_text(str(given), "`id`")
    if len(text) > MAX_ID_CHARACTERS or not text.isprintable():
        raise BadRecord("broken id", f"`id` is longer than {MAX_ID_CHARACTERS} characters or not printable")
    return text


def _domain(record: Record) -> str:
    named, source = (record.get(key) or "" for key in ("domain", "source"))
    source = "" if _is_export(record) else source
    named = checked_text(named, "`domain`", may_be_empty=True)
    return domain_of(named, source if isinstance(source, str) else "")


def _reference(record: Record) -> str:
    """`reference`, else the data pack's `gold.answer`; a number is an answer too."""
    gold = record.get("gold")
    given = record.get("reference", gold.get("answer") if isinstance(gold, dict) else None)
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = str(given)
    return "" if given is None else checked_text(given, "`reference`", may_be_empty=True)
