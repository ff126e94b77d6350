"""What a person sees while a run goes on and when it ends. Everything on standard error; standard output is for data."""

import os
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from concord.certificate import words as certificate
from concord.client.run.job import Job
from concord.client.run.voters import LIVE
from concord.kit.plural import many
from concord.preference import deviating, generating
from concord.preference.judges import simulated
from concord.preference.methods import asks
from concord.preference.stages import STAGES
from concord.report.words import dollars
from concord.v1.events_pb2 import PauseReason
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RUN_STATUS_PAUSED, RUN_STATUS_RUNNING, RunView

# Judges of a file that are named one by one.
MOST_JUDGES = 8
CHOICES = {Choice.CHOICE_FIRST: "first", Choice.CHOICE_SECOND: "second", Choice.CHOICE_TIE: "tie"}


def clean(text: object) -> str:
    """A stranger's text for one line of a terminal: what could steer it (control and direction characters) is replaced."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in str(text))


def say(text: str) -> None:
    """One line on standard error; while a moving line stands there, above it."""
    print(clean(text), file=sys.stderr, flush=True)


def account(job: Job, aside: Path | None) -> Iterator[str]:
    """What was read: its form, the labels in it, what is set aside and what else was noticed, a line each."""
    given, config = job.given, job.config
    truth = f"{given.rows_with_truth:,} with people's labels" if given.rows_with_truth else "no truth in the file"
    what = "prompt" if config.generators else "pair"
    yield f"{given.name}: {many(len(given.rows), what)} ({given.form}; {truth})"
    if counts := labels(job):
        yield "  people's labels: " + ", ".join(f"{count:,} {word}" for word, count in counts.items())
    if given.judges:
        said = sorted(given.judges.items(), key=lambda item: (-item[1], item[0]))
        more = f" and {many(len(said) - MOST_JUDGES, 'judge')} more" if len(said) > MOST_JUDGES else ""
        yield "  verdicts in the file: " + ", ".join(f"{name} {count:,}" for name, count in said[:MOST_JUDGES]) + more
    for reason, count in given.set_aside.items():
        see = f" (see {aside})" if aside and not reason.startswith("no verdict") else ""
        yield f"  set aside: {many(count, 'row')}, {reason}{see}"
    if given.name == "concord-sample" or config.annotators.startswith("simulated") or simulated(config.judge):
        yield "  this is a simulation: its judge or its people are programs"
    yield from (f"  {note}" for note in job.notes)


def labels(job: Job) -> dict[str, int]:
    """People's labels in the input: `first`, `second`, `tie` and how often; those that are there."""
    counts = Counter(row.truth for row in job.given.rows)
    return {word: counts[choice] for choice, word in CHOICES.items() if counts[choice]}


def began(job: Job, aside: Path | None, say: Callable[[str], object] = say) -> None:
    """What was read, and what will be done."""
    config = job.config
    for line in account(job, aside):
        say(line)
    who = "who answer as they come" if config.annotators in LIVE else config.annotators
    people = "" if not asks(config) else f", people {who}, budget {job.options.budget}"
    if config.generators:
        models = ", ".join(one.name for one in config.generators)
        say(f"answers: {many(generating.samples(config), 'sample')} a prompt of {models}; pairs: {config.select}")
    say(f"run {job.run_id}: {config.method}, judge {job.options.judge}{people}")


def title(view: RunView, own: str = "") -> str:
    """The open stage in words; of a run by another method than `own` with its name."""
    method = view.config.method
    return f"{method}: {_doing(view)}" if own and method and method != own else _doing(view)


def _doing(view: RunView) -> str:
    if not view.stages:
        return "taking the pairs in"
    stage = view.stages[-1]
    kind = STAGES.get(stage.stage)
    if kind is None:  # of a newer version
        return "working"
    return f"{kind.doing}, round {stage.round}" if stage.round and kind.counted else kind.doing


@contextmanager
def shown(job: Job) -> Iterator[Callable[[RunView], None]]:
    """A function that shows a run's state: a moving line on a terminal, one line a stage elsewhere."""
    if not sys.stderr.isatty():
        yield plain(lambda line: print(clean(line), file=sys.stderr, flush=True), job.config.method)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        whole = bar.add_task("the run", total=None)
        stage = bar.add_task("starting", total=None)

        reasons: set[str] = set()

        def seen(view: RunView) -> None:
            for key, why in (*news(view), (waiting(view),) * 2):
                if why and key not in reasons:
                    reasons.add(key)
                    bar.console.print(clean(why), markup=False, emoji=False, highlight=False)
            closed = sum(s.closed for s in view.stages)
            bar.update(whole, description=f"{view.votes:,} of {many(view.human_budget, 'vote')}", completed=closed)
            bar.update(whole, total=len(view.stages) + view.stages_ahead)
            last = view.stages[-1] if view.stages else None
            bar.update(
                stage,
                description=title(view, job.config.method) + training(view),
                completed=last.settled if last else 0,
                total=last.units if last else None,
            )

        yield seen


