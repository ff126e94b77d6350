"""What `concord replay` does: a run read from the log alone, told, printed, compared, and its dead letters put back.

Reading joins no group and moves no position. It makes nothing either: no topic, no file.
"""
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from uuid import UUID

from services.client import again, history, letters, story, storyteller
from services.client.progress import clean
from services.kit.errors import InvalidInput, NotFound
from services.kit.log import Log
from services.kit.settings import Settings, look_at_log, open_log, open_store
from services.kit.store import Store
from services.kit.topics import fact_partition
from services.kit.urls import without_secrets

Say = Callable[[str], object]


def with_log(settings: Settings, url: str) -> Settings:
    """The settings with the log that `--log` names, if it names one."""
    return replace(settings, log_url=url) if url else settings


def open_run(settings: Settings, name: str) -> tuple[Log, str]:
    """The log and the run in it. A whole id needs no store; `last` and beginnings of ids are looked up there."""
    if _is_whole(name):
        log = look_at_log(settings)
        if next(history.records(log, name), None) is None:
            raise NotFound(f"no fact of run {name} stands in {without_secrets(settings.log_url)}")
        return log, name
    run_id = history.find_run(_store(settings, name), name, settings.home)
    return look_at_log(settings), run_id


def _is_whole(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _store(settings: Settings, name: str) -> Store:
    """The live store, which is only read; a file that is not there is not made."""
    path = settings.state_url.removeprefix("sqlite:///")
    if path != settings.state_url and not Path(path).exists():
        if settings.log_url.startswith("sqlite:///") and not Path(settings.log_url.removeprefix("sqlite:///")).exists():
            raise NotFound(f"no runs in {settings.home} yet; `concord run` begins one")
        raise NotFound(f"{name!r} needs the store, and there is none at {path}: name it by CONCORD_STATE_URL, or give the "
                       "run's whole id and leave --diff out")  # fmt: skip
    return open_store(settings)


def tell(log: Log, run_id: str, until: int | None, as_json: bool, say: Say = print) -> None:
    """The run's story by stage, or its state and story as JSON."""
    records = list(history.records(log, run_id, until))
    run = history.fold_of(run_id, records)
    chapters = story.tell(history.facts(records))
    dead = sum(letter.run_id == run_id and letter.back_at is None for letter in letters.read(log))
    about = storyteller.About(run.state.view, fact_partition(run_id), run.corrupt, run.duplicates, dead)
    if as_json:
        say(json.dumps({**history.as_json(run), "story": storyteller.as_json(about, chapters)}, indent=2))
        return
    for line in storyteller.lines(about, chapters):
        say(clean(line))


def print_events(log: Log, run_id: str, until: int | None, say: Say = print) -> None:
    """The facts as JSON lines."""
    for record in history.records(log, run_id, until):
        say(history.event_line(record))


def compare(settings: Settings, log: Log, run_id: str, until: int | None, say: Say = print) -> bool:
    """Says where the live store differs from the log; whether it does."""
    store = _store(settings, run_id)
    found = again.store_differences(log, store, run_id, until)
    late = again.behind(log, store, run_id) if until is None else 0
    more = f"; {late:,} newer facts are not in the store yet" if late else ""
    say("\n".join(found) or f"log and store agree{more}")
    return bool(found)


def print_letters(log: Log, run_id: str, as_json: bool, say: Say = print) -> None:
    """The dead letters of the run, or of all runs where none is named."""
    found = [letter for letter in letters.read(log) if run_id in ("", letter.run_id)]
    if as_json:
        say(json.dumps([letters.as_json(letter) for letter in found], indent=2))
        return
    if not found:
        say("no dead letters")
        return
    say(f"{'letter':>7}  {'time':19}  {'run':8}  {'unit':14}  item, tries, error")
    for letter in found:
        say(clean(letters.line(letter, datetime.fromtimestamp(letter.at).strftime("%Y-%m-%d %H:%M:%S"))))


def requeue(settings: Settings, run_id: str, names: Sequence[str], sure: bool, say: Say = print) -> None:
    """Puts the chosen letters back, once it was said what that comes to and somebody agreed."""
    log = open_log(settings)
    found = [letter for letter in letters.read(log) if run_id in ("", letter.run_id)]
    steps = letters.plan(letters.chosen(found, names), cache(lambda own: history.fold(log, own).state))
    for step in steps:
        say(clean(f"{step.letter.name:>7}  {step.says}"))
    count = sum(bool(step.entries) for step in steps)
    if not count:
        say("nothing to put back")
        return
    if not sure and not _agreed(count):
        say("nothing was put back")
        return
    say(f"{letters.put_back(log, steps):,} put back")


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise InvalidInput(f"{count:,} letters would be put back, and nobody can be asked here: say --yes")
    try:
        return input(f"put {count:,} back? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D is a no
        return False
