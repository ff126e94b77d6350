"""`concord backup` and `restore`: everything that a run stands on, in a folder, and back; `concord erase`: texts that must go."""

import getpass
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concord.client.run import progress
from concord.commands import FOUND, flags, home
from concord.kit.plural import many
from concord.kit.settings import Settings

if TYPE_CHECKING:
    from concord.kit.blobs import Blobs
    from concord.kit.log import Log
    from concord.operate.erasure import Run
    from concord.operate.local_records import Here
    from concord.v1.runs_service_pb2 import RunView

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The backup's folder.")]


def backup(folder: Folder) -> None:
    """Copy log, blobs and what only the store knows to a folder; the same folder again: only what is new is copied."""
    from concord.operate import backup as copies

    begun = time.monotonic()
    made = copies.made(home.opened(), folder)
    rows = ", ".join(f"{count:,} of {name}" for name, count in made.rows.items())
    print(
        f"{folder}: {many(made.runs, 'run')}, {many(made.records, 'fact')} ({made.new_records:,} new), "
        f"{many(made.blobs, 'blob')} of {made.bytes / 1e6:,.1f} MB ({made.new_blobs:,} new), {many(made.markers, 'marker')}; "
        f"rows: {rows}; {time.monotonic() - begun:.1f} s"
    )
    progress.say(f"`concord restore {folder} --check` reads all of it and says whether it is whole")


def restore(
    folder: Folder,
    check: Annotated[
        bool, typer.Option("--check", help="Restore nothing: read the backup, hold its parts together.")
    ] = False,
) -> None:
    """Put a backup back into what CONCORD_HOME or the CONCORD_*_URL name, an empty place; said again it goes on."""
    from concord.operate import backup as copies
    from concord.operate import removal
    from concord.wiring import SERVICES

    begun = time.monotonic()
    if check:
        found = copies.flaws(folder)
        bad = {run_id: flaws for run_id, flaws in found.items() if flaws}
        for run_id, flaws in bad.items():
            print("\n".join(progress.clean(f"✗ run {run_id}: {flaw}") for flaw in flaws))
        print(
            f"{folder}: {many(len(found), 'run')}, {many(len(bad), 'is', 'are')} not as recorded; {time.monotonic() - begun:.1f} s"
        )
        if bad:
            raise typer.Exit(FOUND)
        return
    settings = home.opened()
    with removal.unfollowed(settings, SERVICES):
        made = copies.restored(folder, settings)
    print(
        f"restored: {many(made.runs, 'run')}, {many(made.records, 'fact')}, {many(made.blobs, 'blob')}; "
        f"{time.monotonic() - begun:.1f} s. Services fold the facts when they start; `concord verify RUN` looks at a run"
    )


Reason = Annotated[str, typer.Option(help="Why, for the fact that says so; name neither the person nor the text.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before.")]


