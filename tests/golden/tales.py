"""What happens to a run while its history is recorded: each tale is a function that carries the run through to its end."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from concord import sample
from concord.client.results import results_dir
from concord.client.run import continue_run, drive, options, session
from concord.client.run.job import Job
from concord.kit.blobs import Blobs
from concord.kit.errors import Unavailable
from concord.kit.ids import event_id, uri_of
from concord.kit.loop.commands import append_and_wait
from concord.kit.settings import open_log, open_store
from concord.labeling.sample_judge import judged
from concord.operate.local_records import here
from concord.process import Running
from concord.v1.events_pb2 import Erased, ErasedBlob, Event, PauseReason, Stage
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import (
    RUN_STATUS_CANCELLED,
    RUN_STATUS_FINISHED,
    RUN_STATUS_PAUSED,
    CancelRunRequest,
    PauseRunRequest,
    ResumeRunRequest,
    RevokeAccessRequest,
    RunView,
    SetBudgetRequest,
    WatchRunRequest,
)
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2 import (
    NextTaskRequest,
    SkipTaskRequest,
    SubmitAnnotationRequest,
    Task,
    WithdrawAnnotationRequest,
)
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from concord.wiring import SERVICES, Parts, Service
from tests.endpoint import Endpoint

NAME = "golden"
OPPOSITE = {Choice.CHOICE_FIRST: Choice.CHOICE_SECOND, Choice.CHOICE_SECOND: Choice.CHOICE_FIRST}


@dataclass
class World:
    """A run in its services, and the judge that it asks if it asks one over HTTP."""

    job: Job
    running: Running
    judge: Endpoint
    runs: RunServiceStub
    tasks: TaskServiceStub

    def go_on(self, seen: session.Seen = lambda view: None, resume: session.Resume | None = None) -> RunView:
        """To the run's end, or to a pause that needs a person."""
        return session.run(session.selected(self.job, self.running, seen, resume), self.running, seen, resume)

    def finish(self, seen: session.Seen = lambda view: None, resume: session.Resume | None = None) -> None:
        """To the run's end, which must be a dataset."""
        view = self.go_on(seen, resume)
        assert view.status == RUN_STATUS_FINISHED, view

    def stand_still(self, reason: "PauseReason.ValueType", seen: session.Seen = lambda view: None) -> RunView:
        """To a pause, which must be for this reason."""
        view = self.go_on(seen)
        assert (view.status, view.pause_reason) == (RUN_STATUS_PAUSED, reason), view
        return view


Tale = Callable[[World], None]


def once(holds: Callable[[RunView], bool], do: Callable[[RunView], object]) -> session.Seen:
    """What sees the run's states and does something at the first one for which this holds."""
    done: list[str] = []

    def seen(view: RunView) -> None:
        if not done and holds(view):
            done.append(view.run_id)
            do(view)

    return seen


def stands_in(stage: "Stage.ValueType", settled: int = 0) -> Callable[[RunView], bool]:
    """Whether the run is in the middle of this stage, with at least so many units settled."""

    def holds(view: RunView) -> bool:
        last = view.stages[-1] if view.stages else None
        return last is not None and last.stage == stage and not last.closed and last.settled >= settled

    return holds


def quiet(world: World) -> None:
    """Nothing happens to it."""
    world.finish()


def looked_into(world: World) -> None:
    """A caller pauses it after its first stages and lets it go on at once."""

    def look(view: RunView) -> None:
        world.runs.PauseRun(PauseRunRequest(run_id=view.run_id, request_id=NAME, detail="a look in between"))
        world.runs.ResumeRun(ResumeRunRequest(run_id=view.run_id, request_id=NAME))

    world.finish(once(lambda view: bool(view.stages_ahead and view.stages), look))


