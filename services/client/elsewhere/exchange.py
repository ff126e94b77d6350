"""A run's questions in a Label Studio project, kept in step: answers come back, open questions go there, what is over goes away.

All of it may be done again, and after a kill anywhere: our tasks are known there by their ids.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from concord.client.elsewhere import held, label_studio
from concord.client.elsewhere.held import REFUSED, Answer, Of, Outcome
from concord.client.run.answers import Choice
from concord.client.run.desk import batches
from concord.v1.runs_service_pb2 import RunView
from concord.v1.tasks_service_pb2 import ReturnTasksRequest
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub

NOTHING_SAID = "neither a side nor a tie is chosen in it; choose one there, or skip the task"


class Place(Protocol):
    """Where the tasks are put: Label Studio."""

    def find_project(self, title: str) -> int | None: ...

    def make_project(self, said: Mapping[str, Any]) -> int: ...

    def add_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> int: ...

    def tasks(self, project: int) -> Any: ...

    def task(self, number: int) -> Mapping[str, Any] | None: ...

    def delete_task(self, number: int) -> None: ...


@dataclass(frozen=True)
class Exchanged:
    """What one exchange came to."""

    project: int
    outcomes: Sequence[Outcome]
    pushed: int
    deleted: int
    # Votes that are held for whoever annotates there.
    open: int


def holders(quorum: int) -> list[str]:
    """Under which names votes are held for people of whom nobody knows yet who they are: one for each vote."""
    return [f"label-studio-vote-{number}" for number in range(quorum)]


def exchange(
    place: Place,
    tasks: TaskServiceStub,
    view: RunView,
    recorded: Mapping[Of, Choice],
    alias: Callable[[str], str],
    most: int,
    hold_s: float,
    skills: Sequence[str] = (),
) -> Exchanged:
    """Brings back what was annotated, holds up to `most` open tasks and puts them there, and takes out what is over untouched.

    `most` 0: everything that is not answered goes back to the pool. `alias`: the pseudonym of a name. `skills`: what all who
    annotate there bring, so that only tasks are put there that need nothing else; none: all tasks, each with what it needs.
    """
    names = holders(max(1, view.config.quorum))
    project = place.find_project(label_studio.title(view.run_id))
    if project is None:
        project = place.make_project(label_studio.project(view.run_id, view.input_name, len(names)))
    there = label_studio.ours(place.tasks(project))
    outcomes = _brought(tasks, view.run_id, there, recorded, alias, names)
    if not most:
        for name in names:
            _return(tasks, view.run_id, name, list(there))
    held_now = {
        task.task_id: task
        for name in names
        if most
        for task in held.hold(tasks, view.run_id, name, most, hold_s, skills)
    }
    new = [label_studio.data_of(task) for task_id, task in held_now.items() if task_id not in there]
    pushed = place.add_tasks(project, new) if new else 0
    over = [task for task_id, task in there.items() if task_id not in held_now and label_studio.is_untouched(task)]
    for name in names:
        _return(tasks, view.run_id, name, [task["data"][label_studio.KEY] for task in over])
    late = _taken_out(place, [int(task["id"]) for task in over])
    outcomes += _brought(tasks, view.run_id, late, recorded, alias, names)
    return Exchanged(project, outcomes, pushed, len(over) - len(late), len(held_now))


def _taken_out(place: Place, numbers: Sequence[int]) -> dict[str, Mapping[str, Any]]:
    """Takes these tasks out, but for those that somebody annotated since they were read: these are the answer, and stay.

    Each is read once more just before. Label Studio deletes a task whatever its state, so an annotation that is saved between
    this look and the deletion goes with it.
    """
    late = []
    for number in numbers:
        now = place.task(number)
        if now is not None and label_studio.is_untouched(now):
            place.delete_task(number)
        elif now is not None:
            late.append(now)
    return label_studio.ours(late)


def _brought(
    tasks: TaskServiceStub,
    run_id: str,
    there: Mapping[str, Mapping[str, Any]],
    recorded: Mapping[Of, Choice],
    alias: Callable[[str], str],
    names: Sequence[str],
) -> list[Outcome]:
    """Hands in what was annotated; the votes that were held for it are given back just before."""
    found = [
        replace(one, annotator=alias(one.annotator)) for task in there.values() for one in label_studio.answers_of(task)
    ]
    outcomes = [Outcome(one, REFUSED, NOTHING_SAID) for one in found if one.choice is None]
    said, new = held.compared([one for one in found if one.choice is not None], recorded)
    for name in names:
        _return(tasks, run_id, name, list(dict.fromkeys(one.task_id for one in new)))
    first, again = _once(new)
    return [*outcomes, *said, *again, *held.hand_in(tasks, run_id, first)]


def _once(answers: Sequence[Answer]) -> tuple[list[Answer], list[Outcome]]:
    """What each person says of each task first, and what becomes of the rest."""
    first: dict[Of, Answer] = {}
    again = list[Outcome]()
    for one in answers:
        if (key := (one.task_id, one.annotator)) in first:
            again.append(Outcome(one, REFUSED, f"the same person annotated it before ({first[key].place})"))
        else:
            first[key] = one
    return list(first.values()), again


def _return(tasks: TaskServiceStub, run_id: str, name: str, task_ids: Sequence[str]) -> None:
    for ids in batches(task_ids, held.AT_ONCE):
        tasks.ReturnTasks(ReturnTasksRequest(annotator=name, task_ids=ids, run_id=run_id))
