"""`concord run`: from a file of pairs to a dataset and a report."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer
import yaml

from concord.client.intake import intake
from concord.client.results import results_dir
from concord.client.results.records import Records
from concord.client.run import continue_run, drive, estimate, options, preflight, progress, session
from concord.client.run.job import Job, prepare
from concord.client.run.voters import Skipping
from concord.commands import WAITS, flags, home
from concord.kit.enums import word
from concord.kit.errors import InvalidInput
from concord.kit.settings import Settings
from concord.one_run import Questions, evidence, results
from concord.preference.call_costs import money
from concord.report.figures import Method
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RUN_STATUS_RUNNING, RunStatus, RunView


def run(
    path: flags.Pairs = "",
    from_: flags.From = "",
    skip_bad: flags.SkipBad = False,
    columns: flags.Columns = "",
    contradictions: flags.Contradictions = "tie",
    reuse: flags.Reuse = None,
    new: flags.New = "",
    skip_unanswered: flags.SkipUnanswered = False,
    wait: flags.Wait = False,
    resume: flags.Resume = False,
    accept_judge: flags.AcceptJudge = False,
    out: flags.Results = None,
    test: flags.Test = None,
    compare: flags.Compare = False,
    dry_run: flags.DryRun = False,
    as_json: flags.ReportAsJson = False,
    config: flags.Config = None,
    server: flags.Server = "",
    **said: object,
) -> None:
    """Judge, triage, ask people, train: from a file of pairs to dataset.jsonl and report.html."""
    asked = partial(options.resolve, said, read_yaml(config) if config else None, str(config))
    from concord.embedded import allowing

    settings = home.opened()
    read = partial(intake.read, columns=columns or None, contradictions=contradictions)
    aside = Path(settings.home) / "set-aside.jsonl" if skip_bad else None
    with home.reading(settings, server) as records:
        reused = continue_run.answers_of(records, reuse) if reuse else None
        if from_:
            job = continue_run.go_on(records, settings.home, from_, path, asked, aside, new, reused, read)
        else:
            job = prepare(path, asked(), aside, new, reused, read=read)
        job = continue_run.as_begun(records, job)
        if resume:
            continue_run.check_begun(records, job)
        if test:
            from concord.client.run import evaluate

            job = replace(job, notes=(*job.notes, *evaluate.check_test(job.given.rows, test)))
        if dry_run:
            return _say_estimate(job, aside, estimate.same_judge(job.config, records.views()), as_json)
        if not server:
            preflight.check((job.config.judge, *job.config.helpers))
        out = out or results_dir.folder(settings.home, job.run_id, server)
        results_dir.remember(out, job.run_id, job.truth)
        progress.began(job, aside)
        if differing := continue_run.told(records, job):
            progress.say(f"  {differing}")
        if skip_unanswered and job.voters:
            job = replace(job, voters=Skipping(job.voters))
        questions = Questions(job, out, wait, progress.say, progress.command(), records.flag)
        how = partial(drive.resume, accept_judge=accept_judge) if resume else None
        view, methods = _carry_out(job, allowing(settings, job.config), server, records, compare, how, questions)
        report = _write(job, view, records, out, test, methods, compare)
    if as_json:
        print(json.dumps(report, indent=2, ensure_ascii=False))


def read_yaml(path: Path) -> object:
    """What a settings file says. Raises InvalidInput where it cannot be read."""
    try:
        return yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from None


def _say_estimate(job: Job, aside: Path | None, before: RunView | None, as_json: bool) -> None:
    """The account of the input, then what the run would cost."""
    given = job.given
    expected = estimate.estimate(job.config, [row.pair for row in given.rows], before)
    if as_json:
        read = {"form": given.form, "labels": progress.labels(job), "verdicts": dict(given.judges)}
        read |= {"set_aside": dict(given.set_aside), "notes": list(job.notes)}
        print(json.dumps({"pairs": len(given.rows), **vars(expected), "input": read}, indent=2, ensure_ascii=False))
        return
    for line in progress.account(job, aside):
        print(progress.clean(line))
    known = expected.dollars is not None
    price = (
        f"about {money(expected.dollars or 0)}"
        if known
        else "price unknown: give --prompt-price and --completion-price"
    )
    tokens = f" with {expected.prompt_tokens:,} + {expected.completion_tokens:,} tokens" if expected.calls else ""
    print(f"{len(given.rows):,} pairs: {expected.calls:,} judge calls{tokens}, {price}")
    if expected.calls:
        print(f"  {expected.basis}")
    for name, cost in expected.signals.items():
        print(f"  of these {_calls(cost)} for the signal {name}")
    if expected.scores:
        print(
            f"  scores of each answer alone for the doubtful third (--rubric doubtful): {_calls(expected.scores)} more; a "
            "second look of another kind shows more of the judge's errors"
        )
    print(
        f"{expected.votes:,} votes of people, about {expected.human_minutes:,.0f} minutes at {estimate.SECONDS_A_VOTE} s a vote"
    )


def _calls(cost: Mapping[str, float | None]) -> str:
    calls = f"{cost['calls']:,.0f} calls"
    return f"{calls}, about {money(cost['dollars'])}" if cost["dollars"] is not None else calls


def _carry_out(
    job: Job,
    settings: Settings,
    server: str,
    records: Records,
    compare: bool,
    resume: session.Resume | None,
    questions: Questions,
) -> tuple[RunView, Mapping[str, Method]]:
    """The finished run, and the other methods where they are wanted; raises Exit where the run stands still."""
    from concord.embedded import serving

    with serving(settings, server, len(job.given.rows)) as running:
        with progress.shown(job) as seen:
            view = session.run(job, running, seen, resume, questions)
        if view.status != RUN_STATUS_FINISHED:
            _say_why(view, questions, records)
            raise typer.Exit(WAITS)
        if not (compare and job.truth):
            return view, {}
        with progress.shown(job) as seen:
            return view, session.compared(job, running, records, seen)


def _say_why(view: RunView, questions: Questions, records: Records) -> None:
    """Why the run stands still, and where its judge is the reason, what that answered instead of verdicts."""
    if view.status == RUN_STATUS_RUNNING:
        return print(f"concord: {progress.clean(questions.line())}", file=sys.stderr)
    status = word(RunStatus, view.status)
    why = progress.clean(view.detail) or "no reason given"
    how = "; the same command with --resume goes on" if status == "paused" and "--resume" not in why else ""
    print(f"concord: run {view.run_id} is {status}: {why}{how}", file=sys.stderr)
    for line in evidence(view, records):
        progress.say(line)


def _write(
    job: Job,
    view: RunView,
    records: Records,
    out: Path,
    test: Path | None,
    methods: Mapping[str, Method],
    compare: bool,
) -> Mapping[str, object]:
    """The results, and what is said of them; returns what report.json holds."""
    from concord.client.run import evaluate

    evaluation = evaluate.gap(view, records.blob, job.truth, test) if test else None
    report, questions = results(job, view, records, out, evaluation, methods)
    progress.ended(report, out, job, compare, questions, records.flag)
    return report
