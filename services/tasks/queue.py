"""The queue of questions for people: how facts change it and when a task is settled. Pure.

A task takes exactly `quorum` votes, one more where it is asked again to see how often people err, and where people disagree one
more at a time up to `most_votes`. A skip uses its slot up; a withdrawal frees it. Once every slot is used a task is full: what
comes then changes nothing any more, so that whoever resolves it, from whichever point of the log, resolves it alike. It is resolved
by the majority of the answers (of the first `quorum` of them where one was asked again), as a tie where there is none, as skipped
where nobody answered.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field

from concord.kit.ids import event_id, task_id, unit_name
from concord.kit.loop.fold import Append, Context
from concord.preference.deviating import set_aside
from concord.preference.stages import HUMAN
from concord.preference.votes import majority, undecided
from concord.v1.events_pb2 import Event, PauseReason, Stage, TaskResolved, Unit
from concord.v1.snapshot_pb2 import Answer, TaskSnapshot, TasksSnapshot

VERSION = 3
# Pauses that a retry mends.
RETRIED = (
    PauseReason.PAUSE_REASON_FAILED_UNITS,
    PauseReason.PAUSE_REASON_SILENT_JUDGE,
    PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE,
)


@dataclass
class TasksState:
    """A value: only `evolve` writes, and only on a copy that it just made."""

    run_id: str
    run: TasksSnapshot
    # Tasks of the open human stage, by unit number.
    tasks: dict[int, TaskSnapshot] = field(default_factory=dict)
    # Unresolved tasks whose slots are all used.
    ripe: frozenset[int] = frozenset()


def initial(run_id: str) -> TasksState:
    """A run of which nothing is known."""
    return TasksState(run_id, TasksSnapshot())


def active(state: TasksState) -> bool:
    """Whether `due` may ever say anything again."""
    return not state.run.ended


def task_row(number: int) -> str:
    """Name of a task's row."""
    return f"task/{number:08}"


def counted(task: TaskSnapshot) -> list[Answer]:
    """The answers and skips that hold a slot now."""
    return [answer for answer in task.answers if not answer.withdrawn]


def evolve(state: TasksState, events: Sequence[tuple[Event, float]]) -> tuple[TasksState, frozenset[str]]:
    """The state after these events, and the names of the rows that changed."""
    state = copy(state)
    run = TasksSnapshot()
    run.CopyFrom(state.run)
    state.run, state.tasks = run, dict(state.tasks)
    touched: set[str] = set()
    fresh: set[int] = set()
    for event, at in events:
        if event.HasField("unit") and event.unit.stage in HUMAN:
            _on_task(state, event, touched, fresh)
        elif not event.HasField("unit"):
            _on_run(state, event, at, touched)
        elif event.HasField("round_triaged"):
            run.set_aside[:] = set_aside(event.round_triaged)
            touched.add("run")
    numbers = {int(name[5:]) for name in touched if name.startswith("task/")}
    full = {n for n in numbers if n in state.tasks and _full(state, state.tasks[n])}
    state.ripe = frozenset((state.ripe - numbers) | full)
    return state, frozenset(touched)


def _full(state: TasksState, task: TaskSnapshot) -> bool:
    return not task.resolved and len(counted(task)) >= slots_of(state, task)


def is_closed(state: TasksState, task: TaskSnapshot) -> bool:
    """Whether an answer or a withdrawal comes too late: the task is full, or resolved."""
    return task.resolved or _full(state, task)


def slots_of(state: TasksState, task: TaskSnapshot) -> int:
    """How many persons the task is for: the quorum, or one more where it is asked again to see how often people err; where they
    disagree one more than have answered, up to the most that the run asks of a task.

    One of the first votes that was taken back is given again even where a later one stands already: who holds a first vote is
    told at once that his answer counts.
    """
    base = state.run.quorum + task.re_ask
    if state.run.most_votes <= base or state.run.quorum < 2:
        return base
    held = counted(task)
    if len(held) < base:
        return base
    if missing := base - sum(answer.vote < base for answer in held):
        return len(held) + missing
    wanted = len(held) + undecided([answer.choice for answer in held if not answer.skipped])
    return min(wanted, state.run.most_votes)


def is_sure(task: TaskSnapshot) -> bool:
    """Whether the task is settled and two or more answered it, all of them the same: somebody else's answer can be held to it."""
    said = [answer.choice for answer in counted(task) if not answer.skipped]
    return task.resolved and len(said) > 1 and set(said) == {task.choice}


