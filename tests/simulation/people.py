"""Those who call the cluster: annotators, the runs' owner, an operator. All of them through the production handlers."""

from collections.abc import Callable, Iterator
from random import Random

from concord.kit.errors import NotFound, Refused, Unavailable
from concord.runs.service import Runs
from concord.tasks.service import Tasks
from concord.v1 import runs_service_pb2 as runs_pb
from concord.v1 import tasks_service_pb2 as tasks_pb
from concord.v1.events_pb2 import PauseReason
from tests.simulation.stubs import answer
from tests.simulation.workload import Run

Desk = tuple[Runs, Tasks]
# Says the command; raises Unavailable where it failed, or where the replica died before it answered.
Call = Callable[[Callable[[Desk], object]], object]


class Annotator:
    """Takes a task, thinks, answers; now and then answers again, takes an answer back, or is too slow."""

    def __init__(self, name: str, seeds: dict[str, int], chance: Random, moody: bool) -> None:
        """`seeds`: run → its seed; `moody`: whether the person does anything but answer."""
        self.name, self._seeds, self._chance, self._moody = name, seeds, chance, moody
        self._task: tasks_pb.Task | None = None
        self._again: tuple[str, str] | None = None
        # (task, run, revision) of answers that the service said it has.
        self.acknowledged: list[tuple[str, str, int]] = []

    def act(self, call: Call) -> float:
        """One call; returns the seconds until the next one."""
        try:
            if self._again is not None:
                return self._change_mind(call)
            return self._take(call) if self._task is None else self._say(call, self._task)
        except Refused:
            self._task = self._again = None
            return 0.1
        except (Unavailable, NotFound):
            # The client does not know whether it was heard: it says it again, or a closed tab never does.
            if self._moody and self._chance.random() < 0.3:
                self._task = self._again = None
            return 0.5

    def _take(self, call: Call) -> float:
        given = call(lambda desk: desk[1].NextTask(tasks_pb.NextTaskRequest(annotator=self.name), None))
        if not given.HasField("task"):
            return 0.5 + 2.0 * self._chance.random()
        self._task = given.task
        if self._moody and self._chance.random() < 0.04:
            return 40.0
        return self._chance.random() * 1.5 if self._moody else 0.01

    def _say(self, call: Call, task: tasks_pb.Task) -> float:
        choice = answer(self._seeds[task.run_id], task.pair_index, task.vote)
        if choice is None:
            skip = tasks_pb.SkipTaskRequest(task_id=task.task_id, annotator=self.name)
            call(lambda desk: desk[1].SkipTask(skip, None))
            self._task = None
            return 0.1
        said = tasks_pb.SubmitAnnotationRequest(task_id=task.task_id, annotator=self.name, choice=choice)
        given = call(lambda desk: desk[1].SubmitAnnotation(said, None))
        self.acknowledged.append((task.task_id, task.run_id, given.revision))
        drawn = self._chance.random() if self._moody else 1.0
        if drawn < 0.05:
            self._again = "answer", task.task_id
        elif drawn < 0.1:
            self._again = "withdraw", task.task_id
        else:
            self._task = None
        return self._chance.random() * 0.5 if self._moody else 0.01

    def _change_mind(self, call: Call) -> float:
        assert self._again is not None and self._task is not None
        (kind, task_id), self._again = self._again, None
        if kind == "withdraw":
            request = tasks_pb.WithdrawAnnotationRequest(task_id=task_id, annotator=self.name)
            self._task = None
            call(lambda desk: desk[1].WithdrawAnnotation(request, None))
            return 0.2
        return self._say(call, self._task)


class Owner:
    """Creates the run, adds the pairs in two calls, starts it; says everything until it is answered."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._steps = self._commands()
        self._next: Callable[[Desk], object] | None = next(self._steps)

    def act(self, call: Call) -> float | None:
        """One call; returns the seconds until the next one, None when the run goes on by itself."""
        assert self._next is not None
        try:
            call(self._next)
        except (Unavailable, NotFound, Refused):
            return 0.3
        self._next = next(self._steps, None)
        return 0.05 if self._next else None

    def _commands(self) -> Iterator[Callable[[Desk], object]]:
        run = self._run
        config = {"run_id": run.run_id, "config": run.config}
        yield lambda desk: desk[0].CreateRun(runs_pb.CreateRunRequest(**config), None)
        half = -(-len(run.pairs) // 2 // run.config.shard_pairs) * run.config.shard_pairs
        for first in (0, half):
            batch = {"pairs": run.pairs[first : first + half] if not first else run.pairs[half:], "first_index": first}
            request = runs_pb.SubmitPairsRequest(run_id=run.run_id, request_id=str(first), **batch)
            yield lambda desk, request=request: desk[0].SubmitPairs(request, None)
        yield self._start

    def _start(self, desk: Desk) -> None:
        run_id = self._run.run_id
        view = desk[0].GetRun(runs_pb.GetRunRequest(run_id=run_id), None).run
        if view.pairs < len(self._run.pairs):
            raise Refused("not all pairs are folded yet")
        started = desk[0].StartRun(runs_pb.StartRunRequest(run_id=run_id, request_id="start"), None).run
        if started.status == runs_pb.RUN_STATUS_CREATED:
            raise Refused("the start is not folded yet")


class Operator:
    """Looks at a run now and then and does what its pause asks for; pauses it himself where told to."""

    def __init__(self, run: Run) -> None:
        self._run, self._said = run, 0
        self.wants_pause = False

    def act(self, call: Call) -> float:
        try:
            self._look(call)
        except (Unavailable, NotFound, Refused):
            return 0.5
        return 2.0

    def _look(self, call: Call) -> None:
        run_id = self._run.run_id
        view = call(lambda desk: desk[0].GetRun(runs_pb.GetRunRequest(run_id=run_id), None)).run
        named = {"run_id": run_id, "request_id": str(self._said)}
        if self.wants_pause and view.status == runs_pb.RUN_STATUS_RUNNING:
            self.wants_pause = False
            self._said += 1
            call(lambda desk: desk[0].PauseRun(runs_pb.PauseRunRequest(**named), None))
        if view.status != runs_pb.RUN_STATUS_PAUSED or view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED:
            return
        self._said += 1
        if view.pause_reason == PauseReason.PAUSE_REASON_FAILED_UNITS:
            call(lambda desk: desk[0].RetryStage(runs_pb.RetryStageRequest(**named), None))
            return
        if view.pause_reason == PauseReason.PAUSE_REASON_BUDGET:
            money = {"human_budget": view.human_budget, "dollar_budget": 2 * view.dollar_budget}
            call(lambda desk: desk[0].SetBudget(runs_pb.SetBudgetRequest(**named, **money), None))
        call(lambda desk: desk[0].ResumeRun(runs_pb.ResumeRunRequest(**named), None))
