"""One `concord run`, from the file to the report, on services that run in this process."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from concord.app import SERVICES, Running
from concord.client.intake import intake
from concord.client.intake.verdicts import Judges
from concord.client.results.records import Records
from concord.client.run import drive, people
from concord.client.run.evaluate import evaluate
from concord.client.run.options import METHODS, Options, recorded_name, run_config, semantic, set_method
from concord.client.run.parent_run import Earlier, Joined, check, join, link
from concord.kit import ids, rpc
from concord.kit.errors import InvalidInput
from concord.kit.loop.events import events_of
from concord.kit.settings import Settings
from concord.preference.methods import ASK_NOBODY
from concord.preference.pairs import Row, pair_hash
from concord.report import figures, page
from concord.report.accuracy import Evaluation
from concord.report.cost import LABEL_PRICE
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, TaskOutcome
from concord.v1.pairs_pb2 import Choice, Pair
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RUN_STATUS_PAUSED, RunView
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

Seen = Callable[[RunView], None]
# `drive.resume`, which lets a paused run go on.
Resume = Callable[[RunServiceStub, RunView], RunView]
# A run's facts and their append times, in order.
Events = Sequence[tuple[Event, float]]
# A child process takes about a second to start: as long as the features of a thousand pairs.
WORTH_PROCESSES = 5_000


@dataclass(frozen=True)
class Job:
    """A run as asked for, checked, ready to begin."""

    options: Options
    given: intake.Input
    config: RunConfig
    run_id: str
    answer: drive.Answerer
    # What the user should hear before the run begins.
    notes: tuple[str, ...] = ()
    # The run that it goes on from.
    earlier: Earlier | None = None

    @property
    def truth(self) -> Mapping[int, "Choice.ValueType"]:
        """Pair index → what people say, where the input knows."""
        return {index: row.truth for index, row in enumerate(self.given.rows) if row.truth is not None}


def prepare(
    path: str,
    options: Options,
    skip_bad: Path | None,
    salt: str,
    reused: people.Reused | None = None,
    earlier: Earlier | None = None,
) -> Job:
    """Reads and checks everything before anything is recorded; an empty path: the pairs of `earlier` alone."""
    joined = _joined(path, skip_bad, earlier)
    whole = joined.given
    given, judges = _judged(whole, options)
    config = run_config(options, judges)
    answer: drive.Answerer = people.nobody
    notes = whole.notes
    if options.method not in ASK_NOBODY or given.rows_with_truth:
        aside = {row.pair.pair_id for row in whole.rows} - {row.pair.pair_id for row in given.rows} | joined.left_out
        if skip_bad and whole.set_aside:
            aside |= people.ids_set_aside(skip_bad) - {row.pair.pair_id for row in whole.rows}
        answer = people.answerer(options.annotators, given.rows, options.seed, aside)
        config.annotators = people.named(options.annotators)
        if unused := people.answered(options.annotators, aside):
            notes += (f"{options.annotators}: {unused:,} of the answers are for rows set aside; they are not used",)
    if earlier:
        if not salt:
            check(config, given, earlier)
        link(config, earlier, len(given.rows))
        reused = {**earlier.answered, **(reused or {})}
    if reused:
        answer = people.with_reused(reused, given.rows, answer)
    return Job(options, given, config, ids.run_id(given.sha256, semantic(config), salt), answer, notes, earlier)


def _joined(path: str, skip_bad: Path | None, earlier: Earlier | None) -> Joined:
    """What there is to run on, before anybody judged it."""
    if path:
        given = intake.read_sample() if path == "sample" else intake.read(path, skip_bad)
        return join(earlier, given) if earlier else Joined(given)
    if earlier:
        return join(earlier, None)
    raise InvalidInput("which pairs? Name a file or folder of them, `sample`, or with --from RUN a run to go on from")


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


@dataclass(frozen=True)
class Cluster:
    """Services that run elsewhere, all behind one address: what a run needs of `Running`."""

    address: str

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether they are over: not for this process to know."""
        return False


@contextmanager
def embedded(settings: Settings, pairs: int = 0) -> Iterator[Running]:
    """All services in this process for as long as the block lasts; `pairs`: how many they will be given, about."""
    if settings.processes < 0 and pairs < WORTH_PROCESSES:
        settings = replace(settings, processes=0)
    # Whoever presses ^C does not want to wait.
    running = Running(list(SERVICES), replace(settings, listen="127.0.0.1:0", grace_s=0.0))
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def serving(settings: Settings, server: str, pairs: int) -> Iterator[Running | Cluster]:
    """The services behind the front door `server`, or all of them in this process."""
    if server:
        yield Cluster(server)
    else:
        with embedded(settings, pairs) as running:
            yield running


def run(job: Job, running: Running | Cluster, seen: Seen, resume: Resume | None = None) -> RunView:
    """Drives the job to its end, or to a pause that needs a person; `resume` lets a paused one go on first."""
    with rpc.channel(running.address) as channel, drive.translated(running.address):
        runs, tasks = RunServiceStub(channel), TaskServiceStub(channel)
        pairs = [row.pair for row in job.given.rows]
        view = drive.begin(runs, job.run_id, job.config, pairs, job.given.sha256, job.given.name)
        if resume and view.status == RUN_STATUS_PAUSED:
            resume(runs, view)
        annotators = drive.People(tasks, job.run_id, job.answer, job.options.annotators.split(":")[0])
        try:
            return drive.watch(runs, job.run_id, annotators, seen, check=lambda: running.wait(0))
        finally:
            annotators.stop()


