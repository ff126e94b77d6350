"""All formats that a row may have, in the order in which they are looked for. PURE.

A new format is a module beside this one with two functions, `recognises` and `read`, and a line in FORMATS; what its
records say is checked and made into rows by `rows.rows`, for all formats alike. Beside it: a test, and a line in the
table of forms in docs/formats.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from concord.client.intake.formats import (
    arena,
    argilla,
    canonical,
    helpsteer,
    hh,
    instructions,
    labelstudio,
    mapped,
    nemo,
    prompts,
    scored,
    unpaired,
)
from concord.client.intake.formats.record import Decoded, Record
from concord.preference.pairs import BadRecord


@dataclass(frozen=True, eq=False)
class Format:
    """How rows of one kind are told from others and read. A format is itself alone: comparing is asking whether it is."""

    name: str  # as messages and reports call it
    recognises: Callable[[Decoded], bool]
    read: Callable[[Decoded], Record]  # may raise BadRecord
    family: str = ""  # formats of one family may stand in one file; "": this one alone
    columns: tuple[str, ...] = ()  # what it usually has, to tell what a row resembles
    # Neighbouring rows of one key are read together, as {"rows": […]}; None: this row for itself.
    key: Callable[[Decoded], str | None] | None = None

    def goes_with(self, other: "Format") -> bool:
        """Whether rows of both may stand in one file."""
        return self == other or (bool(self.family) and self.family == other.family)


_CHOSEN = ("chosen", "rejected")
# Of a family the more telling one goes first: labels may be absent from some rows, never the structure.
FORMATS = (
    Format("Argilla records", argilla.recognises, argilla.read, columns=("fields", "responses", "suggestions")),
    Format("Argilla records of version 1", argilla.recognises_first, argilla.read_first),
    Format("Label Studio tasks", labelstudio.recognises, labelstudio.read, columns=("data", "annotations")),
    Format(
        "Label Studio annotations",
        labelstudio.is_annotation,
        labelstudio.read_annotations,
        columns=("annotation_id", "annotator"),
        key=labelstudio.task_key,
    ),
    Format(
        "arena conversations",
        arena.recognises,
        arena.read,
        columns=("conversation_a", "conversation_b", "winner"),
    ),
    Format(
        "arena texts",
        arena.is_texts,
        arena.read_texts,
        columns=("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"),
    ),
    Format(
        "HelpSteer preferences",
        helpsteer.is_preference,
        helpsteer.read_preference,
        columns=("context", "response1", "response2", "overall_preference"),
    ),
    Format(
        "HelpSteer2 ratings",
        helpsteer.is_rating,
        helpsteer.read_ratings,
        columns=("prompt", "response", *helpsteer.RATINGS),
        key=helpsteer.prompt_key,
    ),
    Format(
        "SHP",
        scored.is_shp,
        scored.read_shp,
        columns=("history", "human_ref_A", "human_ref_B", "labels"),
    ),
    Format("Nectar", scored.is_nectar, scored.read_nectar, columns=("prompt", "answers")),
    Format("NeMo completions", nemo.recognises, nemo.read, columns=("context", "completions")),
    Format(
        "UltraFeedback completions",
        scored.is_ultrafeedback,
        scored.read_ultrafeedback,
        columns=("instruction", "models", "completions"),
    ),
    Format(
        "distilabel generations",
        scored.is_distilabel,
        scored.read_distilabel,
        columns=("instruction", "generations", "ratings"),
    ),
    Format("HH transcripts", hh.recognises, hh.read, canonical.PREFERENCE, _CHOSEN),
    Format(
        "sharegpt ranking",
        instructions.is_sharegpt,
        instructions.read_sharegpt,
        columns=("conversations", *_CHOSEN),
    ),
    Format(
        "alpaca ranking", instructions.is_alpaca, instructions.read_alpaca, columns=("instruction", "input", *_CHOSEN)
    ),
    Format("Orca-DPO", instructions.is_orca, instructions.read_orca, columns=("system", "question", *_CHOSEN)),
    Format(
        canonical.PREFERENCE,
        canonical.is_preference,
        canonical.read_preference,
        family=canonical.PREFERENCE,
        columns=("prompt", *_CHOSEN),
    ),
    Format(canonical.CONVERSATION, canonical.is_conversation, canonical.read_conversation, columns=_CHOSEN),
    Format(canonical.RECORD, canonical.is_record, canonical.read_responses, family=canonical.RESPONSES),
    Format(
        canonical.RESPONSES,
        canonical.is_responses,
        canonical.read_responses,
        family=canonical.RESPONSES,
        columns=("prompt", "responses"),
    ),
)


def format_of(row: Decoded, formats: Sequence[Format] = FORMATS) -> Format:
    """The first of `formats` that a row has; raises BadRecord where it has none."""
    for known in formats:
        if known.recognises(row):
            return known
    raise unpaired.refusal(row, ((known.name, known.columns) for known in formats))


def mapped_format(columns: mapped.Columns) -> Format:
    """The form of rows whose columns the user has named."""
    return Format(mapped.NAME, columns.recognises, columns.read, columns=tuple(columns.of.values()))


def prompts_format(columns: mapped.Columns | None) -> Format:
    """The form of rows that are prompts alone; `columns` where the user has named some."""
    read = prompts.read if columns is None else lambda row: prompts.read(columns.held(row))
    return Format(prompts.NAME, prompts.recognises, read, columns=("prompt",))


def record_as_far_as_told(row: Decoded, formats: Sequence[Format] = FORMATS) -> Record:
    """The record of a row that may be broken: what can be told of it."""
    try:
        own = format_of(row, formats)
        return own.read({"rows": [row]} if own.key else row)
    except (BadRecord, RecursionError):
        return canonical.read_responses(row)


def together(file: Format | None, row: Format, formats: Sequence[Format] = FORMATS) -> Format:
    """What a file is that holds such a row as well (None: no row yet); raises BadRecord where the two do not go together."""
    if file is None:
        return row
    if not row.goes_with(file):
        raise BadRecord("another form", f"this row is {row.name}, but the file began as {file.name}")
    return min(file, row, key=formats.index)
