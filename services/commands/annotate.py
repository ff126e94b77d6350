"""`concord annotate`: a run's questions to people, answered in the terminal."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from concord.client.annotate.sitting import Sitting
from concord.client.results import results_dir
from concord.client.results.records import Records
from concord.client.run import drive, progress, session, steering
from concord.commands import WAITS, flags, home
from concord.kit import rpc
from concord.kit.errors import InvalidInput
from concord.kit.settings import Settings
from concord.one_run import written_again
from concord.v1.runs_service_pb2 import RUN_STATUS_CREATED, RUN_STATUS_FINISHED, RunView
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub


def annotate(
    name: flags.Run,
    as_: Annotated[
        str, typer.Option("--as", metavar="NAME", help="Who answers, NAME=SKILL,SKILL with what that one brings.")
    ] = "",
    server: flags.Through = "",
) -> None:
    """Answer a run's questions here, one key a pair; leave at any time and go on later. Exit 3 while answers are missing."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput(
            "`concord annotate` asks in a terminal, and this is none; answers come from a file as well: "
            "`concord run … --annotators file:PATH`"
        )
    from concord.console.book import pseudonym
    from concord.console.entrance import person

    settings = home.opened()
    who, skills = person(as_ or user())
    annotator = pseudonym(settings, who)
    with home.reading(settings, server) as records:
        view = records.view(records.find(name))
        check_asks(view, records.flag)
        with (
            reached(settings, server, view) as services,
            rpc.channel(services.address) as channel,
            drive.translated(services.address),
        ):
            runs, tasks = RunServiceStub(channel), TaskServiceStub(channel)
            said = _asked(Sitting(runs, tasks, view.run_id, annotator, skills=skills))
        view = records.view(view.run_id)
        if said:
            progress.say(said)
        if view.status != RUN_STATUS_FINISHED:
            alone = not server and not _is_run_elsewhere(settings)
            print(progress.clean(steering.standing(view, records.flag, alone)))
            raise typer.Exit(WAITS)
        _say_results(settings, records, view)


def _asked(sitting: Sitting) -> str | None:
    """What is said at the end, where the run needs nobody any more."""
    # Textual takes a moment to load: who asks for nothing else does without.
    from concord.client.annotate.screen import Screen

    screen = Screen(sitting)
    said = screen.run()
    if screen.failed is not None:
        raise screen.failed
    return said


def _say_results(settings: Settings, records: Records, view: RunView) -> None:
    out = results_dir.folder(settings.home, view.run_id, records.server)
    written_again(records, view, out)
    print(out / "dataset.jsonl")
    print(out / "report.html")


def check_asks(view: RunView, flag: str) -> None:
    """Raises InvalidInput for a run that never will ask anybody."""
    if view.status in drive.ENDED or view.status == RUN_STATUS_CREATED or drive.needs_a_person(view):
        raise InvalidInput(f"nobody is asked: {steering.standing(view, flag)}")


@contextmanager
def reached(settings: Settings, server: str, view: RunView) -> Iterator[session.Services]:
    """Services for this run: those behind `server`, those of another process on this log, or all of them here."""
    from concord.commands.door import door_alone
    from concord.embedded import allowing, serving

    if not server and _is_run_elsewhere(settings):
        with door_alone(settings) as address:
            yield session.Cluster(address)
    else:
        with serving(allowing(settings, view.config), server, view.pairs, view.config) as running:
            yield running


def _is_run_elsewhere(settings: Settings) -> bool:
    from concord.commands.door import is_run_elsewhere

    return is_run_elsewhere(settings)


def user() -> str:
    """Whoever is at this machine. Raises InvalidInput where nobody can be told."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise InvalidInput("who answers? Give a name with --as NAME") from None
