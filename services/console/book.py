"""Whose a pseudonym is. The log knows pseudonyms alone; this is apart from it and may be deleted, and every run replays as before.

A folder with a file for each pseudonym, which holds the name, or nothing any more: so that several processes may write at once.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from concord.console.credentials import ALIAS, alias
from concord.console.secret import secret_of
from concord.kit.errors import InvalidInput, NotFound
from concord.kit.settings import Settings

FOLDER = "people"


@dataclass(frozen=True)
class Book:
    """The names behind pseudonyms, as far as they are known here."""

    folder: Path

    @staticmethod
    def of(settings: Settings) -> "Book":
        """The one of the home."""
        return Book(Path(settings.home) / FOLDER)

    def note(self, pseudonym: str, name: str) -> None:
        """Keeps the name; one that was forgotten stays so. Raises InvalidInput where nothing can be written."""
        if pseudonym == name:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(self.folder / pseudonym, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(name)
        except FileExistsError:
            pass
        except OSError as error:
            raise InvalidInput(
                f"{self.folder}: cannot be written: {error.strerror}; name another folder in CONCORD_HOME"
            ) from None

    def name_of(self, pseudonym: str) -> str:
        """The name, or the pseudonym itself where none is known."""
        if not ALIAS.fullmatch(pseudonym):
            return pseudonym
        try:
            return (self.folder / pseudonym).read_text() or pseudonym
        except OSError:
            return pseudonym

    def known(self) -> dict[str, str]:
        """Pseudonym → name of all that are known, in the order of their names."""
        found = {path.name: path.read_text() for path in self.folder.glob("p-*")}
        return dict(sorted(((key, name) for key, name in found.items() if name), key=lambda one: one[1]))

    def forget(self, said: str) -> list[str]:
        """Deletes the name, given as it is or by its pseudonym; the pseudonyms that were its own. Raises NotFound."""
        gone = [key for key, name in self.known().items() if said in (key, name)]
        if not gone:
            raise NotFound(f"{said!r} is nobody whose name is kept in {self.folder}; `concord people list` lists them")
        for key in gone:
            # Empty, not away: whoever opens an old link again is not written down anew.
            (self.folder / key).write_text("")
        return gone


def pseudonym(settings: Settings, name: str) -> str:
    """The pseudonym of this name, with whom it stands for kept in the home's book. Raises InvalidInput."""
    made = alias(name, secret_of(settings))
    Book.of(settings).note(made, name)
    return made
