"""Answers what is asked of people while a run goes on, and notices when it stands still because answers are missing.

A lease is taken only on what can be answered at once: every other question stays free for whoever annotates elsewhere.
"""

import threading
from collections.abc import Callable, Iterator, Sequence

import grpc

from concord.client.run import drive
from concord.client.run.answers import SKIP
from concord.client.run.voters import Vote, Voters
from concord.kit import rpc
from concord.kit.errors import InvalidInput
from concord.preference.stages import HUMAN
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2 import (
    GivenAnswer,
    ListTasksRequest,
    ListTasksResponse,
    NextTasksRequest,
    OpenTask,
    SubmitAnnotationsRequest,
)
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

LOOK_S = 0.05
# While nothing can be answered, a file is looked at so often.
WAIT_S = 0.5
SKIPPED = "no answer for this pair"
# Told the pairs (by index) whose answers are missing, and what is wrong with the answers, if anything: whether to wait.
Missing = Callable[[Sequence[int], str], bool]


class Left(Exception):
    """Nobody watches any more."""


class Watched:
    """The run as it goes on, watched in a thread of its own."""

    def __init__(self, runs: RunServiceStub, run_id: str, check: Callable[[], object]) -> None:
        self._runs, self.run_id, self._check = runs, run_id, check
        self.view = pb.RunView()
        self.over, self.changed = threading.Event(), threading.Event()
        self.failed: BaseException | None = None
        # What `drive.watch` asks of whoever answers.
        self.error: BaseException | None = None
        self.interrupt: Callable[[], object] = lambda: None
        threading.Thread(target=self._watch, name=f"watching {run_id}", daemon=True).start()

    def _watch(self) -> None:
        try:
            self._see(drive.watch(self._runs, self.run_id, self, self._see, self._check))
        except Left:
            pass
        except BaseException as error:  # raised where it is waited for
            self.failed = error
        finally:
            self.over.set()
            self.changed.set()

    def _see(self, view: pb.RunView) -> None:
        self.view = view
        self.changed.set()

    def leave(self) -> None:
        """Watches no longer."""
        self.error = Left()
        while not self.over.is_set():
            # It may be between two streams just now.
            self.interrupt()
            self.over.wait(LOOK_S)


def attend(
    watched: Watched,
    tasks: TaskServiceStub,
    voters: Voters,
    seen: Callable[[pb.RunView], None],
    missing: Missing,
    are_strange: Callable[[pb.RunView], bool] = lambda view: False,
) -> pb.RunView:
    """Answers in this thread until the run ends, pauses for a person, `missing` says not to wait, or people are asked about what
    these voters do not know (`are_strange`); its last state."""
    asked: tuple[int, ...] = ()
    try:
        while not watched.over.is_set():
            watched.changed.clear()
            view = watched.view
            seen(view)
            if are_strange(view):
                break
            left = _answered(watched, tasks, voters, view) if _asks(view) else None
            if left is None:
                asked = ()
                watched.changed.wait(LOOK_S)
                continue
            if left != asked and not missing(left, ""):
                break
            asked = left
            if (flaw := _until_news(watched, voters)) and not missing(left, flaw):
                break
    finally:
        watched.leave()
    if watched.failed is not None:
        raise watched.failed
    seen(watched.view)
    return watched.view


def _asks(view: pb.RunView) -> bool:
    """Whether people's questions are out now."""
    last = view.stages[-1] if view.stages else None
    return view.status == pb.RUN_STATUS_RUNNING and last is not None and last.stage in HUMAN and not last.closed


def _until_news(watched: Watched, voters: Voters) -> str:
    """Until the run moves, or there may be answers that were not there before; what is wrong with these, if anything."""
    while not watched.changed.wait(WAIT_S):
        try:
            if voters.news():
                return ""
        except InvalidInput as error:
            return str(error)
    return ""


def _answered(watched: Watched, tasks: TaskServiceStub, voters: Voters, view: pb.RunView) -> tuple[int, ...] | None:
    """Hands in what can be answered; the pairs that are still asked, None where that cannot be said yet."""
    stage, open_ = view.stages[-1], list[int]()
    try:
        given = False
        for page in pages(tasks, view.run_id):
            if (page.stage, page.round) != (stage.stage, stage.round):
                return None
            ready = [(task, vote) for task in page.tasks for vote in _missing_votes(task, voters)]
            given = bool(ready) or given
            open_ += [task.pair_index for task in page.tasks]
            _give(watched, tasks, ready, voters.at_once)
    except grpc.RpcError as error:
        if error.code() not in rpc.AWAY:
            raise
        return None
    return None if given or not open_ else tuple(open_)


def pages(tasks: TaskServiceStub, run_id: str) -> Iterator[ListTasksResponse]:
    """The run's open tasks, a page of them at a time."""
    asked = ListTasksRequest(run_id=run_id)
    while True:
        page = tasks.ListTasks(asked)
        yield page
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token


def _missing_votes(task: OpenTask, voters: Voters) -> Sequence[Vote]:
    """The votes that this task still takes and that are ready."""
    ready = [vote for vote in voters.votes(task.pair_index, task.quorum) if vote.annotator not in task.answered_by]
    names = {vote.annotator for vote in ready}
    # A lease of one of these is an answer that was on its way when somebody was interrupted.
    others = sum(holder not in names for holder in task.leased_by)
    return ready[: max(0, task.quorum - len(task.answered_by) - others)]


def _give(watched: Watched, tasks: TaskServiceStub, ready: Sequence[tuple[OpenTask, Vote]], at_once: int) -> None:
    """Each annotator's votes in turn: leased, asked for, handed in."""
    for name in dict.fromkeys(vote.annotator for _, vote in ready):
        own = {task.task_id: vote for task, vote in ready if vote.annotator == name}
        for ids in batches(list(own), at_once):
            if watched.over.is_set():
                return
            wanted = NextTasksRequest(annotator=name, run_id=watched.run_id, most=len(ids), task_ids=ids)
            leased = tasks.NextTasks(wanted).tasks
            given = [_said(task.task_id, own[task.task_id]) for task in leased]
            if given:
                tasks.SubmitAnnotations(SubmitAnnotationsRequest(annotator=name, answers=given))


def batches(ids: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """The ids, so many at a time."""
    return (ids[at : at + most] for at in range(0, len(ids), most))


def _said(task_id: str, vote: Vote) -> GivenAnswer:
    choice = vote.says()
    if choice == SKIP:
        return GivenAnswer(task_id=task_id, comment=SKIPPED)
    first, second = vote.marks
    return GivenAnswer(task_id=task_id, choice=choice, first_mark=first, second_mark=second)
