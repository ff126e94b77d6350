"""One person who answers a run's questions one by one: what comes next, what was said, and how it is taken back.

The last answer is held back until the next one is given: a task with one vote is settled the moment that its answer is
there, and nobody could take anything back.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from concord.client.run import drive
from concord.preference.deviating import set_aside
from concord.preference.seeded import uniform
from concord.preference.stages import HUMAN, STAGES
from concord.v1 import pairs_pb2 as pairs
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2 import (
    GetQueueRequest,
    GivenAnswer,
    NextTasksRequest,
    ReturnTasksRequest,
    SubmitAnnotationsRequest,
    Task,
    WithdrawAnnotationRequest,
)
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

Choice: TypeAlias = pairs.Choice.ValueType
# The one whose answer is held back, and the next.
LEASED = 2
SKIPPED = "skipped by the annotator"
TOO_LATE = "that answer counts already: it cannot be taken back"
PASSED = "taken back; somebody else has that question now"
_OTHER = {pairs.CHOICE_FIRST: pairs.CHOICE_SECOND, pairs.CHOICE_SECOND: pairs.CHOICE_FIRST}


@dataclass(frozen=True)
class Question:
    """A task as one person sees it: for half of the pairs the responses change places, each annotator's own half."""

    task: Task
    swapped: bool
    shown_at: float

    @property
    def responses(self) -> tuple[str, str]:
        """The two texts in the order in which they are shown."""
        both = (self.task.pair.first.text, self.task.pair.second.text)
        return both[::-1] if self.swapped else both

    def meant(self, choice: Choice) -> Choice:
        """What a choice between the shown ones says of the pair."""
        return _OTHER.get(choice, choice) if self.swapped else choice


@dataclass(frozen=True)
class Standing:
    """How the run stands while there is no question; `over`: there will be none."""

    words: str
    over: bool


class Sitting:
    """One annotator at one run. Not thread-safe: one call after the other."""

    def __init__(
        self,
        runs: RunServiceStub,
        tasks: TaskServiceStub,
        run_id: str,
        annotator: str,
        clock: Callable[[], float] = time.monotonic,
        skills: Sequence[str] = (),
    ) -> None:
        """`skills`: asked is only what needs nothing else; none: anything."""
        self._skills = skills
        self._runs, self._tasks, self._run_id, self.annotator, self._clock = runs, tasks, run_id, annotator, clock
        self._leased: dict[str, Task] = {}
        self._held: tuple[Question, GivenAnswer] | None = None
        self._handed_in: list[Question] = []
        self.answered = 0

    @property
    def holds_back(self) -> bool:
        """Whether the last answer is not handed in yet."""
        return self._held is not None

    def next(self) -> Question | None:
        """The next question, under a lease; None: none now."""
        held = self._held[0].task.task_id if self._held else ""
        wanted = NextTasksRequest(annotator=self.annotator, run_id=self._run_id, most=LEASED, skills=self._skills)
        tasks = self._tasks.NextTasks(wanted).tasks
        self._leased = {task.task_id: task for task in tasks}
        return next((self._question(task) for task in tasks if task.task_id != held), None)

    def answer(self, question: Question, choice: Choice) -> str:
        """Notes an answer (unspecified: a skip) and hands the one before in; why that was refused, else nothing."""
        refused = self.hand_in()
        said = GivenAnswer(task_id=question.task.task_id, seconds=self._clock() - question.shown_at)
        if choice == pairs.CHOICE_UNSPECIFIED:
            said.comment = SKIPPED
        else:
            said.choice = question.meant(choice)
        self._held = (question, said)
        self.answered += 1
        return refused

    def hand_in(self) -> str:
        """Hands in the answer that is held back; why it was refused, else nothing."""
        if self._held is None:
            return ""
        question, said = self._held
        taken = self._tasks.SubmitAnnotations(SubmitAnnotationsRequest(annotator=self.annotator, answers=[said]))
        self._held = None
        self._leased.pop(said.task_id, None)
        if taken.answers[0].refused:
            self.answered -= 1
            return taken.answers[0].refused
        self._handed_in.append(question)
        return ""

    def undo(self) -> Question | str:
        """Takes the last answer back: its question, or why it cannot be."""
        if self._held is not None:
            question, self._held = self._held[0], None
            self.answered -= 1
            return self._question(question.task)
        if not self._handed_in:
            return "there is no answer to take back"
        task_id = self._handed_in[-1].task.task_id
        if not self._withdraws(task_id):
            return TOO_LATE
        self._handed_in.pop()
        self.answered -= 1
        wanted = NextTasksRequest(annotator=self.annotator, run_id=self._run_id, most=1, task_ids=[task_id])
        tasks = self._tasks.NextTasks(wanted).tasks
        return self._question(tasks[0]) if tasks else PASSED

    def _withdraws(self, task_id: str) -> bool:
        """Whether the answer could be withdrawn; False where the task is settled."""
        try:
            self._tasks.WithdrawAnnotation(WithdrawAnnotationRequest(task_id=task_id, annotator=self.annotator))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
                raise
            return False
        return True

    def leave(self) -> None:
        """Hands in what is held back and gives the leases back, so that nobody waits for them."""
        self.hand_in()
        if self._leased:
            self._tasks.ReturnTasks(ReturnTasksRequest(annotator=self.annotator, task_ids=list(self._leased)))
            self._leased = {}

    def progress(self) -> str:
        """How far this annotator and the round are."""
        queue = self._tasks.GetQueue(GetQueueRequest(run_id=self._run_id))
        of_policy = queue.stage in STAGES and STAGES[queue.stage].of_policy
        round_ = f"round {queue.round}" if queue.round else "the policy's answers" if of_policy else "the pilot"
        return (
            f"{self.answered:,} answered here · {round_}: {queue.resolved:,} of {queue.open + queue.resolved:,} settled"
        )

    def standing(self) -> Standing:
        """How the run stands, in words for somebody who waits for a question."""
        view = self._runs.GetRun(pb.GetRunRequest(run_id=self._run_id)).run
        why = f": {view.detail}" if view.detail else ""
        if view.status in drive.ENDED:
            return Standing(
                f"the run is {pb.RunStatus.Name(view.status).removeprefix('RUN_STATUS_').lower()}{why}", True
            )
        if view.status == pb.RUN_STATUS_PAUSED:
            return Standing(f"the run is paused{why}", drive.needs_a_person(view))
        if self.annotator in set_aside(view.last_round):
            return Standing("this run has no more questions for you", True)
        last = view.stages[-1] if view.stages else None
        asks = last is not None and last.stage in HUMAN and not last.closed
        if asks and self._tasks.GetQueue(GetQueueRequest(run_id=self._run_id)).open:
            return Standing("nothing left for you in this round; the rest is for others", False)
        return Standing("the run works on the next round; its questions follow", False)

    def _question(self, task: Task) -> Question:
        swapped = uniform("shown", self.annotator, task.pair.pair_id) < 0.5
        return Question(task, swapped, self._clock())