def paused_with_less_to_spend(world: World) -> None:
    """A caller pauses it in a triage, takes half of the people's budget away, and lets it go on."""
    pause = PauseRunRequest(run_id=world.job.run_id, request_id=NAME, detail="lunch")
    view = world.stand_still(
        PauseReason.PAUSE_REASON_CALLER, once(stands_in(Stage.STAGE_TRIAGE), lambda view: world.runs.PauseRun(pause))
    )
    half = SetBudgetRequest(run_id=view.run_id, request_id=NAME, human_budget=view.human_budget // 2)
    world.runs.SetBudget(half)
    world.finish(resume=drive.resume)


def cancelled(world: World) -> None:
    """A caller cancels it while people answer."""
    cancel = CancelRunRequest(run_id=world.job.run_id, request_id=NAME, reason="the wrong file")
    seen = once(stands_in(Stage.STAGE_ANNOTATE), lambda view: world.runs.CancelRun(cancel))
    assert world.go_on(seen).status == RUN_STATUS_CANCELLED


def revoked(world: World) -> None:
    """Somebody's link is revoked while people answer, then the run is cancelled."""
    revoke = RevokeAccessRequest(run_id=world.job.run_id, request_id=NAME, name="ann", reason="left the team")
    cancel = CancelRunRequest(run_id=world.job.run_id, request_id=NAME, reason="nobody is left")

    def end(view: RunView) -> None:
        world.runs.RevokeAccess(revoke)
        world.runs.CancelRun(cancel)

    assert world.go_on(once(stands_in(Stage.STAGE_PILOT_ANNOTATE), end)).status == RUN_STATUS_CANCELLED


def erased(world: World) -> None:
    """The run is cancelled, then words of it are erased where the log's records cannot be changed."""
    cancel = CancelRunRequest(run_id=world.job.run_id, request_id=NAME, reason="somebody asked")
    view = world.go_on(once(stands_in(Stage.STAGE_PILOT_ANNOTATE), lambda view: world.runs.CancelRun(cancel)))
    assert view.status == RUN_STATUS_CANCELLED
    gone = ErasedBlob(uri=uri_of(b"dear ann"), instead=uri_of(b"dear [erased]"))
    said = Erased(what="person", reason="left the team", blobs=[gone], kept=1)
    own = event_id(world.job.run_id, "erased/golden")
    event = Event(event_id=own, run_id=world.job.run_id, actor="operator/ann", erased=said)
    settings = world.running.settings
    with closing(open_log(settings)) as log, closing(open_store(settings)) as store:
        append_and_wait(log, store, "runs", [event])


def failed_and_retried(world: World) -> None:
    """The endpoint knows no model for one pair; its shard fails, the run stops, and once that is mended it is tried anew."""
    world.judge.behaviour.poison = {world.job.given.rows[40].pair.first.text: 404}
    world.stand_still(PauseReason.PAUSE_REASON_FAILED_UNITS)
    world.judge.behaviour.poison = {}
    world.finish(resume=drive.resume)


def out_of_money(world: World) -> None:
    """The dollars do not last; with a higher limit it goes on."""
    world.stand_still(PauseReason.PAUSE_REASON_BUDGET)
    world.job.config.dollar_budget *= 100
    world.finish(resume=drive.resume)


def at_odds(world: World) -> None:
    """People contradict the judge on every pair: the pilot's gate stops the run, and somebody overrules it."""
    judge = [judged(row.pair, world.job.config.seed).choice for row in world.job.given.rows]
    world.job = replace(world.job, answer=lambda pair, vote: OPPOSITE[judge[pair]])
    world.stand_still(PauseReason.PAUSE_REASON_MISALIGNED)
    world.finish(resume=drive.resume)


def silent_and_mended(world: World) -> None:
    """After two shards the judge answers rubbish; the run stops, and the mended judge is asked about those pairs again."""

    def breaks(view: RunView) -> None:
        world.judge.behaviour.bad_texts = 1.0

    world.stand_still(PauseReason.PAUSE_REASON_SILENT_JUDGE, once(stands_in(Stage.STAGE_LABEL, 2), breaks))
    world.judge.behaviour.bad_texts = 0.0
    world.finish(resume=drive.resume)


def one_sided_and_accepted(world: World) -> None:
    """The judge always says A; the run stops after a shard, and somebody goes on with its verdicts."""
    world.judge.behaviour.flips = 1.0
    world.stand_still(PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE)
    world.finish(resume=partial(drive.resume, accept_judge=True))


def of_two_minds(world: World) -> None:
    """Somebody takes an answer back and gives another one, and skips two tasks; on one of them everybody does."""
    begin(world)
    first = _next(world, "ann")
    _answer(world, first, Choice.CHOICE_FIRST)
    world.tasks.WithdrawAnnotation(WithdrawAnnotationRequest(task_id=first.task_id, annotator="ann"))
    assert _next(world, "ann").task_id == first.task_id
    _answer(world, first, Choice.CHOICE_SECOND)
    for reason in ("not my field", "a riddle"):
        skipped = _next(world, "ann")
        world.tasks.SkipTask(SkipTaskRequest(task_id=skipped.task_id, annotator="ann", reason=reason))
    known, riddle = world.job.answer, skipped.pair_index
    world.job = replace(world.job, answer=lambda pair, vote: None if pair == riddle else known(pair, vote))
    world.finish()


def begin(world: World) -> None:
    """The run begins, and nobody answers yet."""
    job = world.job
    pairs = [row.pair for row in job.given.rows]
    drive.begin(world.runs, job.run_id, job.config, pairs, job.given.sha256, job.given.name)


def _answer(world: World, task: Task, choice: "Choice.ValueType") -> None:
    said = SubmitAnnotationRequest(task_id=task.task_id, annotator="ann", choice=choice, seconds=4.0)
    world.tasks.SubmitAnnotation(said)


def _next(world: World, annotator: str) -> Task:
    """The next task of this person, once there is one."""
    for _ in world.runs.WatchRun(WatchRunRequest(run_id=world.job.run_id), timeout=60):
        given = world.tasks.NextTask(NextTaskRequest(annotator=annotator, run_id=world.job.run_id))
        if given.HasField("task"):
            return given.task
    raise AssertionError("the run ended without a question")


def asked_about_the_policy(world: World) -> None:
    """Somebody prefers the first answer to the second, twice, and cannot decide about the third."""
    begin(world)
    for choice in (Choice.CHOICE_FIRST, Choice.CHOICE_FIRST, None):
        task = _next(world, "ann")
        if choice is None:
            world.tasks.SkipTask(SkipTaskRequest(task_id=task.task_id, annotator="ann", reason="both are alike"))
        else:
            _answer(world, task, choice)
    view = drive.watch(world.runs, world.job.run_id, None, lambda view: None)
    assert view.status == RUN_STATUS_FINISHED, view


def left_alone(world: World) -> None:
    """Nobody answers before the deadline."""
    begin(world)
    view = drive.watch(world.runs, world.job.run_id, None, lambda view: None)
    assert view.status == RUN_STATUS_FINISHED, view


def gone_on_from(world: World) -> None:
    """The run ends, and another one goes on from it with half as many new pairs: it is the one that is kept."""
    world.finish()
    settings, parent = world.running.settings, world.job
    pairs = len(parent.given.rows)
    more = Path(settings.home) / "more.jsonl"
    more.write_text("\n".join(sample.jsonl().splitlines()[pairs : pairs + pairs // 2]) + "\n")
    results_dir.remember(results_dir.folder(settings.home, parent.run_id), parent.run_id, parent.truth)
    with here(settings) as records:
        world.job = continue_run.go_on(records, settings.home, parent.run_id, str(more), _as_before, None, "", None)
    world.finish()


def _as_before(base: options.Options) -> options.Options:
    return options.resolve({}, base=base)


class AwayOnce:
    """Blobs that do not answer the first time that a unit reads one of them."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs, self._away = blobs, True

    def __getattr__(self, name: str) -> object:
        return getattr(self._blobs, name)

    def get(self, uri: str) -> bytes:
        if self._away:
            self._away = False
            raise Unavailable("the blob store does not answer")
        return self._blobs.get(uri)


def training_away_once(parts: Parts) -> Service:
    """Training whose blobs are away at first: a unit is put off, and the run waits until one gets through."""
    return SERVICES["training"](replace(parts, blobs=AwayOnce(parts.blobs)))