def compared(job: Job, running: Running | Cluster, records: Records, seen: Seen) -> dict[str, figures.Method]:
    """The other methods on the same labels, people and budget; each is a run of its own."""
    out = {}
    for method in METHODS:
        # Asking about everything is no method at this budget.
        if method in (job.options.method, "all-human"):
            continue
        options = replace(job.options, method=method)
        config = RunConfig()
        config.CopyFrom(job.config)
        set_method(config, options)
        if job.earlier:
            link(config, job.earlier, len(job.given.rows))
        other = replace(job, options=options, config=config, run_id=ids.run_id(job.given.sha256, semantic(config)))
        if run(other, running, seen).status == RUN_STATUS_FINISHED:
            made = figures.figures_of(events_of(records.of(other.run_id)), records.blob, job.truth)
            out[method] = made.methods[method]
    return out


def write(
    out: Path,
    job_truth: Mapping[int, "Choice.ValueType"],
    events: Events,
    blob: Callable[[str], bytes],
    dataset: Iterable[bytes] | None,
    evaluation: Evaluation | None,
    methods: Mapping[str, "figures.Method"],
    label_price: float = LABEL_PRICE,
) -> dict[str, object]:
    """dataset.jsonl, report.json and report.html of the run of these events; returns what report.json holds.

    What a report of the same dataset knew from `--compare` and `--test` stays where nothing newer is given.
    """
    made = figures.figures_of(events, blob, job_truth or None, evaluation, methods, label_price)
    with writable(out):
        made = _with_measured_before(out / "report.json", made)
        report = made.as_json()
        if dataset is not None:
            _write_whole(out / "dataset.jsonl", dataset)
        (out / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (out / "report.html").write_text(page.page(made), encoding="utf-8")
    return report


def _write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """The file appears once it is whole; the parts go to the disk one by one."""
    unfinished = path.with_name(f".{path.name}.part")
    with unfinished.open("wb") as file:
        file.writelines(parts)
    os.replace(unfinished, path)


@contextmanager
def writable(out: Path) -> Iterator[None]:
    """The folder, made where it is not there; what cannot be written in it is told as the user's to mend."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InvalidInput(
            f"{out}: the results cannot be written there: {error.strerror or error}; choose another folder with --out"
        ) from None


def _with_measured_before(path: Path, made: figures.Figures) -> figures.Figures:
    """The figures with other methods and evaluation of the report at `path`, if it is of the same run and dataset."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        same = (before["run_id"], before["dataset_sha256"]) == (made.run_id, made.dataset_sha256 or None)
        methods = {name: figures.method_of(method) for name, method in before["methods"].items()} if same else {}
        tested = Evaluation(**before["evaluation"]) if same and before["evaluation"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return made
    tested = made.evaluation or tested
    gap_closed = tested.gap_closed if tested else None
    return replace(made, methods={**methods, **made.methods}, evaluation=tested, gap_closed=gap_closed)


def write_questions(out: Path, job: Job, events: Events) -> tuple[int, Path]:
    """Asked pairs that nobody answered, as JSON Lines in questions.jsonl; how many there are, and the file.

    A file of answers is never written over, should it be that very one.
    """
    silent = (TaskOutcome.TASK_OUTCOME_SKIPPED, TaskOutcome.TASK_OUTCOME_EXPIRED)
    said = [e.task_resolved for e, _ in events if e.WhichOneof("kind") == "task_resolved"]
    asked = sorted({task.pair_index for task in said if task.outcome in silent})
    path = out / "questions.jsonl"
    if Path(job.options.annotators.partition(":")[2]).absolute() == path.absolute():
        path = out / f"questions-{job.run_id[:8]}.jsonl"
    if asked:
        with writable(out):
            path.write_text("".join(_question(job.given.rows[index].pair) for index in asked), encoding="utf-8")
    return len(asked), path


def _question(pair: Pair) -> str:
    prompt = [{"role": message.role, "content": message.content} for message in pair.prompt]
    row = {"pair_id": pair.pair_id, "prompt": prompt, "first": pair.first.text, "second": pair.second.text}
    return json.dumps(row, ensure_ascii=False) + "\n"


def check_test(job: Job, test: Path) -> tuple[str, ...]:
    """Raises InvalidInput where nothing can be measured on `--test PATH`; a note where it shares pairs with the run."""
    rows = intake.read(test).rows
    if not any(row.truth in (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND) for row in rows):
        raise InvalidInput(f"--test {test}: no row of that file has people's label, so nothing can be measured on it")
    known = {pair_hash(row.pair) for row in job.given.rows}
    both = sum(pair_hash(row.pair) in known for row in rows)
    return (f"{both:,} of the test pairs are also in the run: what is measured on them flatters it",) if both else ()


def gap(view: RunView, records: Records, truth: Mapping[int, "Choice.ValueType"], test: Path) -> Evaluation:
    """The evaluation on `--test PATH`."""
    rows: tuple[Row, ...] = intake.read(test).rows
    return evaluate(view, records.blob, truth, rows)
