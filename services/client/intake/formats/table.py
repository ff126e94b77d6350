"""All formats that a row may have, in the order in which they are looked for. PURE.

A new format is a module beside this one with two functions, `recognises` and `read`, and a line in FORMATS; what its
records say is checked and made into rows by `rows.rows`, for all formats alike. Beside it: a test, and a line in the
README's table of forms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from concord.client.intake.formats import argilla, canonical, labelstudio
from concord.client.intake.formats.record import Decoded, Record
from concord.preference.pairs import BadRecord


@dataclass(frozen=True)
class Format:
    """How rows of one kind are told from others and read."""

    name: str  # as messages and reports call it
    recognises: Callable[[Decoded], bool]
    read: Callable[[Decoded], Record]  # may raise BadRecord
    family: str = ""  # formats of one family may stand in one file; "": this one alone

    def goes_with(self, other: "Format") -> bool:
        """Whether rows of both may stand in one file."""
        return self == other or (bool(self.family) and self.family == other.family)


# Of a family the more telling one goes first: labels may be absent from some rows, never the structure.
FORMATS = (
    Format("Argilla records", argilla.recognises, argilla.read),
    Format("Label Studio tasks", labelstudio.recognises, labelstudio.read),
    Format(canonical.PREFERENCE, canonical.is_preference, canonical.read_preference),
    Format(canonical.CONVERSATION, canonical.is_conversation, canonical.read_conversation),
    Format(canonical.RECORD, canonical.is_record, canonical.read_responses, family=canonical.RESPONSES),
    Format(canonical.RESPONSES, canonical.is_responses, canonical.read_responses, family=canonical.RESPONSES),
)


def format_of(row: Decoded, formats: Sequence[Format] = FORMATS) -> Format:
    """The first of `formats` that a row has; raises BadRecord where it has none."""
    for known in formats:
        if known.recognises(row):
            return known
    raise BadRecord("missing response", canonical.missing(row))


def record_as_far_as_told(row: Decoded, formats: Sequence[Format] = FORMATS) -> Record:
    """The record of a row that may be broken: what can be told of it."""
    try:
        return format_of(row, formats).read(row)
    except (BadRecord, RecursionError):
        return canonical.read_responses(row)


def together(file: Format | None, row: Format, formats: Sequence[Format] = FORMATS) -> Format:
    """What a file is that holds such a row as well (None: no row yet); raises BadRecord where the two do not go together."""
    if file is None:
        return row
    if not row.goes_with(file):
        raise BadRecord("another form", f"this row is {row.name}, but the file began as {file.name}")
    return min(file, row, key=formats.index)
