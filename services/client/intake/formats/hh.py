"""HH-RLHF and what is made of it: whole conversations as texts, `\\n\\nHuman: …\\n\\nAssistant: …`. PURE.

`chosen` and `rejected` are such texts, or the answers alone beside a `prompt` that is one.
"""

from concord.client.intake.formats import canonical
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.transcripts import is_transcript, opening_of, turns_of


def recognises(row: Decoded) -> bool:
    """Whether both sides, or the prompt before them, are transcripts."""
    if canonical.is_export(row) or not all(isinstance(row.get(side), str) for side in ("chosen", "rejected")):
        return False
    return is_transcript(row.get("prompt")) or (is_transcript(row["chosen"]) and is_transcript(row["rejected"]))


def read(row: Decoded) -> Record:
    """The record of a row. Raises BadRecord."""
    prompt = row.get("prompt")
    given = opening_of(prompt) if isinstance(prompt, str) and is_transcript(prompt) else prompt
    sides = [row["chosen"], row["rejected"]]
    if all(map(is_transcript, sides)):
        return canonical.conversation(row, given, [turns_of(side) for side in sides])
    return canonical.ordered(row, given, [side.strip() for side in sides])
