"""Answers on their way into the log. Those that come at the same moment share one look at their slots, one transaction and one
append, so what many people say at once costs little more than what one says.

An answer is marked in its slot, then appended, then acknowledged: so an acknowledged answer stands in the log, and one whose
append was lost is said again from its slot. That it is folded is waited for only where it might not count: a change of mind, a
vote beyond the quorum, a run with a deadline. Any other answer has its vote in its slot, and its task is not resolved without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from concord.kit import caller, telemetry, tracing
from concord.kit.ids import event_id, unit_name
from concord.kit.log import Entry, Log
from concord.kit.log.topics import fact_partition
from concord.kit.loop.commands import wait_for
from concord.kit.loop.facts import entry_of
from concord.kit.store import Store
from concord.kit.together import Together
from concord.tasks import queue
from concord.tasks.headers import Headers, is_of, unit_of
from concord.tasks.leases import GOLD_VOTE, Slot, Slots
from concord.tasks.queue import TasksState
from concord.v1 import tasks_service_pb2 as pb
from concord.v1.events_pb2 import Event
from concord.v1.snapshot_pb2 import TaskSnapshot

MOST_TEXT = 2_000
MOST_TOGETHER = 64
TOO_LATE = "the lease ran out and the task went to somebody else, or a newer answer came first"
RESOLVED = "the task is resolved: what was said until then counts, and nothing is changed or taken back any more"


@dataclass
class Call:
    """One person's answers, and what becomes of them."""

    annotator: str
    answers: Sequence[pb.GivenAnswer]
    # Only tasks of this run are taken; empty: of any.
    run_id: str
    actor: str
    # The caller's span, which another call's thread may append for.
    came: str = ""
    slots: dict[str, Slot] = field(default_factory=dict)
    # By task: the answer's revision and the answer as a fact.
    said: dict[str, tuple[int, Event]] = field(default_factory=dict)
    taken: dict[str, pb.TakenAnswer] = field(default_factory=dict)
    # Tasks whose answers might not count, and the offset at which each stands.
    doubtful: dict[str, int] = field(default_factory=dict)


class Answers:
    """Takes answers in. Thread-safe."""

    def __init__(
        self, log: Log, store: Store, slots: Slots, headers: Headers, clock: Callable[[], float], service: str
    ) -> None:
        self._log, self._store, self._slots, self._headers = log, store, slots, headers
        self._clock, self._service = clock, service
        self._together: Together[Call, Call] = Together(self._take, MOST_TOGETHER)

    def take(self, annotator: str, answers: Sequence[pb.GivenAnswer], run_id: str = "") -> list[pb.TakenAnswer]:
        """What became of each, in their order.

        The same answer again is that answer: whoever heard nothing of the first try may send it once more. Raises Unavailable
        where the store or the log does not answer.
        """
        call = self._together(Call(annotator, answers, run_id, caller.actor(), tracing.outgoing()))
        self._wait(call)
        return list(call.taken.values())

    def _take(self, calls: Sequence[Call]) -> Sequence[Call]:
        held = self._slots.held_by({(answer.task_id, call.annotator) for call in calls for answer in call.answers})
        for call in calls:
            self._look(call, held)
        self._mark(calls)
        self._append(calls)
        return calls

    def _look(self, call: Call, held: dict[tuple[str, str], Slot]) -> None:
        mine = {answer.task_id: held.get((answer.task_id, call.annotator)) for answer in call.answers}
        call.slots = {id_: slot for id_, slot in mine.items() if slot and call.run_id in ("", slot.run_id)}
        states = {task_id: self._headers.of_slot(slot) for task_id, slot in call.slots.items()}
        for answer in call.answers:
            slot = call.slots.get(answer.task_id)
            why_not = why_refused(call.annotator, answer.task_id, slot, states.get(answer.task_id))
            call.taken[answer.task_id] = pb.TakenAnswer(refused=why_not or (_overtaken(slot, answer) if slot else ""))
            if slot and not call.taken[answer.task_id].refused:
                call.said[answer.task_id] = _said(slot, states[answer.task_id], answer, call.actor)
        doubtful = [id_ for id_ in call.said if _is_doubtful(call.slots[id_], states[id_], call.said[id_][0])]
        call.doubtful = dict.fromkeys(doubtful, -1)
        self._refuse_closed(call)

    def _refuse_closed(self, call: Call) -> None:
        """Takes out what would count for nothing: a new answer to a task that is closed. The same answer again may come."""
        new: dict[str, list[int]] = {}
        for task_id in call.doubtful:
            slot = call.slots[task_id]
            if call.said[task_id][0] > slot.revision:
                new.setdefault(slot.run_id, []).append(slot.number)
        for run_id, numbers in new.items():
            for task in closed(self._store, self._service, run_id, numbers):
                if call.said.pop(task.task_id, None):
                    call.taken[task.task_id].refused = RESOLVED
                    call.doubtful.pop(task.task_id, None)

    def _mark(self, calls: Sequence[Call]) -> None:
        """The slots are marked first: from then on the answers are never lost, and a retry says the same events."""
        given = [
            (call, task_id, revision, event.SerializeToString(deterministic=True))
            for call in calls
            for task_id, (revision, event) in call.said.items()
            if revision > call.slots[task_id].revision
        ]
        told = [(call.slots[task_id], revision, said) for call, task_id, revision, said in given]
        stored = self._slots.submit(told, self._clock()) if told else []
        for (call, task_id, *_), is_stored in zip(given, stored, strict=True):
            if not is_stored:
                call.taken[task_id].refused = TOO_LATE
                del call.said[task_id]
                call.doubtful.pop(task_id, None)
        telemetry.ANSWERS.inc(sum(stored))
        for call in calls:
            for task_id, (revision, _) in call.said.items():
                call.taken[task_id].revision = revision

    def _append(self, calls: Sequence[Call]) -> None:
        places = [(call, task_id) for call in calls for task_id in call.said]
        if not places:
            return
        offsets = self._log.append([_entry(call, task_id) for call, task_id in places])
        for (call, task_id), offset in zip(places, offsets, strict=True):
            if task_id in call.doubtful:
                call.doubtful[task_id] = offset

    def _wait(self, call: Call) -> None:
        """Until it is known whether the doubtful ones count; not while others wait for their turn."""
        by_run: dict[str, list[str]] = {}
        for task_id in call.doubtful:
            by_run.setdefault(call.slots[task_id].run_id, []).append(task_id)
        for run_id, task_ids in by_run.items():
            to = max(call.doubtful[task_id] for task_id in task_ids)
            wait_for(self._store, self._service, fact_partition(run_id), to)
            own = [call.slots[task_id].number for task_id in task_ids if not is_gold(call.slots[task_id])]
            for task in closed(self._store, self._service, run_id, own):
                if call.said[task.task_id][1].event_id not in {answer.event_id for answer in task.answers}:
                    call.taken[task.task_id] = pb.TakenAnswer(refused=RESOLVED)


