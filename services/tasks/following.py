"""The tables of tasks and slots follow the fold: what is offered, how wide each task is, and whose vote is whose.

All of it in the transaction that saves the fold's rows.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from concord.kit.store.sql import upsert
from concord.tasks.queue import TasksState, is_closed, slots_of
from concord.tasks.tables import (
    ALL_FOLDED,
    FOLDED,
    FREE_VOTE,
    GIVE_BACK,
    GIVEN_BACK,
    KEY,
    KNOWN,
    LOCK,
    SLOTS,
    TASKS,
    WIDEN,
    WITHDRAW,
)
from concord.v1.snapshot_pb2 import Answer, TaskSnapshot


def follow(connection: Any, changes: Sequence[tuple[str, frozenset[str], TasksState | None]]) -> None:
    """Takes over what changed: (run, names of its rows that changed, its state after). As `Slots.project`."""
    for run_id, touched, state in changes:
        if state is None or "run" in touched:
            _offer(connection, run_id, state)
        tasks = [state.tasks.get(int(name[5:])) for name in touched if name.startswith("task/")] if state else []
        if state and (changed := [task for task in tasks if task is not None]):
            _mend(connection, state, changed)
            if state.run.most_votes:
                widths = [{"of_task": task.task_id, "persons": slots_of(state, task)} for task in changed]
                connection.execute(WIDEN, sorted(widths, key=lambda width: str(width["of_task"])))


def _offer(connection: sa.Connection, run_id: str, state: TasksState | None) -> None:
    """The run's stage or standing changed: withdraw what is gone, hold back what is paused.

    A state of None will be folded again: what is not said yet stays to be said.
    """
    if state is None or not state.tasks:
        connection.execute(sa.delete(TASKS).where(TASKS.c.run_id == run_id))
        if state is not None:
            connection.execute(sa.update(SLOTS).where(SLOTS.c.run_id == run_id).values(folded=True))
        return
    rows = [
        {
            "run_id": run_id,
            "number": n,
            "task_id": task.task_id,
            "pair_index": task.pair_index,
            "quorum": slots_of(state, task),
            "offered": not (task.resolved or state.run.paused),
            "opened_at": state.run.opened_at,
        }
        for n, task in state.tasks.items()
    ]
    # An earlier stage may have had more tasks than this one.
    connection.execute(sa.delete(TASKS).where(TASKS.c.run_id == run_id, TASKS.c.number >= len(rows)))
    fresh = tuple(name for name in rows[0] if name not in ("run_id", "number"))
    connection.execute(upsert(connection, TASKS, ("run_id", "number"), fresh), rows)


def _mend(connection: sa.Connection, state: TasksState, tasks: Sequence[TaskSnapshot]) -> None:
    """Slots follow the fold, but for what they know already and the fold does not: a newer answer, or, where the log is folded
    anew, a slot given back whose withdrawal comes later."""
    tasks = sorted(tasks, key=lambda task: task.task_id)
    # Nobody is given a vote meanwhile.
    connection.execute(LOCK, {"of_tasks": [task.task_id for task in tasks]})
    resolved = [{"of_task": task.task_id} for task in tasks if task.resolved]
    if resolved:
        connection.execute(WITHDRAW, resolved)
    rows = connection.execute(KNOWN, {"of_tasks": [task.task_id for task in tasks]})
    known = {(row.task_id, row.annotator): row for row in rows}
    folded = []
    for task in tasks:
        for answer in task.answers:
            mine = known.get((task.task_id, answer.annotator))
            if mine is None or mine.revision < answer.revision:
                _restore(connection, state.run_id, task.task_id, answer)
            elif mine.submitted and answer.withdrawn:
                _give_back(connection, task.task_id, answer.annotator, answer.revision)
            elif mine.submitted and mine.revision == answer.revision:
                # By its revision: a newer answer may come in right now, and is still to be said.
                folded.append(
                    {"of_task": task.task_id, "of_annotator": answer.annotator, "of_revision": answer.revision}
                )
    if folded:
        connection.execute(FOLDED, folded)
    # What comes too late need not be said again.
    if late := [{"of_task": task.task_id} for task in tasks if is_closed(state, task)]:
        connection.execute(ALL_FOLDED, late)


def _restore(connection: sa.Connection, run_id: str, task_id: str, answer: Answer) -> None:
    """The table was lost: what is counted holds its vote again, what was withdrawn keeps its revision."""
    held: dict[str, Any] = {"revision": answer.revision}
    if not answer.withdrawn:
        taken = {"of_task": task_id, "of_vote": answer.vote, "of_annotator": answer.annotator}
        connection.execute(FREE_VOTE, taken)
        held |= {"vote": answer.vote, "submitted": True, "folded": True}
    row = {
        **GIVEN_BACK,
        "task_id": task_id,
        "annotator": answer.annotator,
        "run_id": run_id,
        "handed_at": 0.0,
        "submitted_at": 0.0,
        "said": b"",
        **held,
    }
    connection.execute(upsert(connection, SLOTS, KEY, tuple(held), unless_below="revision"), row)
    if answer.withdrawn:
        _give_back(connection, task_id, answer.annotator, answer.revision)


def _give_back(connection: sa.Connection, task_id: str, annotator: str, revision: int) -> None:
    """A lease that the annotator took since then stays as well: it is not submitted."""
    connection.execute(GIVE_BACK, {"of_task": task_id, "of_annotator": annotator, "up_to": revision})
