"""What a person sees while a run goes on and when it ends. Everything on standard error; standard output is for data."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from concord.v1.events_pb2 import Stage
from concord.v1.runs_service_pb2 import RunView
from services.client.session import Job

WORDS = {
    "PILOT_LABEL": "judging the pilot", "PILOT_JUDGE": "people answer the pilot", "LABEL": "judging every pair",
    "FIT_FEATURES": "fitting the features' basis", "FEATURES": "computing features", "TRAIN": "training out of fold",
    "SCORE": "scoring", "TRIAGE": "triage", "JUDGE": "people answer", "FINAL": "training the reward model",
    "DATASET": "writing the dataset",
}  # fmt: skip


def began(job: Job, aside: Path | None) -> None:
    """What was read, and what will be done."""
    console = Console(stderr=True, highlight=False)
    given, config = job.given, job.config
    truth = f"{given.rows_with_truth:,} with people's labels" if given.rows_with_truth else "no truth in the file"
    console.print(f"{given.name}: {len(given.rows):,} pairs ({given.form}; {truth})")
    for reason, count in given.set_aside.items():
        console.print(
            f"  set aside: {count:,} rows, {reason}"
            + (f" (see {aside})" if aside and not reason.startswith("no verdict") else "")
        )
    if given.name == "concord-sample" or config.humans.startswith("simulated") or config.judge.kind == "sample":
        console.print("  this is a simulation: its judge or its people are programs")
    console.print(
        f"run {job.run_id}: {config.method}, judge {job.options.judge}, people {config.humans}, budget {job.options.budget}"
    )


def title(view: RunView) -> str:
    """The open stage in words."""
    if not view.stages:
        return "taking the pairs in"
    stage = view.stages[-1]
    words = WORDS.get(Stage.Name(stage.stage).removeprefix("STAGE_"), "working")
    return (
        f"{words}, round {stage.round}"
        if stage.round and stage.stage in (Stage.STAGE_TRIAGE, Stage.STAGE_JUDGE)
        else words
    )


@contextmanager
def shown(job: Job) -> Iterator[Callable[[RunView], None]]:
    """A function that shows a run's state: a moving line on a terminal, one line a stage elsewhere."""
    if not sys.stderr.isatty():
        yield _plain()
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

        def seen(view: RunView) -> None:
            closed = sum(s.closed for s in view.stages)
            bar.update(whole, description=f"{view.votes:,} of {view.human_budget:,} votes", completed=closed)
            bar.update(whole, total=len(view.stages) + view.stages_ahead)
            last = view.stages[-1] if view.stages else None
            bar.update(
                stage,
                description=title(view),
                completed=last.settled if last else 0,
                total=last.units if last else None,
            )

        yield seen


def _plain() -> Callable[[RunView], None]:
    said: set[str] = set()

    def seen(view: RunView) -> None:
        words = title(view)
        if words not in said:
            said.add(words)
            print(f"  {words}", file=sys.stderr, flush=True)

    return seen


def command() -> str:
    """How this program is called from here: by its name where that is on the PATH."""
    return "concord" if shutil.which("concord") else os.path.relpath(sys.argv[0])


def ended(report: Mapping[str, object], out: Path, job: Job) -> None:
    """The short summary and where everything lies."""
    console = Console(stderr=True, highlight=False)
    share = report.get("human_share")
    console.print(f"people answered {report.get('human_labels')} of {report.get('pairs')} pairs ({share:.1%})")
    accuracy = report.get("label_accuracy")
    if isinstance(accuracy, Mapping) and accuracy.get("final") is not None:
        console.print(f"label accuracy {accuracy['start']:.1%} → {accuracy['final']:.1%}")
    methods = report.get("methods")
    for name, method in sorted(methods.items()) if isinstance(methods, Mapping) else ():
        console.print(
            f"  {name}: {method['label_accuracy']:.1%}" if method.get("label_accuracy") is not None else f"  {name}"
        )
    if isinstance(gap := report.get("gap_closed"), float):
        console.print(f"gap closed on the test pairs: {gap:.0%}")
    console.print(f"{out / 'dataset.jsonl'}\n{out / 'report.html'}")
    console.print(f"replay it with: {command()} replay {job.run_id[:8]}")
