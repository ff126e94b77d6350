"""NVIDIA's HelpSteer: people's preference between two responses, or their ratings of one response a row. PURE.

| form | keys |
| --- | --- |
| HelpSteer3 | `context` (a chat), `response1`, `response2`, `overall_preference` from -3 (the first is better) to 3 |
| HelpSteer2, preference | `prompt`, `response_1`, `response_2`, `preference_strength`, likewise |
| HelpSteer2, ratings | `prompt`, `response`, `helpfulness` and four more; the responses to a prompt in neighbouring rows |

Of ratings the helpfulness is compared. Several turns of a prompt stand apart by `<extra_id_1>User` and `<extra_id_1>Assistant`.
"""

import re
from typing import Any

from concord.client.intake.formats import canonical
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.ratings import compared, stronger
from concord.preference.pairs import BadRecord

RATINGS = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
_TURN = re.compile(r"<extra_id_1>(User|Assistant)\n")
_FORMS = (("overall_preference", ("response1", "response2")), ("preference_strength", ("response_1", "response_2")))


def is_preference(row: Decoded) -> bool:
    """Whether a signed preference stands beside two responses."""
    return any(key in row and all(name in row for name in names) for key, names in _FORMS)


def read_preference(row: Decoded) -> Record:
    """The record of a preference. Raises BadRecord."""
    key, names = next((key, names) for key, names in _FORMS if key in row and all(name in row for name in names))
    best = stronger(row[key])
    if best is None and row[key] is not None:
        raise BadRecord("broken label", f"`{key}` is {str(row[key])[:40]!r}, not a number from -3 to 3")
    said = row.get("individual_preference")
    scores = [held.get("score") for held in said if isinstance(held, dict)] if isinstance(said, list) else []
    votes = [choice for score in scores if (choice := stronger(score)) is not None]
    return Record(
        responses=[row[name] for name in names],
        prompt=_chat(row["context"] if row.get("context") is not None else row.get("prompt")),
        domain=row.get("domain"),
        system=row.get("system"),
        tools=row.get("tools"),
        may_be_empty=True,
        majority=best,
        annotations=[{"choice": choice} for choice in votes or ([] if best is None else [best])] or None,
    )


def is_rating(row: Decoded) -> bool:
    """Whether one response stands beside its ratings."""
    return isinstance(row.get("response"), str) and "helpfulness" in row and "prompt" in row


def prompt_key(row: Decoded) -> str | None:
    """What neighbouring rows must share to be responses to one prompt."""
    return row["prompt"] if isinstance(row["prompt"], str) else None


def read_ratings(row: Decoded) -> Record:
    """The record of gathered rows (`rows`: each with response and ratings). Raises BadRecord."""
    gathered: list[Any] = row["rows"]
    if len(gathered) < 2:
        raise BadRecord(
            "missing response",
            "one response to its prompt: a pair needs two, in neighbouring rows; sort the file by prompt",
        )
    labels = compared([held.get("helpfulness") for held in gathered])
    return Record(
        responses=[held.get("response") for held in gathered],
        prompt=_chat(gathered[0].get("prompt")),
        may_be_empty=True,
        majority=labels[0]["choice"] if len(gathered) == 2 and labels else None,
        annotations=labels or None,
    )


def _chat(given: Any) -> Any:
    """A prompt of several turns as messages."""
    if not isinstance(given, str) or not _TURN.search(given):
        return canonical.chat_in(given)
    first, *rest = _TURN.split(given)
    turns = [{"role": "user", "content": first.strip()}]
    turns += [{"role": role.lower(), "content": text.strip()} for role, text in zip(rest[::2], rest[1::2], strict=True)]
    # The prompt may end with the mark of the turn that is asked for.
    return turns[:-1] if not turns[-1]["content"] else turns
