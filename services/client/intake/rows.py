"""From a record to the rows that it gives: the one place where what a file says is checked. PURE.

A record's labels stand apart from its responses (`majority`, `annotations`, `verdicts`), or its order is the label
(`best_first`). Of more than two responses pairs are made, see `multi_response`.
"""

import hashlib
from typing import Any

from concord import sample
from concord.client.intake.formats.record import Record
from concord.client.intake.labels import better, people_said, recorded_verdicts
from concord.client.intake.messages import answer_of, is_message, messages_of, prompt_of, tools_message
from concord.client.intake.multi_response import MAX_RESPONSES, pair_ids, pair_records
from concord.client.intake.verdicts import CHOSEN
from concord.kit.plural import many
from concord.preference.pairs import MAX_ID_CHARACTERS, BadRecord, Row, checked_name, checked_text, domain_of, make_pair
from concord.preference.references import reference_of
from concord.v1 import pairs_pb2 as pb

# Keeps this draw apart from every other hash of an id.
_ORDER = "concord-order"


def rows(record: Record, number: int) -> list[Row]:
    """The rows that a record gives: one, or one for each pair of more than two responses, with the ids `<id>/i-j`.

    `number` (from 1) names the record where it has no id. Raises BadRecord for whatever a run cannot carry.
    """
    if record.best_first:
        return [_ordered(record, number)]
    return _paired(record, number) if record.has_many else [_labelled(record, number)]


def possible_ids(record: Record, number: int) -> set[str]:
    """The ids that the rows of this record could have, also where it is refused."""
    name = f"row-{number}" if record.id is None else str(record.id)
    return {name, *(pair_ids(name, len(record.responses)) if record.has_many else ())}


def _ordered(record: Record, number: int) -> Row:
    """The order in the pair is drawn by a hash of the id, so that the label is not in the position."""
    names = ("`chosen`", "`rejected`")
    empty = record.may_be_empty
    chosen, rejected = (_response(value, what, empty) for what, value in zip(names, _two(record), strict=True))
    prompt = _prompt(record)
    if chosen.text == rejected.text:
        raise BadRecord("same responses", "`chosen` and `rejected` are the same text")
    pair_id = _id(record, number)
    chosen_first = hashlib.sha256(f"{_ORDER}/{pair_id}".encode()).digest()[0] % 2 == 0
    responses = (chosen, rejected) if chosen_first else (rejected, chosen)
    truth = pb.CHOICE_FIRST if chosen_first else pb.CHOICE_SECOND
    pair = make_pair(pair_id, prompt, *responses, domain=_domain(record), **_known(record))
    verdicts = (pb.RecordedVerdict(judge=CHOSEN, choice=truth),)
    return Row(pair, truth, (truth,), verdicts) if record.best_by_people else Row(pair, None, (), verdicts)


def _labelled(record: Record, number: int) -> Row:
    may_be_empty = record.may_be_empty
    first, second = (_response(value, f"response {at}", may_be_empty) for at, value in enumerate(_two(record)))
    pair_id, prompt = _id(record, number), _prompt(record)
    pair = make_pair(pair_id, prompt, first, second, domain=_domain(record), **_known(record))
    pair.first_place, pair.second_place = record.places
    return Row(
        pair=pair,
        truth=None if record.majority is None else better(record.majority, "human_majority"),
        people=people_said(record.annotations),
        verdicts=recorded_verdicts(record.verdicts),
    )


def _paired(record: Record, number: int) -> list[Row]:
    if len(record.responses) > MAX_RESPONSES:
        count = len(record.responses)
        raise BadRecord("too many responses", f"{many(count, 'response')}, at most {MAX_RESPONSES} a prompt")
    name = _id(record, number)
    made = [_labelled(pair, number) for pair in pair_records(record, name)]
    if not made[0].pair.prompt:
        # Without a prompt each pair would be a group of its own, though the pairs of a row share their responses.
        group = int.from_bytes(hashlib.sha256(f"concord-responses/{name}".encode()).digest()[:8], "big")
        for row in made:
            row.pair.group = group
    return made


def _two(record: Record) -> list[Any]:
    listed = record.responses
    if not isinstance(listed, list):
        raise BadRecord("missing response", "`responses` is not a list")
    if len(listed) > 2:
        raise BadRecord("more than two responses", f"{many(len(listed), 'response')}; a pair has two")
    if len(listed) < 2:
        raise BadRecord("missing response", f"{len(listed)} of two responses")
    return listed


def _prompt(record: Record) -> list[pb.Message]:
    """The prompt below the tools that may be called and the system's text, where these stand apart from it."""
    turns = prompt_of(record.prompt, record.may_be_empty)
    above = tools_message(record.tools)
    if record.system not in (None, ""):
        said = pb.Message(role="system", content=checked_text(record.system, "the system's text", may_be_empty=True))
        above += [said] if said.content.strip() and said not in turns else []
    return [*above, *turns]


def _response(value: object, what: str, may_be_empty: bool) -> pb.Response:
    if is_message(value) or isinstance(value, list):
        return answer_of(messages_of(value if isinstance(value, list) else [value], what), what)
    if isinstance(value, dict) and "turns" in value:
        model = checked_name(value.get("model") or "", f"{what}'s model")
        return answer_of(messages_of(value["turns"], what), what, model)
    if isinstance(value, dict):
        if "text" not in value:
            raise BadRecord("missing response", f"{what} has no `text`")
        model = value.get("model") or ""
        text = checked_text(value["text"], what, may_be_empty=may_be_empty)
        return pb.Response(text=text, model=checked_name(model, f"{what}'s model"))
    return pb.Response(text=checked_text(value, what, may_be_empty=may_be_empty))


def _id(record: Record, number: int) -> str:
    given = record.id
    if given is None:
        return f"row-{number}"
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise BadRecord("broken id", "`id` is neither a text nor a whole number")
    text = checked_text(_number_text(given, "`id`") if isinstance(given, int) else given, "`id`")
    if len(text) > MAX_ID_CHARACTERS or not text.isprintable():
        raise BadRecord("broken id", f"`id` is longer than {MAX_ID_CHARACTERS} characters or not printable")
    return text


def _domain(record: Record) -> str:
    named = checked_name(record.domain or "", "`domain`")
    source = record.source if isinstance(record.source, str) else ""
    return domain_of(named, checked_name(source, "`source`"))


def _known(record: Record) -> dict[str, Any]:
    """What else is known of the pair: what its answers can be checked against, and whether they may hurt.

    The bundled sample has nothing to check against, for it is made of its references.
    """
    is_sample = record.source == sample.SOURCE
    return {
        "reference": _reference(record),
        "known": None if is_sample else reference_of(record.reference, record.known),
        # Any other word in a column of this name is somebody else's.
        "harmful": record.harmful is True,
    }


def _reference(record: Record) -> str:
    given = record.reference
    if isinstance(given, list):
        return ""
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = _number_text(given, "`reference`")
    return "" if given is None else checked_text(given, "`reference`", may_be_empty=True)


def _number_text(value: int | float, what: str) -> str:
    # Python refuses to write a number of thousands of digits out.
    if isinstance(value, int) and abs(value) >= 10**MAX_ID_CHARACTERS:
        raise BadRecord("broken number", f"{what} is a number of over {MAX_ID_CHARACTERS} digits")
    return str(value)
