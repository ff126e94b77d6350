"""Leases: which annotator holds which vote of which task. Rows, not facts.

The table keeps overlap exact: the task's row is locked, its slots are counted, and a slot is inserted only below the
quorum. A lease that runs out frees its slot; an answer that was given never expires. The answer's event is stored with
the slot before it is appended, so that an answer whose append was lost is said again (`unsaid`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from services.kit.errors import Refused
from services.kit.store import METADATA, SqlStore, insert_for
from services.tasks.queue import TasksState, counted

# An answer that is not folded after so long is appended again.
SAY_AGAIN_S = 5.0


@dataclass(frozen=True)
class Slot:
    """One vote of one task, held by one annotator."""

    task_id: str
    run_id: str
    number: int
    pair_index: int
    vote: int
    annotator: str
    lease_until: float
    handed_at: float
    revision: int
    submitted: bool


class Slots(Protocol):
    """What the table of leases promises. Thread-safe; several replicas may share it."""

    def lease(self, annotator: str, run_id: str, now: float, lease_s: float) -> Slot | None:
        """The annotator's live lease, or a new one on the most useful task with a free slot that it never held."""

    def held(self, task_id: str, annotator: str) -> Slot | None:
        """The slot as this annotator holds it, whether its lease has run out or not."""

    def submit(self, slot: Slot, revision: int, said: bytes, now: float) -> None:
        """Stores the answer; raises Refused where the slot went to somebody else or another answer came first."""

    def free(self, slot: Slot) -> None:
        """Gives the slot back, after a withdrawal."""

    def unsaid(self, now: float) -> Sequence[tuple[str, bytes]]:
        """(run, event) of answers that are not folded though they were given a while ago."""

    def project(self, connection: Any, changes: Sequence[tuple[str, frozenset[str], TasksState | None]]) -> None:
        """Brings the offered tasks in line with what was folded; called inside the store's transaction."""

    def counts(self, run_id: str, now: float) -> tuple[int, int]:
        """(offered tasks, live leases) of a run."""


