"""`concord people …`: who annotates. The log knows pseudonyms alone; whose they are is kept apart, and forgotten on request."""

from typing import Annotated

import typer

from concord.client.run import progress
from concord.commands import flags, home

Who = Annotated[str, typer.Argument(metavar="NAME", help="The name, or the pseudonym that the log has for it.")]


def list_() -> None:
    """List the pseudonyms of those whose names are kept in this folder."""
    from concord.console.book import Book

    for key, name in Book.of(home.opened()).known().items():
        print(progress.clean(f"{key}  {name}"))


def forget(name: Who) -> None:
    """Delete somebody's name; what this person answered stays under the pseudonym, and every run replays as before."""
    from concord.console.book import Book

    gone = Book.of(home.opened()).forget(name)
    print(f"forgotten; what was answered stands under {', '.join(gone)}")


def pay(name: flags.Run, server: flags.Door = "") -> None:
    """Print what each annotator of a run did and how long it took, as CSV, by name as far as it is kept here."""
    from concord.console import persons
    from concord.console.book import Book

    settings = home.opened()
    with home.reading(settings, server) as records:
        events = [event for event, _ in records.events(records.find(name))]
    print(persons.table(persons.named(persons.persons(events), Book.of(settings).name_of)), end="")
