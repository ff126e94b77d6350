"""`concord run`: from a file of pairs to a dataset and a report."""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil
from pathlib import Path

import typer
import yaml

from concord.client.intake import intake
from concord.client.results import results_dir
from concord.client.results.records import Records
from concord.client.run import estimate, options, preflight, progress, request, session
from concord.client.run.job import Job
from concord.client.run.request import Request
from concord.commands import WAITS, flags, home
from concord.kit.enums import word
from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.kit.settings import Settings
from concord.one_run import Questions, driven, evidence, results
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
    annotator: flags.Annotator = None,
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
    from concord.commands.console import check_names
    from concord.embedded import allowing

    settings = home.opened()
    wanted = Request(
        path,
        asked,
        settings.home,
        partial(intake.read, columns=columns or None, contradictions=contradictions),
        server,
        from_,
        reuse or "",
        new,
        Path(settings.home) / "set-aside.jsonl" if skip_bad else None,
        test=test,
        skip_unanswered=skip_unanswered,
        resume=resume,
        accept_judge=accept_judge,
    )
    with home.reading(settings, server) as records:
        job = request.job_of(wanted, records)
        if dry_run:
            return _say_estimate(wanted, job, estimate.same_judge(job.config, records.views()), as_json)
        out = out or results_dir.folder(settings.home, job.run_id, server)
        names = check_names(job.options.annotators, annotator or [])
        request.begin(wanted, job, records, out, progress.say)
        questions = Questions(job, out, wait or bool(names), progress.say, progress.command(), records.flag)
        view, methods = carry_out(job, allowing(settings, job.config), records, compare, wanted, questions, names)
        report = _write(questions.job, view, records, out, wanted, methods, compare)
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


def _say_estimate(wanted: Request, job: Job, before: RunView | None, as_json: bool) -> None:
    """The account of the input, then what the run would cost, and what it would stop at."""
    given = job.given
    expected = estimate.estimate(job.config, [row.pair for row in given.rows], before, job.earlier)
    stops = (
        "" if wanted.server else preflight.without_key((job.config.judge, *job.config.helpers, *job.config.generators))
    )
    if as_json:
        read = {"form": given.form, "labels": progress.labels(job), "verdicts": dict(given.judges)}
        read |= {"set_aside": dict(given.set_aside), "notes": list(job.notes)}
        said = {"pairs": len(given.rows), **vars(expected), "input": read, "stops_at": stops or None}
        print(json.dumps(said, indent=2, ensure_ascii=False))
        return
    for line in progress.account(job, wanted.aside):
        print(progress.clean(line))
    known = expected.dollars is not None
    price = (
        f"about {money(expected.dollars or 0)}"
        if known
        else "price unknown: give --prompt-price and --completion-price"
    )
    tokens = f" with {expected.prompt_tokens:,} + {many(expected.completion_tokens, 'token')}" if expected.calls else ""
    what, calls = ("prompt", "call") if expected.sampled else ("pair", "judge call")
    print(f"{many(len(given.rows), what)}: {many(expected.calls, calls)}{tokens}, {price}")
    if expected.sampled:
        print(f"  of these {_calls(expected.sampled)} to sample answers")
    if job.config.judge.url or expected.sampled:
        print(f"  {expected.basis}")
    if expected.checks:
        print(f"  {estimate.checks_in_words(expected.checks)}")
    for name, cost in expected.signals.items():
        print(f"  of these {_calls(cost)} for the signal {name}")
    if expected.scores:
        print(
            f"  scores of each answer alone for the doubtful third (--rubric doubtful): {_calls(expected.scores)} more; a "
            "second look of another kind shows more of the judge's errors"
        )
    print(
        f"{many(expected.votes, 'vote')} of people, about {many(ceil(expected.human_minutes), 'minute')} "
        f"at {estimate.SECONDS_A_VOTE} s a vote"
    )
    if stops:
        print(f"the run would stop at once: {progress.clean(stops)}")


def _calls(cost: Mapping[str, float | None]) -> str:
    calls = many(cost["calls"] or 0, "call")
    return f"{calls}, about {money(cost['dollars'])}" if cost["dollars"] is not None else calls


def carry_out(
    job: Job,
    settings: Settings,
    records: Records,
    compare: bool,
    wanted: Request,
    questions: Questions,
    names: Sequence[str] = (),
) -> tuple[RunView, Mapping[str, Method]]:
    """The finished run, and the other methods where they are wanted; raises Exit where the run stands still."""
    from concord.commands.console import beside
    from concord.embedded import serving

    with serving(settings, wanted.server, len(job.given.rows), job.config) as running:
        with beside(job.run_id, settings, running.address, names, progress.say), progress.shown(job) as seen:
            view = driven(job, running, seen, wanted.how, questions)
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
    wanted: Request,
    methods: Mapping[str, Method],
    compare: bool,
) -> Mapping[str, object]:
    """The results, and what is said of them; returns what report.json holds."""
    evaluation = None
    if wanted.test:
        from concord.client.run import evaluate

        test = evaluate.read_test(wanted.test, wanted.read)
        evaluation = evaluate.evaluate(view, records.blob, job.truth, test)
    report, questions = results(job, view, records, out, evaluation, methods)
    progress.ended(report, out, job, compare, questions, records.flag)
    return report
