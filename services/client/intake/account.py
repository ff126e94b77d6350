"""What was made of an input's rows beyond reading them, counted while they go by. PURE."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from concord.client.intake.formats.record import Record
from concord.kit.plural import many

_NAMES_SHOWN = 15
_NAME_CHARACTERS = 60
# Rows may each have columns of their own; so many are told apart.
_NAMES_KEPT = 1_000


@dataclass
class Account:
    """Counts; none of the rows is kept."""

    split_up: int = 0  # records with more than two responses
    pairs_of_split: int = 0  # the pairs that they gave
    silent: int = 0  # records in which people's answers say nothing of a preference
    an_answer: str = ""  # the first such answer
    not_used: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record, not_used: Iterable[str], pairs: int) -> None:
        """One record, the columns of it that nobody read, and how many pairs it gave."""
        if record.has_many:
            self.split_up += 1
            self.pairs_of_split += pairs
        if record.silent:
            self.silent += 1
            self.an_answer = self.an_answer or record.silent
        for name in (*not_used, *record.not_used):
            if name in self.not_used or len(self.not_used) < _NAMES_KEPT:
                self.not_used[name] += 1
        self.remarks.update(record.remarks)

    def notes(self) -> list[str]:
        """What the user should know, in words."""
        notes = []
        if self.split_up:
            notes.append(
                f"{many(self.split_up, 'prompt has', 'prompts have')} more than two responses: that gave "
                f"{many(self.pairs_of_split, 'pair')} (all pairs of up "
                "to four responses, six of more)"
            )
        if self.silent:
            notes.append(
                f"in {many(self.silent, 'row')} no answer says which response is better, such as {self.an_answer!r}; they count as "
                "not labelled"
            )
        notes += [f"in {many(count, 'row')} {remark}" for remark, count in self.remarks.items()]
        return [*notes, *([f"not used: {self._unused()}"] if self.not_used else [])]

    def _unused(self) -> str:
        names = [
            name if len(name) <= _NAME_CHARACTERS else name[: _NAME_CHARACTERS - 1] + "…" for name in self.not_used
        ]
        more = len(names) - _NAMES_SHOWN
        return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
