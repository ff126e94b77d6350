"""Questions that one annotator answers elsewhere: held meanwhile, handed in by their ids, or given back to the pool."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from concord.client.run.answers import NO_MARKS, SKIP, WORDS, Choice, Marks
from concord.client.run.desk import SKIPPED, batches, pages
from concord.kit.ids import task_id
from concord.v1.events_pb2 import Event
from concord.v1.tasks_service_pb2 import (
    ExtendLeasesRequest,
    GivenAnswer,
    NextTasksRequest,
    OpenTask,
    ReturnTasksRequest,
    SubmitAnnotationsRequest,
    Task,
)
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

AT_ONCE = 64
DAY_S = 86_400.0
# The desk holds nothing for longer.
MOST_DAYS = 30.0
ANSWERED = "answered"
KNOWN = "known"
LEFT = "left"
REFUSED = "refused"
# (task, annotator)
Of: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """What somebody says of a task, or that nothing is said yet."""

    task_id: str
    annotator: str
    # None: no answer yet.
    choice: Choice | None
    # As the task said; 0: the next one.
    revision: int = 0
    marks: Marks = NO_MARKS
    seconds: float = 0.0
    comment: str = ""
    # The second response was shown first.
    swapped: bool = False
    # Where it was found, for messages.
    place: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of an answer: `answered` now, `known` from before, `left` to the pool, or `refused`, and why."""

    answer: Answer
    what: str
    why: str = ""


def hold(
    tasks: TaskServiceStub, run_id: str, annotator: str, most: int, hold_s: float, skills: Sequence[str] = ()
) -> Iterator[Task]:
    """Up to `most` open tasks that this annotator has not answered, those that it holds already first, each held for `hold_s`.

    With `skills`: only those that need nothing else.
    """
    listed = [task for page in pages(tasks, run_id) for task in page.tasks if annotator not in task.answered_by]
    listed.sort(key=lambda task: not _is_held(task, annotator))
    free = iter(listed)
    while most > 0 and (wanted := [task.task_id for _, task in zip(range(min(most, AT_ONCE)), free, strict=False)]):
        given = list(_leased(tasks, run_id, annotator, wanted, skills))
        most -= len(given)
        if given:
            ids = [task.task_id for task in given]
            asked = ExtendLeasesRequest(annotator=annotator, task_ids=ids, run_id=run_id, hold_s=hold_s)
            # What ran out in this very moment is somebody else's.
            held = set(tasks.ExtendLeases(asked).task_ids)
            yield from (task for task in given if task.task_id in held)


def _is_held(task: OpenTask, annotator: str) -> bool:
    return annotator in task.leased_by


def _leased(
    tasks: TaskServiceStub, run_id: str, annotator: str, ids: Sequence[str], skills: Sequence[str]
) -> Iterator[Task]:
    """Those of these tasks that this annotator gets; an answer has room for some of them only where they are long."""
    left = list(ids)
    while left:
        wanted = NextTasksRequest(annotator=annotator, run_id=run_id, most=len(left), task_ids=left, skills=skills)
        found = tasks.NextTasks(wanted).tasks
        yield from found
        seen = {task.task_id for task in found}
        if not seen:
            return
        left = [one for one in left if one not in seen]


def compared(answers: Sequence[Answer], recorded: Mapping[Of, Choice]) -> tuple[list[Outcome], list[Answer]]:
    """What can be said of answers that the run's facts hold already, and the answers that are new.

    What is recorded stays, so an answer that says otherwise is refused.
    """
    said, new = list[Outcome](), list[Answer]()
    for answer in answers:
        before = recorded.get((answer.task_id, answer.annotator))
        if answer.choice is None or before is None:
            new.append(answer)
        elif before == answer.choice:
            said.append(Outcome(answer, KNOWN))
        else:
            why = f"{WORDS[before]} is recorded, {WORDS[answer.choice]} is said now: what is recorded stays"
            said.append(Outcome(answer, REFUSED, why))
    return said, new


def too_late(answers: Sequence[Answer], why: str) -> list[Outcome]:
    """What becomes of answers to a run that asks nobody any more."""
    return [Outcome(one, LEFT) if one.choice is None else Outcome(one, REFUSED, why) for one in answers]


def hand_in(tasks: TaskServiceStub, run_id: str, answers: Sequence[Answer]) -> Iterator[Outcome]:
    """Hands in what is answered and gives back what is not; what became of each. The same answers may come again."""
    for name in dict.fromkeys(answer.annotator for answer in answers):
        own = [answer for answer in answers if answer.annotator == name]
        given, left = _parted(own)
        for at in range(0, len(given), AT_ONCE):
            yield from _submitted(tasks, run_id, name, given[at : at + AT_ONCE])
        for ids in batches([answer.task_id for answer in left], AT_ONCE):
            tasks.ReturnTasks(ReturnTasksRequest(annotator=name, task_ids=ids, run_id=run_id))
        yield from (Outcome(answer, LEFT) for answer in left)


def _parted(answers: Sequence[Answer]) -> tuple[list[Answer], list[Answer]]:
    """(answered, not answered yet)."""
    return [one for one in answers if one.choice is not None], [one for one in answers if one.choice is None]


def _submitted(tasks: TaskServiceStub, run_id: str, name: str, answers: Sequence[Answer]) -> Iterator[Outcome]:
    ids = [answer.task_id for answer in answers]
    # A lease that ran out meanwhile is taken again, if its task is still free.
    tasks.NextTasks(NextTasksRequest(annotator=name, run_id=run_id, most=len(ids), task_ids=ids))
    said = SubmitAnnotationsRequest(annotator=name, run_id=run_id, answers=map(_given, answers))
    taken = tasks.SubmitAnnotations(said).answers
    for answer, one in zip(answers, taken, strict=True):
        yield Outcome(answer, REFUSED if one.refused else ANSWERED, why_not(one.refused))
    if refused := [answer.task_id for answer, one in zip(answers, taken, strict=True) if one.refused]:
        tasks.ReturnTasks(ReturnTasksRequest(annotator=name, task_ids=refused, run_id=run_id))


def why_not(refused: str) -> str:
    """The desk's reason, for somebody who did not ask the desk."""
    if "holds no lease" in refused:
        return "others have or hold all of its votes, or it was closed with its round, or it is none of this run"
    return refused


def _given(answer: Answer) -> GivenAnswer:
    common = {"task_id": answer.task_id, "seconds": answer.seconds, "revision": answer.revision}
    if answer.choice == SKIP:
        return GivenAnswer(comment=answer.comment or SKIPPED, **common)
    first, second = answer.marks
    said = {"choice": answer.choice, "first_mark": first, "second_mark": second, "swapped": answer.swapped}
    return GivenAnswer(comment=answer.comment, **said, **common)


def recorded(run_id: str, events: Sequence[Event]) -> dict[Of, Choice]:
    """What each annotator's answer to a task is by the run's facts; SKIP where it was skipped."""
    standing: dict[Of, Choice] = {}
    for event in events:
        match event.WhichOneof("kind"):
            case "annotation_submitted":
                said = event.annotation_submitted
                standing[task_id(run_id, event.unit), said.annotator] = said.choice
            case "task_skipped":
                standing[task_id(run_id, event.unit), event.task_skipped.annotator] = SKIP
            case "annotation_withdrawn":
                standing.pop((task_id(run_id, event.unit), event.annotation_withdrawn.annotator), None)
    return standing
