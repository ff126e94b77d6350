"""One `concord run`, from the file to the report, on services that run in this process."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from concord.v1.config_pb2 import RunConfig
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RUN_STATUS_PAUSED, RunView
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from services.app import SERVICES, Running
from services.client import drive, history, intake, people
from services.client.evaluate import evaluate
from services.client.options import METHODS, Options, recorded_name, run_config, semantic
from services.kit import ids, rpc
from services.kit.blobs import Blobs
from services.kit.errors import InvalidInput
from services.kit.log import Log
from services.kit.settings import Settings, open_blobs
from services.preference.pairs import Row
from services.preference.verdicts import Judges
from services.report import figures, page
from services.report.accuracy import Evaluation

Seen = Callable[[RunView], None]


@dataclass(frozen=True)
class Job:
    """A run as asked for, checked, ready to begin."""

    options: Options
    given: intake.Input
    config: RunConfig
    run_id: str
    answer: drive.Answerer

    @property
    def truth(self) -> Mapping[int, "Choice.ValueType"]:
        """Pair index → what people say, where the input knows."""
        return {index: row.truth for index, row in enumerate(self.given.rows) if row.truth is not None}


def prepare(path: str, options: Options, skip_bad: Path | None, salt: str, reused: people.Reused | None = None) -> Job:
    """Reads and checks everything before anything is recorded."""
    whole = intake.read_sample() if path == "sample" else intake.read(path, skip_bad)
    given, judges = _judged(whole, options)
    answer = people.answerer(options.humans, given.rows, options.seed, (row.pair.pair_id for row in whole.rows))
    if reused:
        answer = people.with_reused(reused, given.rows, answer)
    config = run_config(options, judges)
    return Job(options, given, config, ids.run_id(given.sha256, semantic(config), salt), answer)


def _judged(given: intake.Input, options: Options) -> tuple[intake.Input, Judges | None]:
    """The rows that the recorded judge labelled, where the judge is one."""
    helpers = tuple(name for name in map(recorded_name, options.helper) if name)
    main = recorded_name(options.judge)
    if main:
        return intake.judged_by(given, main, helpers)
    if helpers:
        raise InvalidInput("a recorded helper needs a recorded judge: --judge recorded:NAME")
    if options.judge == "sample" and not any(row.pair.reference for row in given.rows):
        raise InvalidInput(
            f"{given.name}: the sample judge only knows prompts with a `reference` answer; use --judge recorded:NAME for "
            "verdicts in the file, or --judge URL for an OpenAI-compatible endpoint"
        )
    return given, None


@contextmanager
def embedded(settings: Settings) -> Iterator[Running]:
    """All services in this process for as long as the block lasts."""
    running = Running(list(SERVICES), replace(settings, listen="127.0.0.1:0"))
    try:
        yield running
    finally:
        running.stop()


def run(job: Job, running: Running, seen: Seen, resume: bool = False) -> RunView:
    """Drives the job to its end, or to a pause that needs a person; `resume` lets a paused one go on."""
    with rpc.channel(running.address) as channel, drive.translated(running.address):
        runs, tasks = RunServiceStub(channel), TaskServiceStub(channel)
        pairs = [row.pair for row in job.given.rows]
        view = drive.begin(runs, job.run_id, job.config, pairs, job.given.sha256, job.given.name)
        if resume and view.status == RUN_STATUS_PAUSED:
            drive.resume(runs, view)
        annotators = drive.People(tasks, job.run_id, job.answer, job.options.humans.split(":")[0])
        try:
            return drive.watch(runs, job.run_id, annotators, seen)
        finally:
            annotators.stop()


def compared(job: Job, running: Running, log: Log, blobs: Blobs, seen: Seen) -> dict[str, figures.Method]:
    """The other methods on the same labels, people and budget; each is a run of its own."""
    out = {}
    for method in METHODS:
        if method == job.options.method:
            continue
        options = replace(job.options, method=method)
        config = RunConfig()
        config.CopyFrom(job.config)
        config.method = method
        other = replace(job, options=options, config=config, run_id=ids.run_id(job.given.sha256, semantic(config)))
        if run(other, running, seen).status == RUN_STATUS_FINISHED:
            made = figures.figures_of(history.events(log, other.run_id), blobs.get, job.truth)
            out[method] = figures.Method(made.label_accuracy.final, made.human_labels)
    return out


def write(
    out: Path, job_truth: Mapping[int, "Choice.ValueType"], run_id: str, log: Log, blobs: Blobs, dataset: bytes | None,
    evaluation: Evaluation | None, methods: Mapping[str, "figures.Method"],
) -> dict[str, object]:  # fmt: skip
    """dataset.jsonl, report.json and report.html; returns what report.json holds."""
    out.mkdir(parents=True, exist_ok=True)
    made = figures.figures_of(history.events(log, run_id), blobs.get, job_truth or None, evaluation, methods)
    report = made.as_json()
    if dataset is not None:
        (out / "dataset.jsonl").write_bytes(dataset)
    (out / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "report.html").write_text(page.page(made), encoding="utf-8")
    return report


def gap(view: RunView, settings: Settings, truth: Mapping[int, "Choice.ValueType"], test: Path) -> Evaluation:
    """The evaluation on `--test PATH`."""
    rows: tuple[Row, ...] = intake.read(test).rows
    return evaluate(view, open_blobs(settings), truth, rows)
