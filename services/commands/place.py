"""`concord fetch`, `serve`, `migrate` and `doctor`: what is done for a place and not for one run."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from concord.client.run import progress
from concord.commands import FOUND, home


def fetch(
    name: Annotated[str, typer.Argument(help="A data set on the Hugging Face hub: OWNER/NAME.")],
    split: Annotated[str, typer.Option(help="Which part of it.")] = "train",
    out: Annotated[Path | None, typer.Option(help="Folder for the files.")] = None,
) -> None:
    """Get a data set's Parquet or JSON Lines files from the hub into a folder that `concord run` reads."""
    from concord.client.intake import fetch as fetching

    path, chosen = fetching.fetch(name, split, out)
    progress.say(f"{name}: {chosen.note}")
    print(path)


def serve(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Services; none: all of them.")] = None,
) -> None:
    """Run the named services in this process until it is told to stop."""
    from concord.__main__ import main as serve_main
    from concord.wiring import SERVICES

    raise typer.Exit(serve_main(list(names or SERVICES)))


def migrate() -> None:
    """Make the store's tables in PostgreSQL, or bring them up to this version, as a user who may; services do so too."""
    settings = home.opened()
    if settings.state_url.startswith("sqlite:"):
        print("SQLite: the tables are made where they are missing; there is nothing to do")
        return
    from concord.kit.store import migrations
    from concord.kit.store.answering import shown
    from concord.kit.store.sql import open_engine

    engine = open_engine(settings.state_url)
    before = migrations.bring_up(engine)
    print(f"{shown(engine)}: tables of version {migrations.standing(engine)}, before: {before or 'none'}")


def doctor(
    name: Annotated[str, typer.Argument(metavar="[RUN]", help="A run that does not move: its id, or `last`.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Say what is wrong here, or with a run that does not move, and what to do about it; exit 3 if anything is."""
    from concord.operate import doctor as doctoring
    from concord.operate import inspect
    from concord.wiring import SERVICES

    health = inspect.examine(name, time.time(), SERVICES)
    if as_json:
        print(json.dumps(doctoring.as_json(health), indent=2, ensure_ascii=False))
    else:
        print("\n".join(map(progress.clean, doctoring.lines(health))))
    if health.findings:
        raise typer.Exit(FOUND)