def _entry(call: Call, task_id: str) -> Entry:
    """The answer as a record of the log, with the span that it comes from."""
    event = call.said[task_id][1]
    with tracing.span("append annotation_submitted", event.run_id, kind="producer", links=(call.came,)):
        return entry_of(event, tracing.headers(event.run_id))


def closed(store: Store, service: str, run_id: str, numbers: Sequence[int]) -> list[TaskSnapshot]:
    """Those of the open stage's tasks for which an answer or a withdrawal comes too late."""
    if not numbers:
        return []
    state = queue.restore(run_id, store.rows(service, run_id, ["run", *map(queue.task_row, numbers)]))
    return [task for task in state.tasks.values() if queue.is_closed(state, task)]


def is_gold(slot: Slot) -> bool:
    """Whether the task was settled when it was given."""
    return slot.vote >= GOLD_VOTE


def why_refused(annotator: str, task_id: str, slot: Slot | None, state: TasksState | None) -> str:
    """Why this answer cannot be taken, in words; empty where it can."""
    if slot is None or state is None:
        return f"{annotator!r} holds no lease on task {task_id}: it ran out, or the task is closed; ask for the next"
    return "" if is_of(slot, state) else f"task {slot.task_id} was closed with its round; ask for the next"


def event_of(slot: Slot, state: TasksState, name: str, actor: str, **kind: object) -> Event:
    """A fact about the slot's task, by its name."""
    unit = unit_of(slot, state)
    name = event_id(slot.run_id, name, unit_name(unit))
    return Event(event_id=name, run_id=slot.run_id, unit=unit, actor=actor, **kind)


def _is_doubtful(slot: Slot, state: TasksState, revision: int) -> bool:
    """Whether the task may be resolved without this answer."""
    if is_gold(slot):
        return False
    return revision > 1 or slot.vote >= state.run.quorum or state.run.deadline_s > 0


def _overtaken(slot: Slot, answer: pb.GivenAnswer) -> str:
    """Why an answer that says its revision comes too late, or too early, in words; empty where it comes at its time."""
    known = answer.revision == slot.revision and slot.submitted
    return "" if not answer.revision or known or answer.revision == slot.revision + 1 else TOO_LATE


def _said(slot: Slot, state: TasksState, answer: pb.GivenAnswer, actor: str) -> tuple[int, Event]:
    """The answer's revision and the answer as a fact; one that is stored already is that one again.

    What was said first under a revision is what that revision says.
    """
    if slot.submitted and slot.said and answer.revision == slot.revision:
        return slot.revision, Event.FromString(slot.said)
    if slot.submitted:
        again = _as_revision(slot.revision, slot, state, answer, actor)
        if again.SerializeToString(deterministic=True) == slot.said:
            return slot.revision, again
    return slot.revision + 1, _as_revision(slot.revision + 1, slot, state, answer, actor)


def _as_revision(revision: int, slot: Slot, state: TasksState, answer: pb.GivenAnswer, actor: str) -> Event:
    """An answer without a choice is a skip."""
    text = answer.comment[:MOST_TEXT]
    common = {"pair_index": slot.pair_index, "annotator": slot.annotator, "vote": slot.vote, "revision": revision}
    if not answer.choice:
        name = f"skipped/{slot.annotator}/{revision}"
        return event_of(slot, state, name, actor, task_skipped=common | {"reason": text})
    marks = {"first_mark": answer.first_mark, "second_mark": answer.second_mark}
    seen = {"strength": answer.strength, "view": answer.view, "swapped": answer.swapped, "gold": is_gold(slot)}
    said = common | marks | seen | {"choice": answer.choice, "seconds": answer.seconds, "comment": text}
    return event_of(slot, state, f"judged/{slot.annotator}/{revision}", actor, annotation_submitted=said)
