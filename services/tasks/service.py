"""Tasks for people over gRPC: leases are rows, answers are facts."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import grpc
import structlog

from concord.kit import caller
from concord.kit.blobs import Blobs
from concord.kit.errors import ConcordError, InvalidInput, Refused, Unavailable
from concord.kit.log import Log
from concord.kit.loop.commands import append_and_wait
from concord.kit.loop.facts import entry_of
from concord.kit.loop.fold import Fold
from concord.kit.rpc import Servicer, was_tried
from concord.kit.store import Store
from concord.kit.together import Together
from concord.preference.seeded import uniform
from concord.preference.skills import fits, skills_of
from concord.tasks import limits, queue
from concord.tasks.answers import RESOLVED, Answers, closed, event_of, why_refused
from concord.tasks.caught_up import CaughtUp
from concord.tasks.headers import Headers
from concord.tasks.leases import Open, Slot, Slots, Want
from concord.tasks.queue import TasksState
from concord.tasks.standings import Standings
from concord.tasks.texts import Texts
from concord.v1 import tasks_service_pb2 as pb
from concord.v1 import tasks_service_pb2_grpc
from concord.v1.events_pb2 import Event
from concord.v1.pairs_pb2 import Choice
from concord.v1.snapshot_pb2 import Answer, TaskSnapshot

SERVICE = "tasks"
# Settled tasks among which one is looked for that somebody has not had.
MOST_LOOKED_AT = 64
# Open tasks that are looked at together for somebody's skills.
MOST_LISTED_HERE = 1_000
# Messages stay under gRPC's 4 MB.
MOST_BYTES = 2_000_000
ANSWERS = (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND, Choice.CHOICE_TIE)


def fold() -> Fold[TasksState]:
    """The pure functions of this reactor."""
    return Fold(queue.VERSION, queue.initial, queue.evolve, queue.row, queue.restore, queue.due, queue.active)


class Tasks(tasks_service_pb2_grpc.TaskServiceServicer):
    """TaskService; stateless but for a cache of shards, so any replica answers for any task."""

    def __init__(
        self, log: Log, store: Store, blobs: Blobs, slots: Slots, clock: Callable[[], float], lease_s: float
    ) -> None:
        self._log, self._store, self._slots, self._texts = log, store, slots, Texts(blobs)
        self._clock, self._lease_s = clock, lease_s
        self._headers = Headers(store, SERVICE, clock)
        self._caught_up = CaughtUp(log, store, SERVICE)
        self._answers = Answers(log, store, slots, self._headers, clock, SERVICE)
        self._standings = Standings(slots, clock)
        self._leases: Together[Want, list[Slot]] = Together(
            lambda wants: slots.lease_together(wants, clock(), lease_s), limits.MOST_AT_ONCE
        )

    def NextTask(self, request: pb.NextTaskRequest, context: grpc.ServicerContext) -> pb.NextTaskResponse:
        tasks, more = self._next(request.annotator, request.run_id, 1)
        return pb.NextTaskResponse(task=tasks[0] if tasks else None, more_expected=more)

    def NextTasks(self, request: pb.NextTasksRequest, context: grpc.ServicerContext) -> pb.NextTasksResponse:
        limits.check_count("most", request.most)
        limits.check_ids(request.task_ids)
        skills = skills_of(request.skills, "skills")
        if skills and not request.run_id:
            raise InvalidInput("skills: of which run is asked is missing, for they choose among one run's tasks")
        tasks, more = self._next(request.annotator, request.run_id, request.most, request.task_ids, skills)
        said = pb.NextTasksResponse(tasks=tasks, more_expected=more)
        if tasks and request.run_id and not skills:
            said.progress.answered, said.progress.left = self._standings.of(request.run_id, request.annotator)
        return said

    def _next(
        self, annotator: str, run_id: str, most: int, of: Sequence[str] = (), skills: Sequence[str] = ()
    ) -> tuple[list[pb.Task], bool]:
        """Tasks under a lease, as few as fit in one message, and whether more may come."""
        limits.check_annotator(annotator)
        runs = {run_id: self._headers.of(run_id)} if run_id else {}
        if not self._caught_up():
            return [], True
        if run_id and not of and annotator in runs[run_id].run.set_aside:
            # Whose answers count for nothing is asked nothing.
            return [], False
        gold = self._gold(annotator, runs[run_id], skills) if run_id and not of else []
        free = most - len(gold)
        leased = self._lease(annotator, run_id, free, of, skills) if free else []
        runs |= {slot.run_id: self._headers.of_slot(slot) for slot in leased}
        slots = self._within_limits(annotator, [*leased, *gold], runs, of)
        if not slots:
            return [], self._more_expected(run_id)
        tasks: list[pb.Task] = []
        size = 0
        for slot in slots:
            task = self._task(runs[slot.run_id], slot)
            size += task.ByteSize()
            # What does not fit stays leased to this annotator and comes first the next time.
            if tasks and size > MOST_BYTES:
                break
            tasks.append(task)
        return tasks, True

    def _lease(self, annotator: str, run_id: str, most: int, of: Sequence[str], skills: Sequence[str]) -> list[Slot]:
        """Up to `most` leases, on these tasks alone where `of` says so: the first ones that are for somebody with these skills."""
        if not skills:
            return self._leases(Want(annotator, run_id, most, tuple(of)))
        found, fitting = list[Slot](), self._fitting(annotator, run_id, skills)
        fitting = [task_id for task_id in fitting if task_id in of] if of else fitting
        while len(found) < most and fitting:
            some, fitting = fitting[: limits.MOST_AT_ONCE], fitting[limits.MOST_AT_ONCE :]
            found += self._slots.lease(annotator, run_id, self._clock(), self._lease_s, most - len(found), some)
        return found

    def _fitting(self, annotator: str, run_id: str, skills: Sequence[str]) -> list[str]:
        """The tasks that this person may still answer, by what they need: those that the person holds, then in their order.

        A table that is not exact by now only costs a second look: who gets what, the leases decide.
        """
        run, found, after = self._headers.now(run_id), list[Open](), -1
        while page := self._slots.open(run_id, self._clock(), after, MOST_LISTED_HERE):
            after = page[-1].number
            found += [
                task
                for task in page
                if annotator not in task.answered_by
                and (annotator in task.leased_by or len(task.answered_by) + len(task.leased_by) < task.quorum)
                and fits(self._texts.needs(run, task.pair_index), skills)
            ]
            if len(page) < MOST_LISTED_HERE:
                break
        found.sort(key=lambda task: annotator not in task.leased_by)
        return [task.task_id for task in found]

    def _gold(self, annotator: str, run: TasksState, skills: Sequence[str]) -> list[Slot]:
        """A lease on a task that is settled, where the draw for this person's next answer says so; else none.

        Drawn by how many this person has answered, so that asking again draws nothing anew.
        """
        header, run_id = run.run, run.run_id
        if header.gold_share <= 0 or header.paused:
            return []
        answered, _ = self._slots.of_annotator(run_id, annotator, self._clock())
        if uniform("gold", run_id, annotator, answered) >= header.gold_share:
            return []
        tasks = queue.restore(run_id, self._store.rows(SERVICE, run_id)).tasks
        sure = [
            task.task_id
            for task in tasks.values()
            if queue.is_sure(task) and fits(self._texts.needs(run, task.pair_index) if skills else (), skills)
        ]
        first = int(uniform("which gold", run_id, annotator, answered) * len(sure))
        looked_at = (sure[first:] + sure[:first])[:MOST_LOOKED_AT]
        found = self._slots.gold(annotator, run_id, looked_at, self._clock(), self._lease_s)
        return [found] if found else []

    def _within_limits(
        self, annotator: str, slots: list[Slot], runs: Mapping[str, TasksState], asked: Sequence[str]
    ) -> list[Slot]:
        """The leases that this person may hold: of a run that limits what one answers, those beyond are given back; of one that has
        set this person aside, all, but where just these were asked for."""
        kept = list[Slot]()
        for run_id in dict.fromkeys(slot.run_id for slot in slots):
            own, most = [slot for slot in slots if slot.run_id == run_id], runs[run_id].run.most_each
            if not asked and annotator in runs[run_id].run.set_aside:
                self._slots.return_([slot.task_id for slot in own], annotator, run_id)
                continue
            if most:
                answered, _ = self._slots.of_annotator(run_id, annotator, self._clock())
                left = max(0, most - answered)
                if beyond := [slot.task_id for slot in own[left:]]:
                    self._slots.return_(beyond, annotator, run_id)
                own = own[:left]
            kept += own
        return [slot for slot in slots if slot in kept]

    def _task(self, run: TasksState, slot: Slot) -> pb.Task:
        return pb.Task(
            task_id=slot.task_id,
            run_id=slot.run_id,
            pair_index=slot.pair_index,
            pair=self._texts.pair(run, slot.pair_index),
            vote=slot.vote,
            quorum=run.run.quorum,
            lease_until=slot.lease_until,
            criteria=run.run.criteria,
            revision=slot.revision + 1,
        )

    def _more_expected(self, run_id: str) -> bool:
        active = set(self._store.runs(SERVICE, active_only=True))
        return run_id in active if run_id else bool(active)

    def SubmitAnnotation(
        self, request: pb.SubmitAnnotationRequest, context: grpc.ServicerContext
    ) -> pb.SubmitAnnotationResponse:
        if request.choice not in ANSWERS:
            raise InvalidInput("choice must be first, second or tie; use SkipTask for a pair that cannot be judged")
        answer = pb.GivenAnswer(
            task_id=request.task_id, choice=request.choice, seconds=request.seconds, comment=request.comment
        )
        return pb.SubmitAnnotationResponse(revision=self._answer_one(request.annotator, answer))

    def SkipTask(self, request: pb.SkipTaskRequest, context: grpc.ServicerContext) -> pb.SkipTaskResponse:
        self._answer_one(request.annotator, pb.GivenAnswer(task_id=request.task_id, comment=request.reason))
        return pb.SkipTaskResponse()

    def SubmitAnnotations(
        self, request: pb.SubmitAnnotationsRequest, context: grpc.ServicerContext
    ) -> pb.SubmitAnnotationsResponse:
        limits.check_count("answers", len(request.answers))
        if len({answer.task_id for answer in request.answers}) < len(request.answers):
            raise InvalidInput("answers: a task stands there twice; a new answer to it needs a call of its own")
        for answer in request.answers:
            if answer.choice and answer.choice not in ANSWERS:
                raise InvalidInput(
                    f"choice of task {answer.task_id} must be first, second or tie, or unspecified to skip"
                )
        return pb.SubmitAnnotationsResponse(answers=self._answer(request.annotator, request.answers, request.run_id))

    def _answer_one(self, annotator: str, answer: pb.GivenAnswer) -> int:
        taken = self._answer(annotator, [answer])[0]
        if taken.refused:
            raise Refused(taken.refused)
        return taken.revision

    def _answer(self, annotator: str, answers: Sequence[pb.GivenAnswer], run_id: str = "") -> list[pb.TakenAnswer]:
        """What became of each, as `Answers.take` says it."""
        limits.check_annotator(annotator)
        if not self._caught_up():
            # Whose lease it was may be forgotten, and somebody else's answer in the log already.
            raise Unavailable("the log is still being read after a start: say it again in a moment, nothing is lost")
        taken = self._answers.take(annotator, answers, run_id)
        if run_id:
            self._standings.count(run_id, annotator, sum(told.revision == 1 for told in taken))
        return taken

    def _closed(self, slot: Slot) -> list[TaskSnapshot]:
        return closed(self._store, SERVICE, slot.run_id, [slot.number])

    def WithdrawAnnotation(
        self, request: pb.WithdrawAnnotationRequest, context: grpc.ServicerContext
    ) -> pb.WithdrawAnnotationResponse:
        limits.check_annotator(request.annotator)
        slot = self._slots.held([request.task_id], request.annotator).get(request.task_id)
        if slot is not None and request.run_id not in ("", slot.run_id):
            slot = None
        if slot is None and was_tried(context):
            # The first try gave it back, and its answer never arrived.
            return pb.WithdrawAnnotationResponse()
        state = self._headers.of_slot(slot) if slot else None
        why_not = why_refused(request.annotator, request.task_id, slot, state)
        if why_not or slot is None or state is None:
            raise Refused(why_not)
        if 0 < request.revision < slot.revision or (request.revision == slot.revision and not slot.submitted):
            # It was taken back before: a later answer stands, or the task is out again to the same person.
            return pb.WithdrawAnnotationResponse()
        if not slot.submitted:
            raise Refused("there is no answer to take back")
        if self._closed(slot):
            raise Refused(RESOLVED)
        said = {"pair_index": slot.pair_index, "annotator": slot.annotator, "revision": slot.revision}
        name = f"withdrawn/{slot.annotator}/{slot.revision}"
        append_and_wait(
            self._log, self._store, SERVICE, [event_of(slot, state, name, caller.actor(), annotation_withdrawn=said)]
        )
        for task in self._closed(slot):
            if any(_still_stands(answer, slot) for answer in task.answers):
                raise Refused(RESOLVED)
        return pb.WithdrawAnnotationResponse()

    def GetQueue(self, request: pb.GetQueueRequest, context: grpc.ServicerContext) -> pb.GetQueueResponse:
        header = self._headers.now(request.run_id).run
        offered, leased = self._slots.counts(request.run_id, self._clock())
        # A paused run offers none of its tasks, resolved or not.
        left = self._unresolved(request.run_id) if header.paused else offered
        resolved = max(0, header.tasks - left) if header.stage else 0
        queue_ = pb.GetQueueResponse(
            open=left, leased=leased, resolved=resolved, stage=header.stage, round=header.round
        )
        if request.annotator:
            queue_.answered, queue_.left = self._slots.of_annotator(request.run_id, request.annotator, self._clock())
        if request.annotator and (skills := skills_of(request.skills, "skills")):
            queue_.left = len(self._fitting(request.annotator, request.run_id, skills))
        if request.annotator in header.set_aside:
            queue_.left = 0
        return queue_

    def ListTasks(self, request: pb.ListTasksRequest, context: grpc.ServicerContext) -> pb.ListTasksResponse:
        most = request.page_size or limits.MOST_LISTED
        if most > limits.MOST_LISTED:
            raise InvalidInput(f"page_size is {most}; at most {limits.MOST_LISTED} are listed at once")
        # The header first: tasks of a later round than it says are told from those of its own by who asks.
        header = self._headers.now(request.run_id).run
        found = self._slots.open(request.run_id, self._clock(), limits.number(request.page_token), most)
        listed = [
            pb.OpenTask(
                task_id=task.task_id,
                pair_index=task.pair_index,
                quorum=task.quorum,
                answered_by=task.answered_by,
                leased_by=task.leased_by,
            )
            for task in found
            if len(task.answered_by) < task.quorum
        ]
        token = str(found[-1].number) if len(found) == most else ""
        return pb.ListTasksResponse(tasks=listed, next_page_token=token, stage=header.stage, round=header.round)

    def ReturnTasks(self, request: pb.ReturnTasksRequest, context: grpc.ServicerContext) -> pb.ReturnTasksResponse:
        limits.check_annotator(request.annotator)
        limits.check_count("task_ids", len(request.task_ids))
        limits.check_ids(request.task_ids)
        self._slots.return_(request.task_ids, request.annotator, request.run_id)
        return pb.ReturnTasksResponse()

    def ExtendLeases(self, request: pb.ExtendLeasesRequest, context: grpc.ServicerContext) -> pb.ExtendLeasesResponse:
        limits.check_annotator(request.annotator)
        limits.check_count("task_ids", len(request.task_ids))
        limits.check_ids(request.task_ids)
        now = self._clock()
        until = now + (request.hold_s or self._lease_s)
        held = self._slots.extend(request.task_ids, request.annotator, request.run_id, now, until)
        return pb.ExtendLeasesResponse(task_ids=held, lease_until=until)

    def _unresolved(self, run_id: str) -> int:
        tasks = queue.restore(run_id, self._store.rows(SERVICE, run_id)).tasks
        return sum(not task.resolved for task in tasks.values())


def _still_stands(answer: Answer, slot: Slot) -> bool:
    """Whether this is the answer that was to be taken back, and it counts all the same."""
    return answer.annotator == slot.annotator and answer.revision <= slot.revision and not answer.withdrawn


def append_again(
    log: Log, slots: Slots, clock: Callable[[], float], stop: threading.Event, every_s: float = 2.0
) -> None:
    """Appends answers again whose first append was lost; runs beside the reactor until `stop` is set."""
    while not stop.wait(every_s):
        try:
            if late := slots.unsaid(clock()):
                log.append([entry_of(Event.FromString(said)) for _, said in late])
        except ConcordError as error:
            structlog.get_logger(service=SERVICE).warning("answers wait to be said again", why=str(error))


def servicer(log: Log, store: Store, blobs: Blobs, slots: Slots, lease_s: float) -> Servicer:
    """TaskService, ready to be served."""
    add: Callable = tasks_service_pb2_grpc.add_TaskServiceServicer_to_server
    return Servicer("concord.v1.TaskService", add, Tasks(log, store, blobs, slots, time.time, lease_s))
