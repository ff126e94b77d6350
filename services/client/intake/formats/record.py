"""What a row of a file holds, whatever the file's format: all that a format's reader has to give. PURE."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

# A row as JSON, Parquet or Arrow give it.
Decoded: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """The canonical record. Its values are as the file has them: `rows.rows` checks each of them, so no reader must.

    None stands for what the file does not say. Responses are counted from 0. A choice is the index of a response, "tie" or
    None; of more than two responses, what compares two of them names these as `pair`.
    """

    responses: Any  # a list: texts, or objects {"text", "model"}
    prompt: Any = None  # a text, or a list of {"role", "content"}
    id: Any = None  # a text or a whole number; None: the row goes by its number
    domain: Any = None  # a text
    source: Any = None  # a text that implies the domain where none is named
    reference: Any = None  # a right answer: a text or a number
    may_be_empty: bool = False  # an empty text means that the model said nothing, or that there was no prompt

    majority: Any = None  # people's choice
    annotations: Any = None  # of single people: a list of {"annotator", "kind", "pair", "choice"}
    verdicts: Any = None  # {judge: {"choice", "choice_swapped", "confidence", "pair"}, or a list of these}

    # The order is the label, and the only one: first the chosen response, then the rejected one.
    best_first: bool = False
    best_by_people: bool = True  # False: a judge ordered them, which is a verdict and no truth

    silent: str = ""  # an answer of people that says nothing of a preference, for a note

    @property
    def has_many(self) -> bool:
        """Whether pairs have to be made of its responses, because they are more than two."""
        return not self.best_first and isinstance(self.responses, list) and len(self.responses) > 2
