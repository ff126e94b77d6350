"""Rows that cannot be used: counted, the first of them shown, all of them set aside in a file where that is asked for."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TextIO

from concord.client.intake.sources import Item
from concord.kit.errors import InvalidInput
from concord.kit.files import whole
from concord.kit.plural import many
from concord.preference.pairs import BadRecord

_SHOWN = 10
# So much of a row that is set aside is kept beside the reason; the rest still stands in the user's file.
_KEPT_CHARACTERS = 100_000
_REASON_CHARACTERS = 2_000
# A file of which so many rows are bad is not looked at any further: without a good one before, or without --skip-bad.
MOST_BEFORE_STOPPING = 10_000
# And in any case after so many.
MOST_SET_ASIDE = 1_000_000


class Problems:
    """What is wrong with a file's rows. None of them is kept in memory but the first few."""

    def __init__(self, path: Path, aside: Path | None) -> None:
        self.kinds: Counter[str] = Counter()
        self._path, self._aside = path, aside
        self._shown: list[tuple[str, str]] = []
        self._stack = ExitStack()
        self._file: TextIO | None = None

    def __enter__(self) -> "Problems":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._stack.__exit__(kind, error, trace)
        except OSError as why:
            raise self._unwritable(why) from None

    @property
    def count(self) -> int:
        """How many rows cannot be used."""
        return self.kinds.total()

    def add(self, item: Item, error: BadRecord, good: int) -> None:
        """One more; raises InvalidInput where there are so many that the file is none of pairs."""
        self.kinds[error.kind] += 1
        reason = str(error)[:_REASON_CHARACTERS]
        if len(self._shown) < _SHOWN:
            self._shown.append((item.place, reason))
        if self._aside is not None:
            self._write(item, error.kind, reason)
        most = MOST_SET_ASIDE if self._aside is not None and good else MOST_BEFORE_STOPPING
        if self.count >= most:
            raise InvalidInput(self.refusal(good, "; the rest of it was not looked at"))

    def refusal(self, good: int, more: str = "") -> str:
        """What is wrong with the file, the first lines of it one by one."""
        shown = [f"{place}: {reason}" for place, reason in self._shown]
        if not good and len(self.kinds) == 1 and self.count > 1:
            # Nothing of the file can be read: it is one thing that is wrong with it.
            shown = [f"{shown[0]} (and likewise in {self.count - 1:,} more)"]
        elif rest := self.count - len(shown):
            counts = ", ".join(f"{kind}: {count}" for kind, count in self.kinds.most_common())
            shown.append(f"… and {rest} more ({counts})")
        hint = "repair them, or set them aside with --skip-bad" if good else "there is nothing left to run on"
        total = f"{self.count:,} of {many(self.count + good, 'row')} cannot be used{more}"
        return printable("\n".join([f"{self._path}: {total}; {hint}", *shown]))

    def _write(self, item: Item, kind: str, reason: str) -> None:
        """One JSON line: where, kind, reason, and the row as it stood, cut where it is long."""
        row = {"file": str(item.file), "line": item.at, "number": item.number, "kind": kind}
        kept = {"reason": reason, "row": item.shown[:_KEPT_CHARACTERS]}
        try:
            self._opened().write(json.dumps({**row, **kept}, ensure_ascii=True) + "\n")
        except OSError as error:
            raise self._unwritable(error) from None

    def _opened(self) -> TextIO:
        if self._file is None:
            target = self._aside or Path("")
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self._stack.enter_context(whole(target))
            self._file = self._stack.enter_context(unfinished.open("w", encoding="utf-8"))
        return self._file

    def _unwritable(self, error: OSError) -> InvalidInput:
        return InvalidInput(f"{self._aside}: the rows set aside cannot be written: {error.strerror or error}")


def printable(text: str) -> str:
    """The text with halves of surrogate pairs written out: no terminal and no log takes them."""
    return text.encode("utf-8", "backslashreplace").decode()
