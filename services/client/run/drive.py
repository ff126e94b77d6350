"""Drives one run through the front door: feed it, start it, let people answer, watch it, fetch the dataset.

All of it can be done again after a kill: every command has a name, and saying it twice is saying it once.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import uuid4

import grpc

from concord.kit import rpc
from concord.kit.errors import ConcordError, Corrupt, InvalidInput, NotFound, Refused, Unavailable
from concord.v1 import runs_service_pb2 as pb
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import PauseReason
from concord.v1.pairs_pb2 import Choice, Pair
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2 import GivenAnswer, NextTasksRequest, SubmitAnnotationsRequest, Task
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

# Messages stay under gRPC's 4 MB by batching, not by a raised limit.
MOST_BYTES = 2_000_000
MOST_PAIRS = 4_096
ANNOTATORS = 8
# Each waits for the disk once a batch, not once a task.
TASKS_AT_ONCE = 64
IDLE_S = 0.05
AGAIN_S = 0.2
# Between two questions where nobody takes another watcher.
POLL_S = 1.0
PATIENCE_S = 60.0
# A watcher asks anew at least so often: a replica that was frozen is left after this, and those added get their share.
WATCH_S = 60.0
JUDGE_STOPPED = (PauseReason.PAUSE_REASON_SILENT_JUDGE, PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE)
ENDED = (pb.RUN_STATUS_FINISHED, pb.RUN_STATUS_CANCELLED, pb.RUN_STATUS_CORRUPT)
ERRORS: dict[grpc.StatusCode, type[ConcordError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.DATA_LOSS: Corrupt,
}
# (index of the pair in the run, number of the vote from 0) → what this person says; None: skips.
Answerer = Callable[[int, int], "Choice.ValueType | None"]


@contextmanager
def translated(address: str) -> Iterator[None]:
    """gRPC's errors as Concord's own, in the server's words."""
    try:
        yield
    except grpc.RpcError as error:
        kind = ERRORS.get(error.code(), ConcordError)
        where = f" ({address})" if kind is Unavailable else ""
        raise kind(f"{error.details()}{where}") from None


def batches(pairs: Sequence[Pair], shard_pairs: int) -> Iterator[tuple[int, Sequence[Pair]]]:
    """(first index, pairs): as many as fit in one message, cut between shards where at least one shard fits.

    So the shards are the same however long the texts are, and with them every figure that is computed shard by shard.
    """
    start, size, sizes = 0, 0, [pair.ByteSize() + 8 for pair in pairs]
    for at, more in enumerate(sizes):
        while at > start and (size + more > MOST_BYTES or at - start >= MOST_PAIRS):
            whole = start + (at - start) // shard_pairs * shard_pairs
            cut = whole if whole > start else at
            yield start, pairs[start:cut]
            start, size = cut, sum(sizes[cut:at])
        size += more
    yield start, pairs[start:]


def begin(
    runs: RunServiceStub,
    run_id: str,
    config: RunConfig,
    pairs: Sequence[Pair],
    input_sha256: str,
    input_name: str,
    side_of: str = "",
) -> pb.RunView:
    """Creates, feeds and starts the run, be it beside another one; where it was begun before, goes on from there."""
    created = pb.CreateRunRequest(
        run_id=run_id, config=config, input_sha256=input_sha256, input_name=input_name, side_of=side_of
    )
    view = runs.CreateRun(created).run
    if view.status == pb.RUN_STATUS_CREATED:
        for first, part in batches(pairs, config.shard_pairs):
            sent = pb.SubmitPairsRequest(run_id=run_id, request_id=str(first), pairs=part, first_index=first)
            runs.SubmitPairs(sent)
        view = runs.StartRun(pb.StartRunRequest(run_id=run_id, request_id="start")).run
    if view.dollar_budget != config.dollar_budget and view.status not in ENDED:
        changed = pb.SetBudgetRequest(
            run_id=run_id,
            request_id=str(uuid4()),
            human_budget=view.human_budget,
            dollar_budget=config.dollar_budget,
        )
        view = runs.SetBudget(changed).run
    return view


def resume(runs: RunServiceStub, view: pb.RunView, accept_judge: bool = False) -> pb.RunView:
    """Lets a paused run go on: what failed is tried anew, and so is what the judge was silent on, unless it is accepted.

    A judge that follows the place of an answer and is not accepted stops the run again.
    """
    name = str(uuid4())
    failed = view.pause_reason == PauseReason.PAUSE_REASON_FAILED_UNITS
    if failed or (view.pause_reason in JUDGE_STOPPED and not accept_judge):
        return runs.RetryStage(pb.RetryStageRequest(run_id=view.run_id, request_id=name)).run
    return runs.ResumeRun(pb.ResumeRunRequest(run_id=view.run_id, request_id=name)).run