def training(view: RunView) -> str:
    """How far language models are in training, behind what is done."""
    return f" ({view.detail})" if view.status == RUN_STATUS_RUNNING and view.detail else ""


def waiting(view: RunView) -> str:
    """What the run waits for until it goes on by itself; another pause ends the command, which says why then."""
    waits = view.status == RUN_STATUS_PAUSED and view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED
    return f"  waiting: {view.detail}" if waits and view.detail else ""


def compared(view: RunView) -> str:
    """How judge and helpers fared on the pilot's answers, once that is known."""
    return f"  {view.pilot_says}" if view.pilot_says else ""


def enough(view: RunView) -> str:
    """Why nobody is asked any more although there is budget left."""
    return f"  nobody is asked any more: {view.enough}" if view.enough else ""


def news(view: RunView) -> list[tuple[str, str]]:
    """What was found, each under a name by which it is told once: an annotator's figures go on changing."""
    found = view.last_round.deviations
    alarms = [(f"{one.annotator} {one.set_aside}", f"  alarm: annotator {deviating.words(one)}") for one in found]
    do = [("alarm", f"  {deviating.DO}")] if found else []
    return [(compared(view),) * 2, *alarms, *do, (enough(view),) * 2]


def plain(say_line: Callable[[str], object], own: str = "") -> Callable[[RunView], None]:
    """A function that says a line for each stage and for each reason to stand still; `own`: the method that needs no name."""
    said: set[str] = set()

    def seen(view: RunView) -> None:
        for key, words in (*news(view), (f"  {title(view, own)}",) * 2, (waiting(view),) * 2):
            if words and key not in said:
                said.add(key)
                say_line(words)

    return seen


def command() -> str:
    """How this program is called from here: by its name where that is on the PATH."""
    # In a notebook the program is another one.
    is_ours = os.path.basename(sys.argv[0]) in ("concord", "cli.py")
    return os.path.relpath(sys.argv[0]) if is_ours and not shutil.which("concord") else "concord"


def ended(
    report: Mapping[str, Any],
    out: Path,
    job: Job,
    compared: bool,
    questions: tuple[int, Path],
    flag: str = "",
    say: Callable[[str], object] = say,
) -> None:
    """The short summary and where everything lies; `flag` is what `concord replay` needs to find the run."""
    say(f"people answered {report['human_labels']:,} of {many(report['pairs'], 'pair')} ({report['human_share']:.1%})")
    if report.get("without_verdict"):
        say(f"no usable verdict from the judge on {report['without_verdict']:,} of {many(report['pairs'], 'pair')}")
    for answers in report["unusable_answers"]:
        say(f"  {answers['says']}: {answers['do']}")
    if report["order"]:
        say(report["order"]["says"])
    for alarm in report["alarms"]:
        say(f"alarm: {alarm['says']}: {alarm['do']}")
    policy = report.get("policy") or {}
    for alarm in policy.get("alarms", ()):
        say(f"alarm: {alarm}")
    contests = [*filter(None, (policy.get("contest"),)), *report["contests"]]
    by_people = (policy.get("people") or {}).get("says", "")
    for line in (*_accuracy(report), *(one["says"] for one in contests if one["says"]), *filter(None, (by_people,))):
        say(line)
    for name, method in sorted(report["methods"].items()) if compared else ():
        known = method["label_accuracy"] is not None
        say(f"  {name}: {method['label_accuracy']:.1%}" if known else f"  {name}")
    if isinstance(gap := report.get("gap_closed"), float):
        say(f"gap closed on the test pairs: {gap:.0%}")
    if report["usage"]["calls"]:
        what = "answers and judging" if job.config.generators else "judging"
        say(f"paid for {what}: {dollars(report['usage']['dollars'])}")
    if line := _unanswered(job, *questions):
        say(line)
    say(str(out / "dataset.jsonl"))
    say(str(out / "report.html"))
    for folder, asked in (("reward-model", job.config.reward_model), ("policy", job.config.policy)):
        if asked:
            say(str(out / folder))
    if not policy and (answers := out / "policy" / "answers.jsonl").exists():
        say(f"its answers beside its start's: {command()} run {answers} --method random --judge … --annotators …")
    say(f"replay it with: {command()} replay {job.run_id[:8]}{flag}")


def _accuracy(report: Mapping[str, Any]) -> list[str]:
    """Measured where truth is known, and what the certificate says; nothing where it would be an assumption."""
    measured, made = report["label_accuracy"], certificate.read(report["certificate"])
    said = []
    if measured["final"] is not None:
        start = f"{measured['start']:.1%} → " if measured["start"] is not None else ""
        said.append(f"label accuracy {start}{measured['final']:.1%}")
    elif measured["rows"]:
        return ["label accuracy: there is no label to measure"]
    return said if made is None else [*said, certificate.short(made)]


def _unanswered(job: Job, count: int, path: Path) -> str:
    if job.voters is None or not count:
        return ""
    return f"{many(count, 'question was', 'questions were')} skipped: see {path}"