def _on_run(state: TasksState, event: Event, at: float, touched: set[str]) -> None:
    run = state.run
    match event.WhichOneof("kind"):
        case "run_created":
            config = event.run_created.config
            run.quorum, run.deadline_s, run.criteria = (
                max(1, config.quorum),
                config.annotation_deadline_s,
                config.judge.criteria,
            )
            run.most_votes, run.most_each = config.most_votes, config.most_each
            run.gold_share = config.gold_share
        case "run_started":
            # A pause from before the start was refused.
            run.pairs_uri = event.run_started.pairs_uri
            _go_on(run, at)
        case "stage_opened" if event.stage_opened.stage in HUMAN:
            _open(state, event, at, touched)
        case "stage_closed" if event.stage_closed.HasField("corpus"):
            run.pairs_uri = event.stage_closed.corpus.pairs_uri
        case "stage_closed" if event.stage_closed.stage in HUMAN:
            touched.update(map(task_row, state.tasks))
            state.tasks = {}
            run.stage, run.round = Stage.STAGE_UNSPECIFIED, 0
        case "run_paused":
            _pause(run, event, at)
        case "run_resumed" if event.run_resumed.cause_id in ("", run.pause_id):
            _go_on(run, at)
        case "stage_retried" if run.pause_reason in RETRIED:
            # The run of a caller who paused it still stands.
            _go_on(run, at)
        case "run_cancelled" | "run_finished":
            run.ended = True
            touched.update(map(task_row, state.tasks))
            state.tasks = {}
        case _:
            return
    touched.add("run")


def _pause(run: TasksSnapshot, event: Event, at: float) -> None:
    """As the run takes it: what stands still already is not paused again, unless a caller holds what only waits."""
    reason, waits = event.run_paused.reason, run.pause_reason == PauseReason.PAUSE_REASON_DEFERRED
    if run.paused and not (waits and reason == PauseReason.PAUSE_REASON_CALLER):
        return
    run.paused_at = run.paused_at if run.paused else at
    run.paused, run.pause_reason, run.pause_id = True, reason, event.event_id


def _go_on(run: TasksSnapshot, at: float) -> None:
    """Time in which nobody could answer is not counted against the stage's deadline."""
    if run.paused and run.stage:
        run.opened_at += max(0.0, at - max(run.paused_at, run.opened_at))
    run.paused, run.paused_at = False, 0.0
    run.pause_reason, run.pause_id = PauseReason.PAUSE_REASON_UNSPECIFIED, ""


def _open(state: TasksState, event: Event, at: float, touched: set[str]) -> None:
    opened, run = event.stage_opened, state.run
    run.stage, run.round, run.opened_at = opened.stage, opened.round, at
    run.tasks, run.asked_uri = len(opened.pair_indexes), opened.pairs_uri
    state.tasks = {}
    for number, pair_index in enumerate(opened.pair_indexes):
        unit = Unit(stage=opened.stage, round=opened.round, number=number)
        state.tasks[number] = TaskSnapshot(
            task_id=task_id(state.run_id, unit),
            unit=unit,
            pair_index=pair_index,
            place=number,
            re_ask=number < len(opened.re_ask) and opened.re_ask[number],
        )
        touched.add(task_row(number))


def _on_task(state: TasksState, event: Event, touched: set[str], fresh: set[int]) -> None:
    """A annotation, skip, withdrawal or resolution of a task of the open stage; anything else changes nothing."""
    run, unit = state.run, event.unit
    known = state.tasks.get(unit.number)
    if known is None or (unit.stage, unit.round) != (run.stage, run.round):
        return
    kind = event.WhichOneof("kind")
    if known.resolved or (kind != "task_resolved" and _full(state, known)):
        # Too late to count, but heard: the table of leases need not say it again.
        touched.add(task_row(unit.number))
        return
    # A handler that was overtaken by the next stage may name a task of this one and mean a pair of the last one.
    if getattr(getattr(event, kind), "pair_index", None) != known.pair_index:
        return
    if unit.number not in fresh:
        task = TaskSnapshot()
        task.CopyFrom(known)
        state.tasks[unit.number] = task
        fresh.add(unit.number)
    task = state.tasks[unit.number]
    match kind:
        case "annotation_submitted":
            said = event.annotation_submitted
            _take(
                state,
                task,
                Answer(
                    event_id=event.event_id,
                    annotator=said.annotator,
                    vote=said.vote,
                    revision=said.revision,
                    choice=said.choice,
                ),
            )
        case "task_skipped":
            skipped = event.task_skipped
            _take(
                state,
                task,
                Answer(
                    event_id=event.event_id,
                    annotator=skipped.annotator,
                    vote=skipped.vote,
                    revision=skipped.revision,
                    skipped=True,
                ),
            )
        case "annotation_withdrawn":
            _withdraw(task, event.annotation_withdrawn.annotator, event.annotation_withdrawn.revision)
        case "task_resolved":
            task.resolved, task.outcome, task.choice = True, event.task_resolved.outcome, event.task_resolved.choice
    touched.add(task_row(unit.number))


