"""What a row of a file holds, whatever the file's format: all that a format's reader has to give. PURE."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

# A row as JSON, Parquet, Arrow or CSV give it.
Decoded: TypeAlias = Mapping[str, Any]


class Cells(Mapping[str, Any]):
    """A row that remembers which of its cells were read, so that what is not used can be named. Asking with `in` is no use."""

    def __init__(self, cells: Mapping[str, Any]) -> None:
        self._cells = cells
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return self._cells[name]

    def __contains__(self, name: object) -> bool:
        return name in self._cells

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def not_used(self) -> list[str]:
        """The columns that hold something and that nobody read, in their order."""
        return [name for name, held in self._cells.items() if name not in self._read and held not in (None, "", [], {})]


@dataclass(frozen=True)
class Record:
    """The canonical record. Its values are as the file has them: `rows.rows` checks each of them, so no reader must.

    None stands for what the file does not say. Responses are counted from 0. A choice is the index of a response, "tie" or
    None; of more than two responses, what compares two of them names these as `pair`.
    """

    responses: Any  # a list: texts, chats, or objects {"text", "model"} and {"turns", "model"}
    prompt: Any = None  # a text, or a list of {"role", "content"}
    id: Any = None  # a text or a whole number; None: the row goes by its number
    domain: Any = None  # a text
    system: Any = None  # a text that stands above the prompt
    tools: Any = None  # what may be called: a list of objects, or that as JSON
    source: Any = None  # a text that implies the domain where none is named
    reference: Any = None  # a right answer: a text or a number; a list: all of its items are the answer
    known: Mapping[str, Any] = field(default_factory=dict)  # what else answers can be checked against, see `references`
    harmful: Any = None  # true: the prompt asks for harm, and its texts may hurt
    may_be_empty: bool = False  # an empty text means that the model said nothing, or that there was no prompt

    majority: Any = None  # people's choice
    annotations: Any = None  # of single people: a list of {"annotator", "kind", "pair", "choice"}
    verdicts: Any = None  # {judge: {"choice", "choice_swapped", "confidence", "pair"}, or a list of these}

    # The order is the label, and the only one: first the chosen response, then the rejected one.
    best_first: bool = False
    best_by_people: bool = True  # False: a judge ordered them, which is a verdict and no truth

    # Of a pair that was made of a list of answers: where the two stand there, from 1.
    places: tuple[int, int] = (0, 0)

    remarks: tuple[str, ...] = ()  # what was made of it, in words that stand behind "in N rows"
    not_used: tuple[str, ...] = ()  # fields below the row's own that hold something and that nobody read
    silent: str = ""  # an answer of people that says nothing of a preference, for a note

    @property
    def has_many(self) -> bool:
        """Whether pairs have to be made of its responses, because they are more than two."""
        return not self.best_first and isinstance(self.responses, list) and len(self.responses) > 2
