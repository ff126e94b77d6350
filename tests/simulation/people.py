"""Those who call the cluster: annotators, the runs' owner, an operator. All of them through the production handlers."""

from collections.abc import Callable, Iterator
from random import Random

from concord.kit.errors import NotFound, Refused, Unavailable
from concord.runs.service import Runs
from concord.tasks.service import Tasks
from concord.v1 import runs_service_pb2 as runs_pb
from concord.v1 import tasks_service_pb2 as tasks_pb
from concord.v1.events_pb2 import PauseReason
from concord.v1.pairs_pb2 import Choice
from tests.simulation.stubs import answer
from tests.simulation.workload import Run

Desk = tuple[Runs, Tasks]
# Says the command; raises Unavailable where it failed, or where the replica died before it answered.
Call = Callable[[Callable[[Desk], object]], object]


class Wronged(AssertionError):
    """The cluster took what it should have refused, or the other way round."""


class Annotator:
    """Takes a task, thinks, answers; now and then answers again, takes an answer back, or is too slow."""

    def __init__(
        self, name: str, seeds: dict[str, int], chance: Random, moody: bool, board: dict[str, set[str]]
    ) -> None:
        """`seeds`: run → its seed; `moody`: whether the person does anything but answer; `board`: person → tasks ever given."""
        self.name, self._seeds, self._chance, self._moody, self._board = name, seeds, chance, moody, board
        # What the faults have the person do next: be gone for so long, say it twice, answer what others were given.
        self.gone_s, self.says_twice, self.meddles = 0.0, False, False
        self._task: tasks_pb.Task | None = None
        self._again: tuple[str, str] | None = None
        # (task, run, revision) of answers that the service said it has.
        self.acknowledged: list[tuple[str, str, int]] = []

    def act(self, call: Call) -> float:
        """One call; returns the seconds until the next one."""
        if self.gone_s:
            gone_s, self.gone_s, self._again = self.gone_s, 0.0, None
            if self._chance.random() < 0.5:
                self._task = None
            return gone_s
        try:
            if self.meddles:
                self._meddle(call)
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
        asked = tasks_pb.NextTaskRequest(annotator=self.name)
        if self._moody and self._chance.random() < 0.5:
            asked.run_id = self._chance.choice(sorted(self._seeds))
        given = call(lambda desk: desk[1].NextTask(asked, None))
        if not given.HasField("task"):
            return 1.0 + 3.0 * self._chance.random()
        self._task = given.task
        self._board[self.name].add(given.task.task_id)
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
        if self.says_twice:
            self.says_twice = False
            again = call(lambda desk: desk[1].SubmitAnnotation(said, None))
            if again.revision != given.revision:
                raise Wronged(f"the same answer twice is revision {given.revision} and {again.revision}")
        drawn = self._chance.random() if self._moody else 1.0
        if drawn < 0.05:
            self._again = "answer", task.task_id
        elif drawn < 0.1:
            self._again = "withdraw", task.task_id
        else:
            self._task = None
        return self._chance.random() * 0.5 if self._moody else 0.01

    def _meddle(self, call: Call) -> None:
        """Answers what only others were given."""
        own = self._board[self.name]
        others = sorted({task_id for given in self._board.values() for task_id in given} - own)
        self.meddles = False
        if others:
            task_id = self._chance.choice(others)
            said = tasks_pb.SubmitAnnotationRequest(task_id=task_id, annotator=self.name, choice=Choice.CHOICE_TIE)
            try:
                call(lambda desk: desk[1].SubmitAnnotation(said, None))
            except Refused:
                return
            raise Wronged(f"{self.name} answered {task_id} without having been given it")

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


CANCELLED = "it was cancelled"


class Operator:
    """Looks at a run now and then and does what its pause asks for; says what the faults have him say, at any moment."""

    def __init__(self, run: Run, reasons: dict[str, set[str]]) -> None:
        self._run, self._reasons, self._said, self._holds = run, reasons, 0, 0
        # Commands still to be said, and how many looks a pause is to last.
        self.wants: list[tuple[str, Random]] = []

    def act(self, call: Call) -> float:
        try:
            self._look(call)
        except (Unavailable, NotFound, Refused):
            return 0.5
        return 4.0

    def _look(self, call: Call) -> None:
        run_id = self._run.run_id
        view = call(lambda desk: desk[0].GetRun(runs_pb.GetRunRequest(run_id=run_id), None)).run
        if self.wants and view.status in (runs_pb.RUN_STATUS_RUNNING, runs_pb.RUN_STATUS_PAUSED):
            self._do(call, view)
            return
        if view.status != runs_pb.RUN_STATUS_PAUSED or view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED:
            return
        if self._holds:
            self._holds -= 1
            return
        self._said += 1
        named = {"run_id": run_id, "request_id": str(self._said)}
        if view.pause_reason in (PauseReason.PAUSE_REASON_FAILED_UNITS, PauseReason.PAUSE_REASON_SILENT_JUDGE):
            call(lambda desk: desk[0].RetryStage(runs_pb.RetryStageRequest(**named), None))
            return
        if view.pause_reason == PauseReason.PAUSE_REASON_BUDGET:
            money = {"human_budget": view.human_budget, "dollar_budget": max(0.1, 2 * view.dollar_budget)}
            call(lambda desk: desk[0].SetBudget(runs_pb.SetBudgetRequest(**named, **money), None))
            named["request_id"] += "/resume"
        call(lambda desk: desk[0].ResumeRun(runs_pb.ResumeRunRequest(**named), None))

    def _do(self, call: Call, view: runs_pb.RunView) -> None:
        """The first of the commands; what the run refuses is said no more, what nobody answered is."""
        what, chance = self.wants[0]
        named = {"run_id": self._run.run_id, "request_id": f"{what}/{self._said}"}
        try:
            match what:
                case "pause":
                    self._holds = chance.choice([0, 0, 1, 8])
                    call(lambda desk: desk[0].PauseRun(runs_pb.PauseRunRequest(**named), None))
                case "resume":
                    call(lambda desk: desk[0].ResumeRun(runs_pb.ResumeRunRequest(**named), None))
                case "retry":
                    call(lambda desk: desk[0].RetryStage(runs_pb.RetryStageRequest(**named), None))
                case "cancel":
                    self._reasons[self._run.run_id].add(CANCELLED)
                    call(lambda desk: desk[0].CancelRun(runs_pb.CancelRunRequest(**named), None))
                case "budget":
                    self._reasons[self._run.run_id].add("its budget was changed")
                    dollars = view.usage.dollars * 2 * chance.random() if view.dollar_budget else 0.0
                    votes = int(view.human_budget * 2 * chance.random())
                    if most := self._run.config.most_each:
                        # More than all of them may answer together would wait for more people, of whom there are none.
                        votes = min(votes, most)
                    money = {"human_budget": votes, "dollar_budget": dollars}
                    call(lambda desk: desk[0].SetBudget(runs_pb.SetBudgetRequest(**named, **money), None))
        except Refused:
            pass
        self._said += 1
        self.wants.pop(0)
