"""`concord runs`, `report` and `export`: which runs there are, and what came of one."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from typer import Option

from concord.certificate import words
from concord.client.results import release, results_dir
from concord.client.run import progress
from concord.commands import flags, home
from concord.kit.enums import word
from concord.kit.plural import many
from concord.preference.answer_faults import short
from concord.preference.judges import named
from concord.preference.methods import asks
from concord.report.cost import LABEL_PRICE
from concord.v1.runs_service_pb2 import RunStatus, RunView

# Of the criteria in a line of `concord runs`.
_CRITERIA = 60


def runs(server: flags.Door = "") -> None:
    """List the runs of this folder, or of services that run elsewhere."""
    settings = home.opened()
    with home.reading(settings, server) as records:
        lines = run_lines(list(records.views()))
    for line in lines:
        print(line)
    if not lines:
        progress.say(f"no runs {'at ' + server if server else 'in ' + settings.home} yet; `concord run` begins one")


def run_lines(views: Sequence[RunView]) -> list[str]:
    """The lines of `concord runs`: each run, and under it what was begun beside it."""
    known, sides = {view.run_id for view in views}, defaultdict(list)
    for view in views:
        sides[view.side_of if view.side_of in known else ""].append(view)
    return [
        line for view in sides[""] for line in (run_line(view), *(f"  {run_line(side)}" for side in sides[view.run_id]))
    ]


def run_line(view: RunView) -> str:
    """One line of `concord runs`."""
    status, config = word(RunStatus, view.status), view.config
    judge = named(config.judge.kind, config.judge.name, config.judge.url)
    budget = many(view.human_budget, "vote") if view.human_budget else f"{config.human_budget_share:.3g} of the pairs"
    asked = "nobody asked" if not asks(config) else f"budget {budget}"
    judge += f" · criteria “{short(config.judge.criteria, _CRITERIA)}”" if config.judge.criteria else ""
    linked = f" · goes on from {config.parent.run_id[:8]}" if config.parent.run_id else ""
    linked += f" · compared with {view.side_of[:8]}" if view.side_of else ""
    pairs = many(view.pairs, "pair")
    what = f"{view.input_name} · {pairs} · {config.method} · judge {judge} · {asked} · seed {config.seed}{linked}"
    return progress.clean(f"{view.run_id}  {status:9}  {what}  {view.detail}".rstrip())


def report(
    name: flags.Run,
    out: Annotated[Path | None, Option(help="Folder for report.html and report.json.")] = None,
    label_price: Annotated[float, Option(min=0, help="Dollars that a human label is assumed to cost.")] = LABEL_PRICE,
    server: flags.Door = "",
) -> None:
    """Write a run's report again from the log, finished or not."""
    from concord.client.results import outputs

    settings = home.opened()
    with home.reading(settings, server) as records:
        run_id = records.find(name)
        out = out or results_dir.folder(settings.home, run_id, server)
        truth, events = results_dir.remembered_truth(out, run_id), records.events(run_id)
        outputs.write(out, truth, events, records.blob, None, None, {}, label_price)
    print(out / "report.html")


def export(
    name: flags.Run,
    format_: Annotated[str, Option("--format", help="trl, trl-conversational, nemo, parquet or hf.")],
    out: Annotated[Path | None, Option(help="The file; with hf the folder.")] = None,
    harmful: Annotated[bool, Option("--harmful", help="With the rows that are marked as harmful.")] = False,
    server: flags.Door = "",
) -> None:
    """Write a finished run's dataset in the form that a trainer reads, ties left out."""
    settings = home.opened()
    with home.reading(settings, server) as records:
        released = release.release(records, settings.home, name, format_, out, harmful)
    made = released.made
    progress.say(
        f"{many(made.rows, 'row')} ({', '.join(f'{source}: {count:,}' for source, count in made.sources.items())})"
    )
    for note in made.notes:
        progress.say(f"  {note}")
    if released.certificate:
        progress.say(f"  {words.short(released.certificate)}")
    print(released.path)
