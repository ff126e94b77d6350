"""What the pages ask of the services: gRPC alone, nothing kept but what was read a moment ago."""

import threading
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import grpc

from concord.client.run import drive
from concord.v1 import runs_service_pb2 as runs_pb
from concord.v1 import tasks_service_pb2 as tasks_pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

# A run's state may be so old: a link that was revoked lets nobody in after this.
FRESH_S = 1.0
MOST_KEPT = 1_000
CALL_S = 10.0


class Desk:
    """RunService and TaskService behind one channel. Thread-safe. Errors come as Concord's own."""

    def __init__(self, channel: grpc.Channel, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.channel, self.address, self._clock = channel, address, clock
        self._runs, self._tasks = RunServiceStub(channel), TaskServiceStub(channel)
        self._views: dict[str, tuple[float, runs_pb.RunView]] = {}
        self._lock = threading.Lock()

    def view(self, run_id: str) -> runs_pb.RunView:
        """The run's state, at most FRESH_S old. Raises NotFound."""
        now = self._clock()
        with self._lock:
            read_at, view = self._views.get(run_id, (now - 2 * FRESH_S, None))
        if view is not None and now - read_at <= FRESH_S:
            return view
        with drive.translated(self.address):
            view = self._runs.GetRun(runs_pb.GetRunRequest(run_id=run_id), timeout=CALL_S).run
        return self._keep(view)

    def _keep(self, view: runs_pb.RunView) -> runs_pb.RunView:
        with self._lock:
            if len(self._views) >= MOST_KEPT:
                self._views.clear()
            self._views[view.run_id] = (self._clock(), view)
        return view

    def views(self, page_token: str = "") -> tuple[list[runs_pb.RunView], str]:
        """A page of the runs, oldest first, and the token of the next one; empty: there is none."""
        with drive.translated(self.address):
            page = self._runs.ListRuns(runs_pb.ListRunsRequest(page_size=200, page_token=page_token), timeout=CALL_S)
        return list(page.runs), page.next_page_token

    def next(
        self, run_id: str, annotator: str, most: int, of: Sequence[str] = (), skills: Sequence[str] = ()
    ) -> tasks_pb.NextTasksResponse:
        """Tasks under a lease of this annotator's: those that it holds, then new ones that need nothing but these skills; and
        how far it is, where the services say so by the way."""
        wanted = tasks_pb.NextTasksRequest(annotator=annotator, run_id=run_id, most=most, task_ids=of, skills=skills)
        with drive.translated(self.address):
            return self._tasks.NextTasks(wanted, timeout=CALL_S)

    def give(
        self, run_id: str, annotator: str, answers: Sequence[tasks_pb.GivenAnswer]
    ) -> Sequence[tasks_pb.TakenAnswer]:
        """Hands answers in; what became of each."""
        said = tasks_pb.SubmitAnnotationsRequest(annotator=annotator, run_id=run_id, answers=answers)
        with drive.translated(self.address):
            return self._tasks.SubmitAnnotations(said, timeout=CALL_S).answers

    def withdraw(self, run_id: str, annotator: str, task_id: str, revision: int) -> None:
        """Takes an answer back. Raises Refused where it counts already."""
        said = tasks_pb.WithdrawAnnotationRequest(
            task_id=task_id, annotator=annotator, revision=revision, run_id=run_id
        )
        with drive.translated(self.address):
            self._tasks.WithdrawAnnotation(said, timeout=CALL_S)

    def extend(self, run_id: str, annotator: str, task_ids: Sequence[str]) -> Sequence[str]:
        """The leases among these that still hold, now for a whole term."""
        said = tasks_pb.ExtendLeasesRequest(annotator=annotator, run_id=run_id, task_ids=task_ids)
        with drive.translated(self.address):
            return self._tasks.ExtendLeases(said, timeout=CALL_S).task_ids

    def give_back(self, run_id: str, annotator: str, task_ids: Sequence[str]) -> None:
        """Returns leases, so that nobody waits for them."""
        said = tasks_pb.ReturnTasksRequest(annotator=annotator, run_id=run_id, task_ids=task_ids)
        with drive.translated(self.address):
            self._tasks.ReturnTasks(said, timeout=CALL_S)

    def queue(self, run_id: str, annotator: str = "", skills: Sequence[str] = ()) -> tasks_pb.GetQueueResponse:
        """How the run's queue stands, and this annotator in it."""
        wanted = tasks_pb.GetQueueRequest(run_id=run_id, annotator=annotator, skills=skills)
        with drive.translated(self.address):
            return self._tasks.GetQueue(wanted, timeout=CALL_S)

    def pause(self, run_id: str, why: str) -> None:
        """Nothing more is issued until it is resumed. Raises Refused."""
        said = runs_pb.PauseRunRequest(run_id=run_id, request_id=str(uuid4()), detail=why)
        with drive.translated(self.address):
            self._keep(self._runs.PauseRun(said, timeout=CALL_S).run)

    def resume(self, run_id: str, accept_judge: bool) -> None:
        """Lets a paused run go on. Raises Refused."""
        with drive.translated(self.address):
            self._keep(drive.resume(self._runs, self.view(run_id), accept_judge))

    def cancel(self, run_id: str, why: str) -> None:
        """Ends the run for good. Raises Refused."""
        said = runs_pb.CancelRunRequest(run_id=run_id, request_id=str(uuid4()), reason=why)
        with drive.translated(self.address):
            self._keep(self._runs.CancelRun(said, timeout=CALL_S).run)

    def set_budget(self, run_id: str, votes: int, dollars: float) -> None:
        """Moves the run's limits. Raises Refused, InvalidInput."""
        said = runs_pb.SetBudgetRequest(
            run_id=run_id, request_id=str(uuid4()), human_budget=votes, dollar_budget=dollars
        )
        with drive.translated(self.address):
            self._keep(self._runs.SetBudget(said, timeout=CALL_S).run)

    def letters(self, run_id: str) -> runs_pb.ListDeadLettersResponse:
        """What workers gave up of the run, the newest first."""
        with drive.translated(self.address):
            return self._runs.ListDeadLetters(runs_pb.ListDeadLettersRequest(run_id=run_id), timeout=CALL_S)

    def requeue(self, run_id: str, why: str) -> int:
        """Puts back what workers gave up of the run; how many items. Raises Refused."""
        said = runs_pb.RequeueDeadLettersRequest(run_id=run_id, request_id=str(uuid4()), reason=why)
        with drive.translated(self.address):
            answer = self._runs.RequeueDeadLetters(said, timeout=CALL_S)
        self._keep(answer.run)
        return answer.put_back

    def revoke(self, run_id: str, name: str, why: str) -> None:
        """What was given to this name until now lets nobody in to this run any more."""
        said = runs_pb.RevokeAccessRequest(run_id=run_id, request_id=str(uuid4()), name=name, reason=why)
        with drive.translated(self.address):
            self._keep(self._runs.RevokeAccess(said, timeout=CALL_S).run)
