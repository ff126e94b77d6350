"""Tasks for people over gRPC: leases are rows, answers are facts."""

import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache

import grpc
import structlog

from concord.v1 import tasks_service_pb2 as pb
from concord.v1 import tasks_service_pb2_grpc
from concord.v1.events_pb2 import Event
from concord.v1.pairs_pb2 import Choice, Pair, PairShard, PairsManifest
from services.kit.blobs import Blobs
from services.kit.commands import entry_of, say
from services.kit.errors import ConcordError, InvalidInput, NotFound, Refused
from services.kit.fold import Fold
from services.kit.ids import event_id, unit_name
from services.kit.log import Log
from services.kit.rpc import Servicer
from services.kit.store import Store
from services.tasks import queue
from services.tasks.queue import TasksState
from services.tasks.slots import Slot, Slots

SERVICE = "tasks"
MOST_NAME = 200
ANSWERS = (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND, Choice.CHOICE_TIE)


def fold() -> Fold[TasksState]:
    """The pure functions of this reactor."""
    return Fold(queue.VERSION, queue.initial, queue.evolve, queue.row, queue.restore, queue.due, queue.active)


class Tasks(tasks_service_pb2_grpc.TaskServiceServicer):
    """TaskService; stateless but for a cache of shards, so any replica answers for any task."""

    def __init__(
        self, log: Log, store: Store, blobs: Blobs, slots: Slots, clock: Callable[[], float], lease_s: float
    ) -> None:
        self._log, self._store, self._blobs, self._slots = log, store, blobs, slots
        self._clock, self._lease_s = clock, lease_s
        self._manifest = lru_cache(16)(lambda uri: PairsManifest.FromString(blobs.get(uri)))
        self._shard = lru_cache(64)(lambda uri: PairShard.FromString(blobs.get(uri)))

    def NextTask(self, request: pb.NextTaskRequest, context: grpc.ServicerContext) -> pb.NextTaskResponse:
        check_annotator(request.annotator)
        slot = self._slots.lease(request.annotator, request.run_id, self._clock(), self._lease_s)
        if slot is None:
            return pb.NextTaskResponse(more_expected=self._more_expected(request.run_id))
        run = self._run(slot.run_id)
        task = pb.Task(
            task_id=slot.task_id, run_id=slot.run_id, pair_index=slot.pair_index, pair=self._pair(run, slot.pair_index),
            vote=slot.vote, quorum=run.run.quorum, lease_until=slot.lease_until, criteria=run.run.criteria,
        )  # fmt: skip
        return pb.NextTaskResponse(task=task, more_expected=True)

    def _run(self, run_id: str) -> TasksState:
        """The run's header; its tasks are not read."""
        return queue.restore(run_id, self._store.rows(SERVICE, run_id, ("run",)))

    def _more_expected(self, run_id: str) -> bool:
        active = set(self._store.runs(SERVICE, active_only=True))
        return run_id in active if run_id else bool(active)

    def _pair(self, run: TasksState, index: int) -> Pair:
        """The pair as a person sees it: no verdict, no reference, nothing of what a model thinks."""
        shards = self._manifest(run.run.pairs_uri).shards
        at = bisect_right(shards, index, key=lambda ref: ref.first_index) - 1
        if at < 0 or index >= shards[at].first_index + shards[at].pairs:
            raise NotFound(f"pair {index} of run {run.run_id} is in none of its shards")
        pair = Pair()
        pair.CopyFrom(self._shard(shards[at].uri).pairs[index - shards[at].first_index])
        for hidden in ("verdicts", "reference"):
            pair.ClearField(hidden)
        pair.first.model = pair.second.model = ""
        return pair

    def _held(self, task_id: str, annotator: str) -> Slot:
        check_annotator(annotator)
        slot = self._slots.held(task_id, annotator)
        if slot is None:
            raise Refused(
                f"{annotator!r} holds no lease on task {task_id}: it ran out, or the task is closed; ask for the next"
            )
        return slot

    def SubmitJudgement(
        self, request: pb.SubmitJudgementRequest, context: grpc.ServicerContext
    ) -> pb.SubmitJudgementResponse:
        if request.choice not in ANSWERS:
            raise InvalidInput("choice must be first, second or tie; use SkipTask for a pair that cannot be judged")
        slot = self._held(request.task_id, request.annotator)
        revision = slot.revision + 1
        said = {
            "pair_index": slot.pair_index, "annotator": slot.annotator, "revision": revision, "vote": slot.vote,
            "choice": request.choice, "seconds": request.seconds, "comment": request.comment[:2000],
        }  # fmt: skip
        self._answer(slot, revision, f"judged/{slot.annotator}/{revision}", judgement_submitted=said)
        return pb.SubmitJudgementResponse(revision=revision)

    def SkipTask(self, request: pb.SkipTaskRequest, context: grpc.ServicerContext) -> pb.SkipTaskResponse:
        slot = self._held(request.task_id, request.annotator)
        revision = slot.revision + 1
        said = {
            "pair_index": slot.pair_index, "annotator": slot.annotator, "vote": slot.vote, "revision": revision,
            "reason": request.reason[:2000],
        }  # fmt: skip
        self._answer(slot, revision, f"skipped/{slot.annotator}/{revision}", task_skipped=said)
        return pb.SkipTaskResponse()

    def _answer(self, slot: Slot, revision: int, name: str, **kind: object) -> None:
        """The slot is marked first: from then on the answer is never lost, and a retry says the same event."""
        event = self._event(slot, name, **kind)
        self._slots.submit(slot, revision, event.SerializeToString(deterministic=True), self._clock())
        say(self._log, self._store, SERVICE, [event])

    def _event(self, slot: Slot, name: str, **kind: object) -> Event:
        header = self._run(slot.run_id).run
        unit = {"stage": header.stage, "round": header.round, "number": slot.number}
        event = Event(run_id=slot.run_id, unit=unit, **kind)
        if queue.task_id(slot.run_id, event.unit) != slot.task_id:
            raise Refused(f"task {slot.task_id} was closed with its round; ask for the next")
        event.event_id = event_id(slot.run_id, name, unit_name(event.unit))
        return event

    def WithdrawJudgement(
        self, request: pb.WithdrawJudgementRequest, context: grpc.ServicerContext
    ) -> pb.WithdrawJudgementResponse:
        slot = self._held(request.task_id, request.annotator)
        if not slot.submitted:
            raise Refused("there is no answer to take back")
        said = {"pair_index": slot.pair_index, "annotator": slot.annotator, "revision": slot.revision}
        event = self._event(slot, f"withdrawn/{slot.annotator}/{slot.revision}", judgement_withdrawn=said)
        say(self._log, self._store, SERVICE, [event])
        self._slots.free(slot)
        return pb.WithdrawJudgementResponse()

    def GetQueue(self, request: pb.GetQueueRequest, context: grpc.ServicerContext) -> pb.GetQueueResponse:
        header = self._run(request.run_id).run
        offered, leased = self._slots.counts(request.run_id, self._clock())
        # A paused run offers none of its tasks, resolved or not.
        left = self._unresolved(request.run_id) if header.paused else offered
        resolved = max(0, header.tasks - left) if header.stage else 0
        return pb.GetQueueResponse(open=left, leased=leased, resolved=resolved, stage=header.stage, round=header.round)

    def _unresolved(self, run_id: str) -> int:
        tasks = queue.restore(run_id, self._store.rows(SERVICE, run_id)).tasks
        return sum(not task.resolved for task in tasks.values())


def check_annotator(name: str) -> None:
    """Refuses the empty name, and one that the table of leases has no room for."""
    if not name:
        raise InvalidInput("annotator is empty; a name is needed so that nobody gets a task twice")
    if len(name) > MOST_NAME:
        raise InvalidInput(f"annotator has {len(name)} characters; at most {MOST_NAME} are taken")


def say_again(log: Log, slots: Slots, clock: Callable[[], float], stop: threading.Event, every_s: float = 2.0) -> None:
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