class People:
    """Annotators on the caller's side, each in a thread of its own; together they are one answerer."""

    def __init__(
        self, tasks: TaskServiceStub, run_id: str, answer: Answerer, name: str, count: int = ANNOTATORS
    ) -> None:
        """`count`: how many they are; no fewer than the votes that a task needs, for each has one of them."""
        self._tasks, self._run_id, self._answer = tasks, run_id, answer
        self._over = threading.Event()
        # While there is nothing to do, they look for work in turn, not all of them at once.
        self._looking = threading.Lock()
        self.error: BaseException | None = None
        # What wakes the thread that watches.
        self.interrupt: Callable[[], object] = lambda: None
        names = [f"{name}-{number}" for number in range(count)]
        self._threads = [threading.Thread(target=self._work, args=(one,), name=one, daemon=True) for one in names]
        for thread in self._threads:
            thread.start()

    def _work(self, annotator: str) -> None:
        """A desk that is away comes back: its answers are kept or asked for again, so nothing is lost by waiting."""
        while not self._over.is_set():
            try:
                while not self._over.is_set() and (tasks := self._next(annotator)):
                    self._do(tasks, annotator)
            except grpc.RpcError as error:
                if error.code() in rpc.AWAY:
                    self._over.wait(AGAIN_S)
                else:
                    return self._fail(error)
            except Exception as error:  # handed to the thread that watches, which raises it
                return self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._over.is_set():
            self.error = error
            self.interrupt()

    def _next(self, annotator: str) -> Sequence[Task]:
        """The next tasks, waited for; none once there is to be no more answering."""
        wanted = NextTasksRequest(annotator=annotator, run_id=self._run_id, most=TASKS_AT_ONCE)
        if tasks := self._tasks.NextTasks(wanted).tasks:
            return tasks
        while not self._over.is_set():
            # For one look only: this one may have had every task, and the next one in line none of them.
            with self._looking:
                if tasks := self._tasks.NextTasks(wanted).tasks:
                    return tasks
                self._over.wait(IDLE_S)
        return ()

    def _do(self, tasks: Sequence[Task], annotator: str) -> None:
        """Answers that come back refused were resolved or handed on in between: the next ones, please."""
        said = [(task.task_id, self._answer(task.pair_index, task.vote)) for task in tasks]
        answers = [
            GivenAnswer(task_id=task_id, comment="no answer for this pair")
            if choice is None
            else GivenAnswer(task_id=task_id, choice=choice)
            for task_id, choice in said
        ]
        self._tasks.SubmitAnnotations(SubmitAnnotationsRequest(annotator=annotator, answers=answers))

    def stop(self) -> None:
        """No more answers; waits for those under way."""
        self._over.set()
        for thread in self._threads:
            thread.join(10)


class Interrupted(Protocol):
    """What ends a watch: `error` is raised by it once `interrupt` was called, which it puts there itself."""

    error: BaseException | None
    interrupt: Callable[[], object]


def watch(
    runs: RunServiceStub,
    run_id: str,
    people: Interrupted | None,
    seen: Callable[[pb.RunView], None],
    check: Callable[[], object] = lambda: None,
) -> pb.RunView:
    """Follows the run until it ends, or pauses for a reason that only a person can remove; returns its last state.

    A front door that is away for less than PATIENCE_S is waited for. Raises what ended the people, and what `check`
    raises, which is asked whenever the stream breaks.
    """
    away_since: float | None = None
    while True:
        stream = runs.WatchRun(pb.WatchRunRequest(run_id=run_id), timeout=WATCH_S)
        if people is not None:
            people.interrupt = stream.cancel
        try:
            for answer in stream:
                away_since = None
                seen(answer.run)
                if people is not None and people.error is not None:
                    break
                if answer.run.status in ENDED or needs_a_person(answer.run):
                    return answer.run
            broken: grpc.RpcError | None = None
        except grpc.RpcError as error:
            broken = error
        check()
        if people is not None and people.error is not None:
            raise people.error
        if broken is not None:
            away_since = time.monotonic() if away_since is None else away_since
            if broken.code() not in rpc.AWAY or time.monotonic() - away_since > PATIENCE_S:
                raise broken
            view = _asked(runs, run_id)
            if view is not None:
                away_since = None
                seen(view)
                if view.status in ENDED or needs_a_person(view):
                    return view
            threading.Event().wait(AGAIN_S if view is None else POLL_S)


def _asked(runs: RunServiceStub, run_id: str) -> pb.RunView | None:
    """The run by a single question, for a replica may answer who takes no more watchers; None where nobody does."""
    try:
        return runs.GetRun(pb.GetRunRequest(run_id=run_id), timeout=POLL_S).run
    except grpc.RpcError as error:
        if error.code() in rpc.AWAY:
            return None
        raise


def needs_a_person(view: pb.RunView) -> bool:
    """A run that waits for a dependency resumes without anybody's help; every other pause is for a person."""
    return view.status == pb.RUN_STATUS_PAUSED and view.pause_reason != PauseReason.PAUSE_REASON_DEFERRED


def wait_for_another(error: grpc.RpcError, away_since: float) -> None:
    """Waits a little for another replica after a stream that broke; raises what is no outage, or lasted too long."""
    if error.code() not in rpc.AWAY or time.monotonic() - away_since > PATIENCE_S:
        raise error
    threading.Event().wait(AGAIN_S)
