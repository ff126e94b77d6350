"""NeMo RL's preferences, and our own export of that name: a context and ranked completions. PURE.

`{"context": [messages], "completions": [{"rank": 0, "completion": [messages]}, …]}`; the lower rank is the better one.
"""

from collections.abc import Mapping

from concord.client.intake.formats import canonical
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.ratings import compared, number_of
from concord.preference.pairs import BadRecord


def recognises(row: Decoded) -> bool:
    """Whether completions are listed, each with its rank."""
    listed = row.get("completions")
    return (
        isinstance(listed, list)
        and bool(listed)
        and all(isinstance(one, Mapping) and "completion" in one for one in listed)
    )


def read(row: Decoded) -> Record:
    """The record of a row. Raises BadRecord."""
    held = row["completions"]
    ranks = [number_of(one.get("rank")) for one in held]
    if None in ranks:
        raise BadRecord("broken label", "a completion has no `rank` that is a number")
    prompt, answers = row["context"] if "context" in row else row.get("prompt"), [one["completion"] for one in held]
    if len(held) == 2 and ranks[0] != ranks[1]:
        better = sorted(range(2), key=lambda at: ranks[at] or 0)
        return canonical.ordered(row, prompt, [answers[at] for at in better])
    labels = compared(ranks, low_is_best=True)
    return Record(
        responses=answers,
        prompt=prompt,
        id=row.get("id"),
        tools=row.get("tools"),
        may_be_empty=True,
        majority=labels[0]["choice"] if len(held) == 2 else None,
        annotations=labels,
    )
