"""`concord …`: the commands. Each reads its flags, calls one function, prints what came of it.

Exit codes: 0 done · 1 our fault (please report) · 2 a mistake in files, flags or settings · 3 the run stands still and
waits for you · 4 something that Concord needs does not answer · 130 interrupted; the same command goes on later.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

# One BLAS thread: results must not depend on the number of cores. Before NumPy is imported.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import typer  # noqa: E402
import yaml  # noqa: E402

from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RunStatus, RunView  # noqa: E402
from services import app as wiring  # noqa: E402
from services.client import (  # noqa: E402
    again,
    estimate,
    history,
    keys,
    onward,
    options,
    preflight,
    probes,
    progress,
    release,
    replaying,
    session,
)
from services.client import doctor as doctoring  # noqa: E402
from services.client import fetch as fetching  # noqa: E402
from services.client import records as reading  # noqa: E402
from services.kit.errors import ConcordError, Fenced, Unavailable  # noqa: E402
from services.kit.settings import Settings, from_environment, look_at_log, open_blobs, open_log, open_store  # noqa: E402
from services.kit.sql import open_engine, shown  # noqa: E402
from services.kit.telemetry import log_json  # noqa: E402
from services.preference import datasets  # noqa: E402
from services.report.cost import LABEL_PRICE  # noqa: E402

app = typer.Typer(
    help="Preference datasets of human quality from an LLM judge and a few people, asked only where it pays.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
)  # fmt: skip
WAITS, AWAY, WRONG = 3, 4, 2
# `doctor` and `replay`: it did its work, and something is wrong.
FOUND = 3


def spoken(command: Callable) -> Callable:
    """Errors on purpose end in one message and their exit code; only a bug shows a trace."""

    @wraps(command)
    def call(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except ConcordError as error:
            print("concord: " + "\n".join(map(progress.clean, str(error).split("\n"))), file=sys.stderr)
            raise typer.Exit(AWAY if isinstance(error, Unavailable | Fenced) else WRONG) from None
        except KeyboardInterrupt:
            print("concord: interrupted; the same command goes on where this one stopped", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None

    return call


def _settings() -> Settings:
    """The settings; services' logs go to a file beside the data, so that the terminal stays readable."""
    try:
        settings = from_environment()
        home = Path(settings.home)
        home.mkdir(parents=True, exist_ok=True)
        log_json(settings.log_level, (home / "concord.log").open("a"))
    except OSError as error:
        where = os.environ.get("CONCORD_HOME", Settings.home)
        raise options.InvalidInput(
            f"CONCORD_HOME={where}: cannot be written: {error.strerror or error}; name a folder of yours in CONCORD_HOME, or "
            "change to one"
        ) from None
    return settings


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"concord {version('concord-preference')}")
        raise typer.Exit()