def _take(state: TasksState, task: TaskSnapshot, answer: Answer) -> None:
    """An answer beyond the quorum, or for a vote that somebody else holds, is refused: overlap is exact in the fold too.

    A third vote, given out where two disagreed, still finds room when one of the two has taken his answer back since.
    """
    others = [held.vote for held in counted(task) if held.annotator != answer.annotator]
    beyond = answer.vote >= max(state.run.quorum + task.re_ask, state.run.most_votes)
    if beyond or answer.vote in others or len(others) >= slots_of(state, task):
        return
    for at, known in enumerate(task.answers):
        if known.annotator == answer.annotator:
            if answer.revision > known.revision:
                task.answers[at].CopyFrom(answer)
            return
    task.answers.append(answer)


def _withdraw(task: TaskSnapshot, annotator: str, revision: int) -> None:
    """Frees the vote; an answer that is overtaken by its own withdrawal will not count either."""
    for answer in task.answers:
        if answer.annotator == annotator:
            answer.withdrawn = answer.withdrawn or answer.revision <= revision
            return
    task.answers.add(annotator=annotator, revision=revision, withdrawn=True)


def due(state: TasksState, context: Context) -> Sequence[Append]:
    """Tasks that are settled and not yet said to be; where the stage's time is up, all that are left.

    While the run is paused nothing is said, and its time stands still.
    """
    run = state.run
    if run.ended or run.paused or not state.tasks:
        return ()
    late = run.deadline_s > 0 and context.now >= run.opened_at + run.deadline_s
    numbers = [n for n, task in state.tasks.items() if not task.resolved] if late else sorted(state.ripe)
    return [_resolve(state, state.tasks[number]) for number in numbers]


def _resolve(state: TasksState, task: TaskSnapshot) -> Append:
    held = sorted(counted(task), key=lambda answer: answer.vote)
    answers = [answer for answer in held if not answer.skipped]
    resolved = TaskResolved(pair_index=task.pair_index, annotation_ids=[answer.event_id for answer in answers])
    # Who was asked to see how often people err decides nothing, but for somebody who could not say.
    choices = [answer.choice for answer in answers]
    decide = max(state.run.quorum, slots_of(state, task) - task.re_ask)
    resolved.outcome, resolved.choice = majority(choices[:decide], skipped=len(held) > len(answers))
    resolved.annotators.extend(answer.annotator for answer in answers)
    if len(choices) > 1:
        resolved.choices.extend(choices)
    if len(choices) > decide:
        resolved.counted = decide
    name = event_id(state.run_id, "resolved", unit_name(task.unit))
    return Append(Event(event_id=name, run_id=state.run_id, unit=task.unit, task_resolved=resolved))


def row(state: TasksState, name: str) -> bytes | None:
    """The content of a row; None where there is nothing to keep (any more)."""
    if name == "run":
        return state.run.SerializeToString()
    task = state.tasks.get(int(name.removeprefix("task/")))
    return task.SerializeToString() if task is not None else None


def restore(run_id: str, rows: Mapping[str, bytes]) -> TasksState:
    """The state that these rows were made of."""
    run = TasksSnapshot.FromString(rows.get("run", b""))
    tasks = {int(n[5:]): TaskSnapshot.FromString(value) for n, value in sorted(rows.items()) if n.startswith("task/")}
    state = TasksState(run_id, run, tasks)
    state.ripe = frozenset(n for n, task in tasks.items() if _full(state, task))
    return state