def erase_prompt(
    name: flags.Run,
    pair_id: Annotated[
        str, typer.Argument(metavar="PAIR_ID", help="A pair of it, as `pair_id` in the dataset names it.")
    ],
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Take a prompt and its answers out of every run that has it: from blobs, facts, kept answers, results; asks before."""
    from concord.operate import erasure

    settings = home.opened()
    with _place(settings) as (place, log, views):
        blobs = place.blobs
        prompt = erasure.prompt_of(erasure.run_of(log, blobs, place.find(name)), blobs, pair_id)
        found = [(run, erasure.about_prompt(run, blobs, prompt)) for run in _runs(log, blobs, views)]
        found = [(run, words) for run, words in found if words.pair_ids]
        _erase(settings, log, blobs, views, found, f"this prompt in {many(len(found), 'run')}", reason, yes)


def erase_person(
    person: Annotated[str, typer.Argument(metavar="NAME", help="The name, or the pseudonym that the log has for it.")],
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Take a person's name and comments out of every run; the answers stay, as somebody's; asks before."""
    from concord.console import credentials
    from concord.console.book import Book
    from concord.console.secret import secret_of
    from concord.kit.errors import NotFound
    from concord.operate import erasure

    settings = home.opened()
    names = frozenset({person, credentials.alias(person, secret_of(settings))})
    with _place(settings) as (place, log, views):
        words = erasure.with_names(names)
        found = [(run, words) for run in _runs(log, place.blobs, views) if erasure.names_anybody(run, words)]
        _erase(
            settings, log, place.blobs, views, found, f"what names {person} in {many(len(found), 'run')}", reason, yes
        )
    with suppress(NotFound):
        Book.of(settings).forget(person)


def erase_run(name: flags.Run, reason: Reason = "", yes: Yes = False) -> None:
    """Take a run out of the folder with all texts that no other run has, and leave a word on who did so; asks before."""
    from concord.client.run.confirm import agreed
    from concord.kit.blobs import FileBlobs
    from concord.kit.errors import InvalidInput
    from concord.operate import erasure, removal
    from concord.operate.local_records import here
    from concord.wiring import SERVICES

    settings = home.opened()
    with removal.alone(settings, SERVICES) as log, here(settings) as place:
        blobs = place.blobs
        if not isinstance(blobs, FileBlobs):
            raise InvalidInput("in a bucket it is not known what other machines put there: nothing is freed from here")
        run_id = place.find(name)
        family = removal.family(place.views(), run_id)
        if not yes and not agreed("erase it?", f"run {run_id} would be gone for good"):
            progress.say("nothing was erased")
            return
        for view in sorted(family, key=lambda view: view.run_id == run_id):
            gone = erasure.erase_run(settings, log, view.run_id, _actor(), reason)
            print(f"run {view.run_id}: {many(gone.facts, 'fact')} are gone")
        found = removal.garbage(log, blobs, time.time() + 1, 0)
        removal.sweep(settings, blobs, found)
        print(f"{many(len(found.gone), 'blob')} that no other run names are gone")
    progress.say(ELSEWHERE)


# What nobody can reach from here.
ELSEWHERE = (
    "not reached from here: the files that the run was made from, exports, older backups (the next `concord backup` into the same "
    "folder takes it out there), and what models have learned from it"
)


def _actor() -> str:
    return f"operator/{getpass.getuser()}"


@contextmanager
def _place(settings: Settings) -> Iterator[tuple["Here", "Log", list["RunView"]]]:
    """The home with nobody on it; of a cluster its log, store and blobs, whose runs must have ended."""
    from concord.kit.settings import open_log
    from concord.operate import removal
    from concord.operate.local_records import here
    from concord.wiring import SERVICES

    with removal.unfollowed(settings, SERVICES):
        with here(settings) as place, closing(open_log(settings)) as log:
            yield place, log, list(place.views())
        # Until then pages that nobody reads any more, and the journal, still hold the words.
        removal.compact(settings)


def _runs(log: "Log", blobs: "Blobs", views: list["RunView"]) -> list["Run"]:
    from concord.operate import erasure

    return [erasure.run_of(log, blobs, view.run_id) for view in views]


def _erase(settings, log, blobs, views, found, what: str, reason: str, yes: bool) -> None:
    from concord.client.results.results_dir import folder
    from concord.client.run.confirm import agreed
    from concord.kit.errors import NotFound
    from concord.operate import erasure

    if not found:
        raise NotFound(f"no run here holds {what.split(' in ')[0]}")
    ids = {run.run_id for run, _ in found}
    erasure.refuse_unended([view for view in views if view.run_id in ids])
    if not yes and not agreed("erase it?", f"{what} would be gone for good"):
        progress.say("nothing was erased")
        return
    for gone in erasure.erase(settings, log, blobs, found, _actor(), reason):
        kept = (
            f"; {many(gone.kept, 'fact')} with such words stay, for on Kafka a record cannot be changed"
            if gone.kept
            else ""
        )
        print(
            f"run {gone.run_id}: words are gone from {many(gone.facts, 'fact')} and {many(gone.blobs, 'blob')}, "
            f"{many(gone.answers, 'kept answer')} of judges{kept}"
        )
        results = folder(settings.home, gone.run_id)
        if results.is_dir():
            shutil.rmtree(results)
            print(f"  {results} is gone with what it held; `concord report {gone.run_id[:8]}` makes it again")
    for run, words in found:
        for uri in erasure.left_over(erasure.run_of(log, blobs, run.run_id), blobs, words.texts):
            print(f"  still in blob {uri} of run {run.run_id}")
    progress.say(ELSEWHERE)