@app.callback()
def concord(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Preference datasets of human quality from an LLM judge and a few people, asked only where it pays."""


@app.command()
@spoken
def run(
    path: Annotated[
        str,
        typer.Argument(
            metavar="[PATH]", help="A file or folder of pairs (JSONL, Parquet …), or `sample` for the bundled simulation."
        ),
    ] = "",
    judge: Annotated[
        str | None,
        typer.Option(
            help="sample, recorded:NAME, or the URL of an OpenAI-compatible endpoint (URL#MODEL).",
            show_default="sample",
        ),
    ] = None,
    helper: Annotated[
        list[str] | None, typer.Option(help="A further judge that informs, never labels; may be repeated.")
    ] = None,
    humans: Annotated[
        str | None, typer.Option(help="recorded, simulated:ERROR_RATE or file:PATH.", show_default="recorded")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Votes: a share of the pairs or a number.", show_default="6%")
    ] = None,
    method: Annotated[str | None, typer.Option(help=f"One of {', '.join(options.METHODS)}.", show_default="posterior")] = None,
    pilot: Annotated[
        int | None,
        typer.Option(
            help="Pilot tasks; 0: none; -1: max(8, 0.5 %), at most a quarter of the budget.", show_default="-1"
        ),
    ] = None,
    quorum: Annotated[int | None, typer.Option(help="Votes a task needs.", show_default="1")] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of all draws: the same input, settings and seed are the same run.", show_default="0"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The LLM judge's model name.")] = None,
    criteria: Annotated[str | None, typer.Option(help="What makes a response better, most important first.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the judge's key.")] = None,
    prompt_price: Annotated[float | None, typer.Option(help="Dollars per million prompt tokens.")] = None,
    completion_price: Annotated[float | None, typer.Option(help="Dollars per million completion tokens.")] = None,
    dollars: Annotated[float | None, typer.Option(help="Most that judging may cost; 0: no limit.")] = None,
    test: Annotated[
        Path | None, typer.Option(help="Test pairs with people's labels: how much of the gap was closed.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of these settings; flags win.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.")] = None,
    from_: Annotated[
        str,
        typer.Option(
            "--from", metavar="RUN", help="Go on from an earlier run: its pairs, settings and answers, and the new pairs of PATH."
        ),
    ] = "",
    reuse: Annotated[
        str | None, typer.Option(help="A run whose people's answers on the same pairs are taken over.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Set rows that cannot be used aside instead of stopping.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Run the other methods on the same labels and budget.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it will cost, and stop.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print report.json on standard output, nothing else there.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Let a paused run go on: what failed or got no verdict is tried anew, a shut gate is overruled."
        ),
    ] = False,
    accept_judge: Annotated[
        bool, typer.Option("--accept-judge", help="With --resume: go on without the verdicts that a silent judge did not give.")
    ] = False,
    new: Annotated[str, typer.Option(help="Any word: begin another run of the same input and settings.")] = "",
    server: Annotated[
        str, typer.Option(help="HOST:PORT of the front door of services that run elsewhere; none: all in this process.")
    ] = "",
) -> None:
    """Judge, triage, ask people, train: from a file of pairs to dataset.jsonl and report.html."""
    flags = {
        "judge": judge, "helper": tuple(helper or ()), "humans": humans, "budget": budget, "method": method, "pilot": pilot,
        "quorum": quorum, "seed": seed, "model": model, "criteria": criteria, "api_key_env": api_key_env,
        "prompt_price": prompt_price, "completion_price": completion_price, "dollars": dollars,
    }  # fmt: skip
    file = _yaml(config) if config else None
    asked = None if from_ else options.resolve(flags, file, str(config))
    settings = _settings()
    aside = Path(settings.home) / "set-aside.jsonl" if skip_bad else None
    reused = again.answers_of(settings, reuse) if reuse else None
    if asked:
        job = session.prepare(path, asked, aside, new, reused)
    else:
        job = onward.go_on(settings, from_, path, flags, file, str(config), aside, new, reused)
    out = out or Path(settings.home) / "runs" / job.run_id[:8]
    if test:
        job = replace(job, notes=(*job.notes, *session.check_test(job, test)))
    if dry_run:
        return _say_estimate(job, as_json)
    if server:
        preflight.check_address(server)
    else:
        preflight.check((job.config.judge, *job.config.helpers))
    again.remember(out, job)
    progress.began(job, aside)
    _carry_out(job, keys.allowing(settings, job.config), server, out, test, compare, resume, accept_judge, as_json)


def _carry_out(
    job: session.Job, settings: Settings, server: str, out: Path, test: Path | None, compare: bool, resume: bool,
    accept_judge: bool, as_json: bool,
) -> None:  # fmt: skip
    """Runs the job to its end and writes its results; raises Exit where it stands still."""
    with session.serving(settings, server, len(job.given.rows)) as (running, records):
        with progress.shown(job) as seen:
            view = session.run(job, running, seen, resume, accept_judge)
        if view.status != RUN_STATUS_FINISHED:
            _waits(view)
        evaluation = session.gap(view, records, job.truth, test) if test else None
        methods = {}
        if compare and job.truth:
            with progress.shown(job) as seen:
                methods = session.compared(job, running, records, seen)
        dataset = datasets.parts(view.dataset_uri, records.blob)
        report = session.write(out, job.truth, job.run_id, records, dataset, evaluation, methods)
        questions = session.write_questions(out, job, records)
    if as_json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    progress.ended(report, out, job, compare, questions)


def _yaml(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise options.InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise options.InvalidInput(f"{path}: not YAML: {error}") from None


def _say_estimate(job: session.Job, as_json: bool) -> None:
    expected = estimate.estimate(job.config, [row.pair for row in job.given.rows])
    if as_json:
        print(json.dumps({"pairs": len(job.given.rows), **vars(expected)}, indent=2))
        return
    known = expected.dollars is not None
    price = f"about ${expected.dollars:,.2f}" if known else "price unknown: give --prompt-price and --completion-price"
    tokens = f" with {expected.prompt_tokens:,} + {expected.completion_tokens:,} tokens" if expected.calls else ""
    print(f"{len(job.given.rows):,} pairs: {expected.calls:,} judge calls{tokens}, {price}")
    print(
        f"{expected.votes:,} votes of people, about {expected.human_minutes:,.0f} minutes at {estimate.SECONDS_A_VOTE} s a vote"
    )


def _waits(view: RunView) -> None:
    status = RunStatus.Name(view.status).removeprefix("RUN_STATUS_").lower()
    how = "; the same command with --resume goes on" if status == "paused" else ""
    why = progress.clean(view.detail) or "no reason given"
    print(f"concord: run {view.run_id} is {status}: {why}{how}", file=sys.stderr)
    raise typer.Exit(WAITS)


@app.command()
@spoken
def replay(
    name: Annotated[
        str, typer.Argument(metavar="[RUN]", help="A run's id, the beginning of it, or `last`; none: dead letters of all runs.")
    ] = "",
    log: Annotated[str, typer.Option("--log", help="Read this log instead of CONCORD_LOG_URL's.")] = "",
    until: Annotated[str, typer.Option(help="Fold to this offset (inclusive) or up to this time.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole state and the story as JSON.")] = False,
    events: Annotated[bool, typer.Option("--events", help="Print the facts as JSON lines.")] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Compare the log's state with the live store's; exit 3 if they differ.")
    ] = False,
    unit: Annotated[str, typer.Option(help="Do one unit again and compare with its fact: STAGE[.ROUND]/N.")] = "",
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="List the items that were given up.")] = False,
    requeue: Annotated[
        list[str] | None, typer.Option(metavar="LETTER|all", help="Put a dead letter back, once; may be repeated.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --requeue.")] = False,
) -> None:
    """Tell a run's story from the log, then or now; print its facts, do a unit again. Only --requeue changes anything."""
    settings = replaying.with_log(_settings(), log)
    if not name and not (dead_letters or requeue):
        raise options.InvalidInput("which run? Give its id, the beginning of it, or `last`; `concord runs` lists them")
    source, run_id = replaying.open_run(settings, name) if name else (look_at_log(settings), "")
    end = history.offset_until(source, run_id, until) if name else None
    if requeue:
        replaying.requeue(settings, run_id, requeue, yes)
    elif dead_letters:
        replaying.print_letters(source, run_id, as_json)
    elif events:
        replaying.print_events(source, run_id, end)
    elif unit:
        lines = again.unit_differences(settings, source, run_id, history.parse_unit(unit))
        print("\n".join(lines) or f"unit {unit} done again gives the same fact")
        _found(bool(lines))
    elif diff:
        _found(replaying.compare(settings, source, run_id, end))
    else:
        replaying.tell(source, run_id, end, as_json)


def _found(something: bool) -> None:
    if something:
        raise typer.Exit(FOUND)


@app.command()
@spoken
def report(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or `last`.")],
    out: Annotated[Path | None, typer.Option(help="Folder for report.html and report.json.")] = None,
    label_price: Annotated[float, typer.Option(min=0, help="Dollars that a human label is assumed to cost.")] = LABEL_PRICE,
) -> None:
    """Write a run's report again from the log, finished or not."""
    settings = _settings()
    log, store, blobs = open_log(settings), open_store(settings), open_blobs(settings)
    run_id = history.find_run(store, name, settings.home)
    out = out or Path(settings.home) / "runs" / run_id[:8]
    session.write(out, again.remembered_truth(out, run_id), run_id, reading.here(log, blobs), None, None, {}, label_price)
    print(out / "report.html")


@app.command()
@spoken
def runs() -> None:
    """List the runs of this folder."""
    settings = _settings()
    store = open_store(settings)
    known = store.runs("runs")
    if not known:
        progress.say(f"no runs in {settings.home} yet; `concord run` begins one")
    for run_id in known:
        print(again.run_line(store, run_id))


@app.command()
@spoken
def export(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or `last`.")],
    format_: Annotated[str, typer.Option("--format", help="trl, trl-conversational, nemo, parquet or hf.")],
    out: Annotated[Path | None, typer.Option(help="The file; with hf the folder.")] = None,
) -> None:
    """Write a finished run's dataset in the form that a trainer reads, ties left out."""
    path, made = release.release(_settings(), name, format_, out)
    progress.say(f"{made.rows:,} rows ({', '.join(f'{source}: {count:,}' for source, count in made.sources.items())})")
    for note in made.notes:
        progress.say(f"  {note}")
    print(path)


@app.command()
@spoken
def fetch(
    name: Annotated[str, typer.Argument(help="A data set on the Hugging Face hub: OWNER/NAME.")],
    split: Annotated[str, typer.Option(help="Which part of it.")] = "train",
    out: Annotated[Path | None, typer.Option(help="Folder for the files.")] = None,
) -> None:
    """Get a data set's Parquet or JSON Lines files from the hub into a folder that `concord run` reads."""
    path, chosen = fetching.fetch(name, split, out)
    progress.say(f"{name}: {chosen.note}")
    print(path)


@app.command()
@spoken
def serve(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Services; none: all of them.")] = None,
) -> None:
    """Run the named services in this process until it is told to stop."""
    from services.__main__ import main as serve_main

    raise typer.Exit(serve_main(list(names or wiring.SERVICES)))


@app.command()
@spoken
def migrate() -> None:
    """Make the store's tables in PostgreSQL, or bring them up to this version, as a user who may; services do so too."""
    settings = _settings()
    if settings.state_url.startswith("sqlite:"):
        print("SQLite: the tables are made where they are missing; there is nothing to do")
        return
    from services.kit import migrations

    engine = open_engine(settings.state_url)
    before = migrations.bring_up(engine)
    print(f"{shown(engine)}: tables of version {migrations.standing(engine)}, before: {before or 'none'}")


@app.command()
@spoken
def doctor(
    name: Annotated[str, typer.Argument(metavar="[RUN]", help="A run that does not move: its id, or `last`.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Say what is wrong here, or with a run that does not move, and what to do about it; exit 3 if anything is."""
    health = probes.examine(name, time.time())
    if as_json:
        print(json.dumps(doctoring.as_json(health), indent=2, ensure_ascii=False))
    else:
        print("\n".join(map(progress.clean, doctoring.lines(health))))
    if health.findings:
        raise typer.Exit(FOUND)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
