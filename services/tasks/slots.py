"""Leases: which annotator holds which vote of which task. Rows, not facts.

A lease that runs out frees its vote; an answer that was given never expires. The answer's event is stored with the slot before it
is appended, so that an answer whose append was lost is said again (`unsaid`).

A row without a vote is a slot given back: it keeps the annotator's revision, so that a later answer is a new one. After
the table was lost the fold's answers come back as slots; leases that were out are unknown then, so tasks older than the
table wait for one lease term.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa

from concord.kit.store import SqlStore
from concord.kit.store.sql import insert_if_absent, upsert
from concord.tasks.following import follow
from concord.tasks.giving import give, slot_of, votes_of
from concord.tasks.leases import GOLD_VOTE, SAY_AGAIN_S, Given, Open, Progress, Slot, Want
from concord.tasks.queue import TasksState
from concord.tasks.tables import (
    ANSWERED,
    ANSWERED_BY,
    BORN,
    EXTEND,
    FULL_ONES,
    GIVEN_BACK,
    HELD_BY,
    HELD_BY_ANY,
    HOLDERS,
    KEY,
    KNOWN,
    LEFT,
    LOCK,
    OFFERED_NOW,
    OPEN,
    RETURN,
    SETTLED_LIVE,
    SLOTS,
    STANDING,
    STILL_LIVE,
    STORED,
    SUBMIT,
    TASKS,
    UNSAID,
)


class SqlSlots:
    """The table in the store's own database."""

    def __init__(self, store: SqlStore, clock: Callable[[], float] = time.time) -> None:
        """`clock` says when the table came to be, if this makes it."""
        self._store = store
        store.make_tables()
        with store.begin() as connection:
            insert_if_absent(connection, BORN, [{"number": 1, "born": clock()}])
            self._born = connection.scalar(sa.select(BORN.c.born)) or 0.0

    def lease(
        self, annotator: str, run_id: str, now: float, lease_s: float, most: int = 1, of: Sequence[str] = ()
    ) -> list[Slot]:
        return self.lease_together([Want(annotator, run_id, most, tuple(of))], now, lease_s)[0]

    def lease_together(self, wants: Sequence[Want], now: float, lease_s: float) -> list[list[Slot]]:
        # Of leases from before the table was made nothing is known.
        since = self._born if now < self._born + lease_s else 0.0
        with self._store.begin() as connection:
            return give(connection, wants, now, lease_s, since)

    def _held(self, connection: sa.Connection, task_ids: Sequence[str], annotator: str) -> dict[str, Slot]:
        rows = connection.execute(HELD_BY, {"of_tasks": list(task_ids), "of_annotator": annotator})
        return {row.task_id: slot_of(row) for row in rows if row.vote is not None}

    def held(self, task_ids: Sequence[str], annotator: str) -> dict[str, Slot]:
        with self._store.begin(reads=True) as connection:
            return self._held(connection, task_ids, annotator)

    def held_by(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], Slot]:
        wanted = {
            "of_tasks": sorted({task_id for task_id, _ in places}),
            "annotators": sorted({who for _, who in places}),
        }
        with self._store.begin(reads=True) as connection:
            rows = connection.execute(HELD_BY_ANY, wanted).all()
        held = {(row.task_id, row.annotator): slot_of(row) for row in rows if row.vote is not None}
        return {place: held[place] for place in places if place in held}

    def submit(self, answers: Sequence[Given], now: float) -> list[bool]:
        if not answers:
            return []
        values = {"submitted": True, "submitted_at": now, "folded": False}
        rows = [
            {"of_task": slot.task_id, "of_vote": slot.vote, "of_annotator": slot.annotator, "below": revision}
            | {"revision": revision, "said": said}
            | values
            for slot, revision, said in answers
        ]
        # In the order of their tasks, as everybody locks slots, so that no two wait for each other.
        rows.sort(key=lambda row: (row["of_task"], row["of_annotator"]))
        with self._store.begin() as connection:
            if connection.execute(SUBMIT, rows).rowcount == len(rows):
                return [True] * len(rows)
            # Which of them were overtaken; the same answer that came at the same time stands there as well.
            found = connection.execute(STORED, {"of_tasks": sorted({slot.task_id for slot, _, _ in answers})})
            stand = {(row.task_id, row.annotator, row.vote, row.revision, bytes(row.said)) for row in found}
        return [(slot.task_id, slot.annotator, slot.vote, revision, said) in stand for slot, revision, said in answers]

    def return_(self, task_ids: Sequence[str], annotator: str, run_id: str = "") -> None:
        with self._store.begin() as connection:
            connection.execute(RETURN, {"of_tasks": list(task_ids), "of_annotator": annotator, "of_run": run_id})

    def gold(self, annotator: str, run_id: str, task_ids: Sequence[str], now: float, lease_s: float) -> Slot | None:
        mine = {"of_run": run_id, "of_annotator": annotator, "now": now}
        with self._store.begin() as connection:
            if live := connection.execute(SETTLED_LIVE, mine).first():
                return slot_of(live)
            # Nobody else is given a vote on them meanwhile.
            connection.execute(LOCK, {"of_tasks": list(task_ids)})
            known = connection.execute(KNOWN, {"of_tasks": list(task_ids)})
            had = {row.task_id for row in known if row.annotator == annotator}
            fresh = next((task_id for task_id in task_ids if task_id not in had), None)
            if fresh is None:
                return None
            held = votes_of(connection, [fresh]).get(fresh, [])
            vote = max([GOLD_VOTE - 1, *(row.vote for row in held if row.vote is not None)]) + 1
            row = {
                **GIVEN_BACK,
                **{"task_id": fresh, "annotator": annotator, "run_id": run_id, "vote": vote, "revision": 0},
                **{"submitted_at": 0.0, "said": b"", "lease_until": now + lease_s, "handed_at": now, "folded": False},
            }
            connection.execute(upsert(connection, SLOTS, KEY, ("vote", "lease_until", "handed_at")), [row])
            return self._held(connection, [fresh], annotator).get(fresh)

    def extend(self, task_ids: Sequence[str], annotator: str, run_id: str, now: float, until: float) -> list[str]:
        mine = {"of_tasks": list(task_ids), "of_annotator": annotator, "of_run": run_id, "now": now}
        with self._store.begin() as connection:
            connection.execute(EXTEND, mine | {"until": until})
            return list(connection.scalars(STILL_LIVE, mine))

    def of_annotator(self, run_id: str, annotator: str, now: float) -> tuple[int, int]:
        mine = {"of_run": run_id, "of_annotator": annotator, "now": now}
        with self._store.begin(reads=True) as connection:
            return connection.scalar(ANSWERED, mine) or 0, connection.scalar(LEFT, mine) or 0

    def progress(self, run_id: str, now: float) -> Progress:
        mine = {"of_run": run_id, "now": now}
        with self._store.begin(reads=True) as connection:
            answered = {row[0]: row[1] for row in connection.execute(ANSWERED_BY, mine)}
            standing = connection.execute(STANDING, mine).all()
            offered, full = connection.scalar(OFFERED_NOW, mine) or 0, connection.scalar(FULL_ONES, mine) or 0
        gave, holds = {row[0]: int(row[1]) for row in standing}, {row[0]: int(row[2]) for row in standing}
        return Progress(offered, full, answered, gave, holds)

    def open(self, run_id: str, now: float, after: int, most: int) -> list[Open]:
        with self._store.begin(reads=True) as connection:
            tasks = connection.execute(OPEN, {"of_run": run_id, "after": after, "most": most}).all()
            held = connection.execute(HOLDERS, {"of_tasks": [task.task_id for task in tasks], "now": now}).all()
        holders: defaultdict[str, list[sa.Row]] = defaultdict(list)
        for row in held:
            holders[row.task_id].append(row)
        return [
            Open(
                task.task_id,
                task.number,
                task.pair_index,
                task.quorum,
                tuple(row.annotator for row in holders[task.task_id] if row.submitted),
                tuple(row.annotator for row in holders[task.task_id] if not row.submitted),
            )
            for task in tasks
        ]

    def unsaid(self, now: float) -> Sequence[tuple[str, bytes]]:
        with self._store.begin(reads=True) as connection:
            late = connection.execute(UNSAID, {"before": now - SAY_AGAIN_S})
            return [(row.run_id, row.said) for row in late]

    def project(self, connection: Any, changes: Sequence[tuple[str, frozenset[str], TasksState | None]]) -> None:
        follow(connection, changes)

    def counts(self, run_id: str, now: float) -> tuple[int, int]:
        offered = sa.select(sa.func.count()).where(TASKS.c.run_id == run_id, TASKS.c.offered)
        live = sa.select(sa.func.count()).where(SLOTS.c.run_id == run_id, ~SLOTS.c.submitted, SLOTS.c.lease_until > now)
        with self._store.begin(reads=True) as connection:
            return connection.scalar(offered) or 0, connection.scalar(live) or 0
