"""`concord runs`, `report` and `export`: which runs there are, and what came of one."""

from pathlib import Path
from typing import Annotated

from typer import Option

from concord.client.results import release
from concord.client.results.records import reading
from concord.client.run import progress, session
from concord.commands import flags, home
from concord.kit.loop.events import events_of
from concord.operate import redo
from concord.report.cost import LABEL_PRICE


def runs(server: flags.Door = "") -> None:
    """List the runs of this folder, or of services that run elsewhere."""
    settings = home.opened()
    with reading(settings, server) as records:
        lines = [redo.run_line(view) for view in records.views()]
    for line in lines:
        print(line)
    if not lines:
        progress.say(f"no runs {'at ' + server if server else 'in ' + settings.home} yet; `concord run` begins one")


def report(
    name: flags.Run,
    out: Annotated[Path | None, Option(help="Folder for report.html and report.json.")] = None,
    label_price: Annotated[float, Option(min=0, help="Dollars that a human label is assumed to cost.")] = LABEL_PRICE,
    server: flags.Door = "",
) -> None:
    """Write a run's report again from the log, finished or not."""
    settings = home.opened()
    with reading(settings, server) as records:
        run_id = records.find(name)
        out = out or redo.folder(settings, run_id)
        truth, events = redo.remembered_truth(out, run_id), events_of(records.of(run_id))
        session.write(out, truth, events, records.blob, None, None, {}, label_price)
    print(out / "report.html")


def export(
    name: flags.Run,
    format_: Annotated[str, Option("--format", help="trl, trl-conversational, nemo, parquet or hf.")],
    out: Annotated[Path | None, Option(help="The file; with hf the folder.")] = None,
    server: flags.Door = "",
) -> None:
    """Write a finished run's dataset in the form that a trainer reads, ties left out."""
    settings = home.opened()
    with reading(settings, server) as records:
        path, made = release.release(records, settings, name, format_, out)
    progress.say(f"{made.rows:,} rows ({', '.join(f'{source}: {count:,}' for source, count in made.sources.items())})")
    for note in made.notes:
        progress.say(f"  {note}")
    print(path)
