"""`concord tasks …`: a run's questions to people, answered in a file or another program, and the answers back."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from concord.client.elsewhere import held, tasks_file
from concord.client.elsewhere.held import ANSWERED, KNOWN, LEFT, REFUSED, Outcome
from concord.client.run import drive, progress, steering
from concord.commands import FOUND, flags, home
from concord.commands.annotate import check_asks, reached, user
from concord.kit import rpc
from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.preference.skills import skills_of
from concord.v1.runs_service_pb2 import RunView
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

MOST_SHOWN = 20
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--annotator",
        metavar="NAME",
        help="Who will answer, NAME=SKILL,SKILL with what that one brings; may be repeated. None: whoever you are here.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="The file; none: standard output.")]
Most = Annotated[int, typer.Option(min=1, help="Tasks for each annotator.")]
Days = Annotated[float, typer.Option(help="For how long nobody else gets them.")]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="Whose the answers are where a line does not say.")]
Url = Annotated[str, typer.Option(metavar="URL", help="Where Label Studio is, such as http://localhost:8080.")]
TokenEnv = Annotated[str, typer.Option(metavar="VARIABLE", help="Environment variable that holds its access token.")]
TakeBack = Annotated[
    bool, typer.Option("--take-back", help="Give what is not answered back to the pool, and put nothing there.")
]
Skills = Annotated[
    str,
    typer.Option(
        "--skills",
        metavar="WORD,…",
        help="What all who annotate there bring: only tasks that need nothing else go there.",
    ),
]
File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Lines as `concord tasks export` wrote them, `choice` filled in.")
]


def export(
    name: flags.Run,
    annotator: Names = None,
    most: Most = 500,
    days: Days = 3.0,
    out: Out = None,
    server: flags.Through = "",
) -> None:
    """Write open questions to a file, one a line, held for who will answer them; `tasks import` brings the answers back."""
    _check_days(days)
    from concord.console.book import pseudonym
    from concord.console.entrance import person

    people, settings = dict(map(person, annotator or [user()])), home.opened()
    with _desk(name, server, asks=True) as (tasks, view, _):
        lines = [
            tasks_file.line_of(task, who)
            for who, skills in people.items()
            for task in held.hold(tasks, view.run_id, pseudonym(settings, who), most, days * held.DAY_S, skills)
        ]
    _write(out, lines)
    progress.say(f"{many(len(lines), 'task')} of run {view.run_id}, held for {', '.join(people)} for {days:g} days")


def import_(name: flags.Run, file: File, as_: As = "", server: flags.Through = "") -> None:
    """Take answers from a file, each by its task's id, and give back what is not answered; exit 3 if any is refused."""
    from concord.console.book import pseudonym

    settings = home.opened()
    answers = [
        replace(one, annotator=pseudonym(settings, one.annotator)) for one in tasks_file.read(file, as_ or user())
    ]
    with _desk(name, server, asks=False) as (tasks, view, known):
        outcomes, new = held.compared(answers, known)
        if view.status in drive.ENDED:
            outcomes += held.too_late(new, f"the run is {steering.status(view)}")
        else:
            outcomes += held.hand_in(tasks, view.run_id, new)
    say(outcomes)
    print(progress.clean(steering.standing(view, f" --server {server}" if server else "")))
    if any(one.what == REFUSED for one in outcomes):
        raise typer.Exit(FOUND)


def label_studio(
    name: flags.Run,
    url: Url,
    token_env: TokenEnv = "LABEL_STUDIO_API_KEY",
    most: Most = 500,
    days: Days = 3.0,
    skills: Skills = "",
    take_back: TakeBack = False,
    server: flags.Through = "",
) -> None:
    """Keep a Label Studio project in step with a run: answers come back, open questions go there; exit 3 if any is refused."""
    from concord.client.elsewhere.exchange import exchange
    from concord.client.elsewhere.label_studio_http import LabelStudio
    from concord.console.book import pseudonym

    _check_days(days)
    settings, brought = home.opened(), skills_of(skills.split(","), "--skills")
    place = LabelStudio(url, _token(token_env))
    with _desk(name, server, asks=False) as (tasks, view, known):
        asks = 0 if take_back or view.status in drive.ENDED else most
        made = exchange(place, tasks, view, known, partial(pseudonym, settings), asks, days * held.DAY_S, brought)
    say(made.outcomes)
    progress.say(
        f"project {made.project} at {url}: {many(made.pushed, 'task')} added, {made.deleted:,} that nobody touched and that are "
        f"over taken out, {made.open:,} open there"
    )
    if any(one.what == REFUSED for one in made.outcomes):
        raise typer.Exit(FOUND)


def _token(variable: str) -> str:
    token = os.environ.get(variable, "").strip()
    if not token:
        raise InvalidInput(f"--token-env {variable}: that variable is empty; put your access token there")
    return token


def _check_days(days: float) -> None:
    if not 0 < days <= held.MOST_DAYS:
        raise InvalidInput(f"--days {days:g}: more than 0 and at most {held.MOST_DAYS:g} are expected")


def say(outcomes: Sequence[Outcome]) -> None:
    """How many became what, and of those that were refused which and why."""
    count = Counter(one.what for one in outcomes)
    progress.say(
        f"{many(count[ANSWERED], 'answer')} taken, {count[KNOWN]:,} known from before, {count[LEFT]:,} without an answer "
        f"back in the pool, {count[REFUSED]:,} refused"
    )
    refused = [one for one in outcomes if one.what == REFUSED]
    for one in refused[:MOST_SHOWN]:
        answer = one.answer
        progress.say(progress.clean(f"{answer.place}: task {answer.task_id}: {one.why}"))
    if len(refused) > MOST_SHOWN:
        progress.say(f"… and {len(refused) - MOST_SHOWN:,} more")


@contextmanager
def _desk(name: str, server: str, asks: bool) -> Iterator[tuple[TaskServiceStub, RunView, dict[held.Of, held.Choice]]]:
    """The desk of the run that `name` means, the run, and what its facts hold; `asks`: only where somebody may be asked."""
    settings = home.opened()
    with home.reading(settings, server) as records:
        view = records.view(records.find(name))
        if asks:
            check_asks(view, records.flag)
        known = held.recorded(view.run_id, [event for event, _ in records.events(view.run_id)])
        with (
            reached(settings, server, view) as services,
            rpc.channel(services.address) as channel,
            drive.translated(services.address),
        ):
            yield TaskServiceStub(channel), view, known


def _write(out: Path | None, lines: Sequence[str]) -> None:
    if out is None:
        sys.stdout.writelines(lines)
        return
    try:
        out.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--out {out}: cannot be written: {error.strerror}; the tasks stay held") from None