TASKS = sa.Table(
    "tasks",
    METADATA,
    sa.Column("run_id", sa.String(36), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("task_id", sa.String(36), nullable=False, unique=True),
    sa.Column("pair_index", sa.Integer, nullable=False),
    sa.Column("quorum", sa.Integer, nullable=False),
    sa.Column("offered", sa.Boolean, nullable=False),
    sa.Index("tasks_offered", "offered", "number"),
)
SLOTS = sa.Table(
    "slots",
    METADATA,
    sa.Column("task_id", sa.String(36), primary_key=True),
    sa.Column("vote", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String(36), nullable=False),
    sa.Column("annotator", sa.String(200), nullable=False),
    sa.Column("lease_until", sa.Float, nullable=False),
    sa.Column("handed_at", sa.Float, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("submitted", sa.Boolean, nullable=False),
    sa.Column("submitted_at", sa.Float, nullable=False),
    sa.Column("folded", sa.Boolean, nullable=False),
    sa.Column("said", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("task_id", "annotator"),
    sa.Index("slots_unsaid", "folded", "submitted"),
)


class SqlSlots:
    """The table in the store's own database."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        with store.begin() as connection:
            METADATA.create_all(connection)

    def lease(self, annotator: str, run_id: str, now: float, lease_s: float) -> Slot | None:
        offered = [TASKS.c.offered] + ([TASKS.c.run_id == run_id] if run_id else [])
        with self._store.begin() as connection:
            mine = sa.select(TASKS, SLOTS).join(SLOTS, SLOTS.c.task_id == TASKS.c.task_id)
            live = (SLOTS.c.annotator == annotator, ~SLOTS.c.submitted, SLOTS.c.lease_until > now)
            if row := connection.execute(mine.where(*offered, *live).limit(1)).first():
                return _slot(row)
            taken = sa.or_(SLOTS.c.submitted, SLOTS.c.lease_until > now)
            of_task = SLOTS.c.task_id == TASKS.c.task_id
            used = sa.select(sa.func.count()).where(of_task, taken).scalar_subquery()
            had = sa.exists().where(of_task, SLOTS.c.annotator == annotator, taken)
            query = sa.select(TASKS).where(*offered, used < TASKS.c.quorum, ~had).order_by(TASKS.c.number).limit(1)
            task = connection.execute(query.with_for_update(skip_locked=True)).first()
            return None if task is None else self._insert(connection, task, annotator, now, lease_s)

    def _insert(
        self, connection: sa.Connection, task: sa.Row, annotator: str, now: float, lease_s: float
    ) -> Slot | None:
        """The task's row is locked by now: the lowest free vote is given out, leases that ran out are swept away."""
        of_task = SLOTS.c.task_id == task.task_id
        connection.execute(sa.delete(SLOTS).where(of_task, ~SLOTS.c.submitted, SLOTS.c.lease_until <= now))
        votes = set(connection.scalars(sa.select(SLOTS.c.vote).where(of_task)))
        free = [vote for vote in range(task.quorum) if vote not in votes]
        if not free:
            return None
        row = {
            "task_id": task.task_id, "vote": free[0], "run_id": task.run_id, "annotator": annotator,
            "lease_until": now + lease_s, "handed_at": now, "revision": 0, "submitted": False, "submitted_at": 0.0,
            "folded": False, "said": b"",
        }  # fmt: skip
        connection.execute(sa.insert(SLOTS), row)
        return Slot(
            task.task_id, task.run_id, task.number, task.pair_index, free[0], annotator, now + lease_s, now, 0, False
        )

    def held(self, task_id: str, annotator: str) -> Slot | None:
        query = sa.select(TASKS, SLOTS).join(SLOTS, SLOTS.c.task_id == TASKS.c.task_id)
        with self._store.begin() as connection:
            row = connection.execute(query.where(SLOTS.c.task_id == task_id, SLOTS.c.annotator == annotator)).first()
        return _slot(row) if row else None

    def submit(self, slot: Slot, revision: int, said: bytes, now: float) -> None:
        mine = (SLOTS.c.task_id == slot.task_id, SLOTS.c.vote == slot.vote, SLOTS.c.annotator == slot.annotator)
        update = sa.update(SLOTS).where(*mine, SLOTS.c.revision < revision)
        values = {"revision": revision, "submitted": True, "submitted_at": now, "folded": False, "said": said}
        with self._store.begin() as connection:
            if connection.execute(update.values(values)).rowcount != 1:
                raise Refused("the lease ran out and the task went to somebody else, or a newer answer came first")

    def free(self, slot: Slot) -> None:
        mine = (SLOTS.c.task_id == slot.task_id, SLOTS.c.annotator == slot.annotator)
        with self._store.begin() as connection:
            connection.execute(sa.delete(SLOTS).where(*mine))

    def unsaid(self, now: float) -> Sequence[tuple[str, bytes]]:
        late = (SLOTS.c.submitted, ~SLOTS.c.folded, SLOTS.c.submitted_at < now - SAY_AGAIN_S)
        with self._store.begin() as connection:
            return [
                (row.run_id, row.said)
                for row in connection.execute(sa.select(SLOTS.c.run_id, SLOTS.c.said).where(*late))
            ]

    def project(self, connection: Any, changes: Sequence[tuple[str, frozenset[str], TasksState | None]]) -> None:
        for run_id, touched, state in changes:
            if state is None or "run" in touched:
                self._offer(connection, run_id, state)
            for name in touched:
                if state is not None and name.startswith("task/"):
                    self._mend(connection, state, int(name[5:]))

    def _offer(self, connection: sa.Connection, run_id: str, state: TasksState | None) -> None:
        """The run's stage or standing changed: withdraw what is gone, hold back what is paused."""
        if state is None or not state.tasks:
            connection.execute(sa.delete(TASKS).where(TASKS.c.run_id == run_id))
            connection.execute(sa.update(SLOTS).where(SLOTS.c.run_id == run_id).values(folded=True))
            return
        rows = [
            {"run_id": run_id, "number": n, "task_id": task.task_id, "pair_index": task.pair_index,
             "quorum": state.run.quorum, "offered": not (task.resolved or state.run.paused)}
            for n, task in state.tasks.items()
        ]  # fmt: skip
        upsert = insert_for(connection)(TASKS)
        fresh = {name: upsert.excluded[name] for name in ("task_id", "pair_index", "quorum", "offered")}
        connection.execute(upsert.on_conflict_do_update(index_elements=["run_id", "number"], set_=fresh), rows)

    def _mend(self, connection: sa.Connection, state: TasksState, number: int) -> None:
        task = state.tasks.get(number)
        if task is None:
            return
        of_task = SLOTS.c.task_id == task.task_id
        for answer in counted(task):
            folded = sa.update(SLOTS).where(
                of_task, SLOTS.c.annotator == answer.annotator, SLOTS.c.revision <= answer.revision
            )
            connection.execute(folded.values(folded=True))
        if task.resolved:
            connection.execute(sa.update(TASKS).where(TASKS.c.task_id == task.task_id).values(offered=False))
            connection.execute(sa.update(SLOTS).where(of_task).values(folded=True))

    def counts(self, run_id: str, now: float) -> tuple[int, int]:
        offered = sa.select(sa.func.count()).where(TASKS.c.run_id == run_id, TASKS.c.offered)
        live = sa.select(sa.func.count()).where(SLOTS.c.run_id == run_id, ~SLOTS.c.submitted, SLOTS.c.lease_until > now)
        with self._store.begin() as connection:
            return connection.scalar(offered) or 0, connection.scalar(live) or 0


def _slot(row: sa.Row) -> Slot:
    return Slot(
        row.task_id, row.run_id, row.number, row.pair_index, row.vote, row.annotator, row.lease_until, row.handed_at,
        row.revision, row.submitted,
    )  # fmt: skip
