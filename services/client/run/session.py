"""A job carried out by services behind an address, in this process or elsewhere: over gRPC alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from concord.client.results.records import Records, There
from concord.client.run import desk, drive, policy_questions, selection, trainings
from concord.client.run.job import Job
from concord.client.run.options import semantic, set_method
from concord.client.run.parent_run import link
from concord.client.run.voters import Skipping
from concord.kit import ids, rpc, tracing
from concord.kit.errors import NotFound
from concord.preference.methods import COMPARED, METHODS
from concord.report import figures
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import PauseReason
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RUN_STATUS_PAUSED, RunView
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

Seen = Callable[[RunView], None]
# `drive.resume`, which lets a paused run go on.
Resume = Callable[[RunServiceStub, RunView], RunView]


class Services(Protocol):
    """All services behind one address."""

    @property
    def address(self) -> str:
        """HOST:PORT of the front door."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until they are over; whether they are. Raises what ended them, where that can be known."""


@dataclass(frozen=True)
class Cluster:
    """Services that run elsewhere."""

    address: str

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether they are over: not for this process to know."""
        return False


def run(
    job: Job,
    services: Services,
    seen: Seen,
    resume: Resume | None = None,
    missing: desk.Missing = lambda pairs, flaw: False,
) -> RunView:
    """Drives the job to its end, or to a pause that needs a person; `resume` lets a paused one go on first.

    Where answers are missing `missing` is told of which pairs, and says whether to wait; else the run is left as it goes. So it is
    where people are asked about the policy's answers, which the job has to know first (`with_answers`).
    """
    with (
        tracing.span("concord run", job.run_id, kind="client"),
        rpc.channel(services.address) as channel,
        drive.translated(services.address),
        trainings.watched(channel, trainings.is_tuned(job.config), seen) as seen,
    ):
        runs, tasks = RunServiceStub(channel), TaskServiceStub(channel)
        pairs = [row.pair for row in job.given.rows]
        given = job.given
        view = drive.begin(runs, job.run_id, job.config, pairs, given.sha256, given.name, job.side_of)
        if view.status == RUN_STATUS_PAUSED:
            if resume:
                resume(runs, view)
            elif view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED:
                # Who gives the command again wants to know now, not when the dependency said that it would be back.
                drive.resume(runs, view)
        if job.voters is not None:
            watched = desk.Watched(runs, job.run_id, check=lambda: services.wait(0))
            return desk.attend(watched, tasks, job.voters, seen, missing, lambda view: _lacks_answers(job, view))
        name, count = job.options.annotators.split(":")[0], max(drive.ANNOTATORS, job.options.quorum)
        annotators = drive.People(tasks, job.run_id, job.answer, name, count)
        try:
            return drive.watch(runs, job.run_id, annotators, seen, check=lambda: services.wait(0))
        finally:
            annotators.stop()


def _lacks_answers(job: Job, view: RunView) -> bool:
    return policy_questions.are_open(view) and len(job.given.rows) <= view.pairs


def with_answers(job: Job, view: RunView, services: Services) -> Job | None:
    """The job that knows the policy's answers, where its run now asks people about them and it does not; else None."""
    if job.voters is None or not _lacks_answers(job, view):
        return None
    with rpc.channel(services.address) as channel, drive.translated(services.address):
        return policy_questions.known(job, view, There(RunServiceStub(channel), services.address).blob)


def selected(job: Job, services: Services, seen: Seen, resume: Resume | None = None) -> Job:
    """The job with its rows as its run numbers them: begins the run and waits until its pairs are chosen, where any are.

    Where it stands still before that, the job as it was: what is to be said is said by `run`.
    """
    if not job.config.select:
        return job
    with rpc.channel(services.address) as channel, drive.translated(services.address):
        runs, given = RunServiceStub(channel), job.given
        pairs = [row.pair for row in given.rows]
        view = drive.begin(runs, job.run_id, job.config, pairs, given.sha256, given.name, job.side_of)
        if view.status == RUN_STATUS_PAUSED and resume:
            resume(runs, view)
        watched = desk.Watched(runs, job.run_id, check=lambda: services.wait(0))
        try:
            while not ((selection.is_chosen(watched.view) and watched.view.stages) or watched.over.is_set()):
                watched.changed.clear()
                seen(watched.view)
                watched.changed.wait(desk.LOOK_S)
        finally:
            watched.leave()
        if watched.failed is not None:
            raise watched.failed
        if not selection.is_chosen(watched.view):
            return job
        return selection.placed(job, watched.view, There(runs, services.address).blob)


def compared(job: Job, services: Services, records: Records, seen: Seen) -> dict[str, figures.Method]:
    """The other methods on the same labels, people and budget: each a side run of the job's, or a finished run of its own
    that is the same."""
    out = {}
    for method in COMPARED:
        if method == job.options.method or (METHODS[method].of_helpers and not job.config.helpers):
            continue
        config = _config_with(job, method)
        run_id = ids.run_id(job.given.sha256, semantic(config))
        if not _is_finished(records, run_id):
            other = selected(beside(job, method, config), services, seen)
            if run(other, services, seen).status != RUN_STATUS_FINISHED:
                continue
            run_id = other.run_id
        truth = selection.in_its_order(job, run_id, records).truth
        out[method] = figures.figures_of(records.events(run_id), records.blob, truth).methods[method]
    return out


def beside(job: Job, method: str, config: RunConfig) -> Job:
    """The side run of the job that compares `method` with it.

    Its id is not that of the run which the method's own command begins: that one is a run in its own right, and stays one
    whichever of the two is there first.
    """
    run_id = ids.run_id(job.given.sha256, semantic(config), f"side of {job.run_id}")
    # It asks about pairs of its own: what nobody answered there, nobody is asked.
    voters = job.voters and Skipping(job.voters)
    options = replace(job.options, method=method)
    return replace(job, options=options, config=config, run_id=run_id, voters=voters, side_of=job.run_id)


def _config_with(job: Job, method: str) -> RunConfig:
    config = RunConfig()
    config.CopyFrom(job.config)
    # What is compared are labels: nobody needs a policy of each.
    config.policy = config.policy_knobs = ""
    config.evaluate = config.evaluate_checkpoints = config.evaluate_votes = 0
    set_method(config, replace(job.options, method=method))
    if job.earlier:
        link(config, job.earlier, len(job.given.rows))
    return config


def _is_finished(records: Records, run_id: str) -> bool:
    try:
        return records.view(run_id).status == RUN_STATUS_FINISHED
    except NotFound:
        return False
