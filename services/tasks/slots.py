"""Leases: which annotator holds which vote of which task. Rows, not facts.

The table keeps overlap exact: the task's row is locked, then its slots are counted, and a slot is given only below the
quorum. A task that is locked at the moment is passed over, so annotators do not wait for each other; who gets nothing
asks again. A lease that runs out frees its vote; an answer that was given never expires. The answer's event is stored with
the slot before it is appended, so that an answer whose append was lost is said again (`unsaid`).

A row without a vote is a slot given back: it keeps the annotator's revision, so that a later answer is a new one. After
the table was lost the fold's answers come back as slots; leases that were out are unknown then, so tasks older than the
table wait for one lease term.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from concord.kit.store import SqlStore
from concord.kit.store.sql import insert_if_absent, upsert, upsert_all
from concord.tasks.leases import GOLD_VOTE, SAY_AGAIN_S, Given, Open, Progress, Round, Slot, Want, most_waiting
from concord.tasks.queue import TasksState, is_closed, slots_of
from concord.tasks.tables import (
    ALL_FOLDED,
    ANSWERED,
    ANSWERED_BY,
    BORN,
    EXPIRE,
    EXTEND,
    FOLDED,
    FREE,
    FREE_FOR_ANY,
    FREE_OF,
    FREE_VOTE,
    FULL_ONES,
    GIVE_BACK,
    GIVEN_BACK,
    HELD_BY,
    HELD_BY_ANY,
    HOLDERS,
    KEY,
    KNOWN,
    LEFT,
    LIVE,
    LIVE_OF,
    LIVE_OF_ANY,
    LOCK,
    OFFERED_NOW,
    OPEN,
    RETURN,
    ROUNDS,
    SETTLED_LIVE,
    SLOTS,
    STANDING,
    STILL_LIVE,
    STORED,
    SUBMIT,
    TAKEN_VOTES,
    TASKS,
    UNSAID,
    VOTES,
    WIDEN,
    WITHDRAW,
)
from concord.v1.snapshot_pb2 import Answer, TaskSnapshot

# Free tasks that are looked at beyond those that are asked for: some of them were had already by who asks.
SPARE = 16


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
        since = self._born if now < self._born + lease_s else 0.0
        given: list[list[Slot]] = [[] for _ in wants]
        # Somebody who asks twice at once is given the same; so the second one looks after the first.
        alone = [
            at for at, want in enumerate(wants) if want.of or want.annotator in {one.annotator for one in wants[:at]}
        ]
        shared: dict[str, list[int]] = {}
        for at, want in enumerate(wants):
            if at not in alone:
                shared.setdefault(want.run_id, []).append(at)
        with self._store.begin() as connection:
            self._live(connection, wants, [at for ats in shared.values() for at in ats], given, now)
            for asked_of, ats in shared.items():
                # Whose look at a run may have passed over what is new to it.
                again: set[int] = set()
                for run_id in self._runs(connection, asked_of, now):
                    if lacking := [at for at in ats if len(given[at]) < wants[at].most]:
                        again |= set(self._share(connection, run_id, wants, lacking, given, now, lease_s, since))
                alone += [at for at in again if len(given[at]) < wants[at].most]
            for at in sorted(alone):
                given[at] = self._alone(connection, wants[at], now, lease_s, since)
        return given

    def _runs(self, connection: sa.Connection, asked_of: str, now: float) -> list[str]:
        """The runs that are looked through, in their order."""
        if asked_of:
            return [asked_of]
        taken = {row[0]: row[1] for row in connection.execute(TAKEN_VOTES, {"now": now})}
        rounds = connection.execute(ROUNDS).all()
        return most_waiting(Round(row[0], int(row[1]), int(row[2]) - taken.get(row[0], 0), row[3]) for row in rounds)

    def _live(
        self, connection: sa.Connection, wants: Sequence[Want], ats: Sequence[int], given: list[list[Slot]], now: float
    ) -> None:
        """Adds what they hold already."""
        places = {wants[at].annotator: at for at in ats}
        if not places:
            return
        for row in connection.execute(LIVE_OF_ANY, {"annotators": sorted(places), "now": now}):
            at = places[row.annotator]
            if wants[at].run_id in ("", row.run_id) and len(given[at]) < wants[at].most:
                given[at].append(_slot(row))

    def _share(
        self,
        connection: sa.Connection,
        run_id: str,
        wants: Sequence[Want],
        lacking: Sequence[int],
        given: list[list[Slot]],
        now: float,
        lease_s: float,
        since: float,
    ) -> list[int]:
        """One look at free tasks for all of them; those for whom a look of their own may find more."""
        most = sum(wants[at].most - len(given[at]) for at in lacking) + SPARE
        tasks = connection.execute(FREE_FOR_ANY, {"of_run": run_id, "now": now, "since": since, "most": most}).all()
        asked = [(wants[at].annotator, wants[at].most - len(given[at])) for at in lacking]
        new, is_full = self._give(connection, tasks, asked, now, lease_s)
        for at in lacking:
            given[at] += new[wants[at].annotator]
        if len(tasks) < most and not is_full:
            return []
        return [at for at in lacking if len(given[at]) < wants[at].most]

    def _alone(self, connection: sa.Connection, want: Want, now: float, lease_s: float, since: float) -> list[Slot]:
        """What one person holds, then the first free tasks that are new to it."""
        asked = {"of_annotator": want.annotator, "of_run": want.run_id, "now": now, "since": since}
        live, free = (LIVE_OF, FREE_OF) if want.of else (LIVE, FREE)
        asked |= {"of_tasks": list(want.of)} if want.of else {}
        given = [_slot(row) for row in connection.execute(live, asked | {"most": want.most})]
        for run_id in [want.run_id] if want.of else self._runs(connection, want.run_id, now):
            while (lacks := want.most - len(given)) > 0:
                if not (tasks := connection.execute(free, asked | {"of_run": run_id, "most": lacks}).all()):
                    break
                new, _ = self._give(connection, tasks, [(want.annotator, lacks)], now, lease_s)
                given += new[want.annotator]
                if len(new[want.annotator]) == len(tasks):
                    break
                # Another replica filled some of them between our look and our lock: they are seen to be full now.
        return given

    def _give(
        self,
        connection: sa.Connection,
        tasks: Sequence[sa.Row],
        asked: Sequence[tuple[str, int]],
        now: float,
        lease_s: float,
    ) -> tuple[dict[str, list[Slot]], bool]:
        """(annotator, how many) each → the first of these tasks that are new to it; and whether one of them was full by now.

        The tasks' rows are locked by now: leases that ran out lose their votes, the lowest free votes are given out.
        """
        ids = [task.task_id for task in tasks]
        # Counted only now, under the lock: what was seen before may be out of date. Most tasks are new to everybody.
        votes = _votes(connection, ids) if tasks else {}
        given = _planned(tasks, votes, asked, now, lease_s)
        while gone := sorted(
            {slot.task_id for slots in given.values() for slot in slots if _has_late(votes, slot, now)}
        ):
            connection.execute(EXPIRE, [{"of_task": task_id, "now": now} for task_id in gone])
            # An answer that came late, but before this, keeps its vote.
            votes = _votes(connection, ids)
            given = _planned(tasks, votes, asked, now, lease_s)
        is_full = any(sum(_is_taken(row, now) for row in votes.get(task.task_id, ())) >= task.quorum for task in tasks)
        new = sorted((slot for slots in given.values() for slot in slots), key=lambda slot: slot.task_id)
        rows = [
            {
                "task_id": slot.task_id,
                "annotator": slot.annotator,
                "run_id": slot.run_id,
                "revision": slot.revision,
                "submitted": False,
                "submitted_at": 0.0,
                "folded": False,
                "said": slot.said,
                "vote": slot.vote,
                "lease_until": slot.lease_until,
                "handed_at": now,
            }
            for slot in new
        ]
        upsert_all(connection, SLOTS, KEY, ("vote", "lease_until", "handed_at"), rows)
        return given, is_full

    def _held(self, connection: sa.Connection, task_ids: Sequence[str], annotator: str) -> dict[str, Slot]:
        rows = connection.execute(HELD_BY, {"of_tasks": list(task_ids), "of_annotator": annotator})
        return {row.task_id: _slot(row) for row in rows if row.vote is not None}

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
        held = {(row.task_id, row.annotator): _slot(row) for row in rows if row.vote is not None}
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
                return _slot(live)
            # Nobody else is given a vote on them meanwhile.
            connection.execute(LOCK, {"of_tasks": list(task_ids)})
            known = connection.execute(KNOWN, {"of_tasks": list(task_ids)})
            had = {row.task_id for row in known if row.annotator == annotator}
            fresh = next((task_id for task_id in task_ids if task_id not in had), None)
            if fresh is None:
                return None
            held = _votes(connection, [fresh]).get(fresh, [])
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

    def _give_back(self, connection: sa.Connection, task_id: str, annotator: str, revision: int) -> None:
        """A lease that the annotator took since then stays as well: it is not submitted."""
        connection.execute(GIVE_BACK, {"of_task": task_id, "of_annotator": annotator, "up_to": revision})

    def unsaid(self, now: float) -> Sequence[tuple[str, bytes]]:
        with self._store.begin(reads=True) as connection:
            late = connection.execute(UNSAID, {"before": now - SAY_AGAIN_S})
            return [(row.run_id, row.said) for row in late]

    def project(self, connection: Any, changes: Sequence[tuple[str, frozenset[str], TasksState | None]]) -> None:
        for run_id, touched, state in changes:
            if state is None or "run" in touched:
                self._offer(connection, run_id, state)
            tasks = [state.tasks.get(int(name[5:])) for name in touched if name.startswith("task/")] if state else []
            if state and (changed := [task for task in tasks if task is not None]):
                self._mend(connection, state, changed)
                if state.run.most_votes:
                    widths = [{"of_task": task.task_id, "persons": slots_of(state, task)} for task in changed]
                    connection.execute(WIDEN, sorted(widths, key=lambda width: str(width["of_task"])))

    def _offer(self, connection: sa.Connection, run_id: str, state: TasksState | None) -> None:
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

    def _mend(self, connection: sa.Connection, state: TasksState, tasks: Sequence[TaskSnapshot]) -> None:
        """Slots follow the fold, but for what they know already and the fold does not: a slot given back by now, whose
        withdrawal is still to be folded, or a newer answer."""
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
                    self._restore(connection, state.run_id, task.task_id, answer)
                elif mine.submitted and answer.withdrawn:
                    self._give_back(connection, task.task_id, answer.annotator, answer.revision)
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

    def _restore(self, connection: sa.Connection, run_id: str, task_id: str, answer: Answer) -> None:
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
            self._give_back(connection, task_id, answer.annotator, answer.revision)

    def counts(self, run_id: str, now: float) -> tuple[int, int]:
        offered = sa.select(sa.func.count()).where(TASKS.c.run_id == run_id, TASKS.c.offered)
        live = sa.select(sa.func.count()).where(SLOTS.c.run_id == run_id, ~SLOTS.c.submitted, SLOTS.c.lease_until > now)
        with self._store.begin(reads=True) as connection:
            return connection.scalar(offered) or 0, connection.scalar(live) or 0


def _votes(connection: sa.Connection, task_ids: Sequence[str]) -> dict[str, list[sa.Row]]:
    """Task → the rows of its slots; a task without rows is not among its keys."""
    votes: defaultdict[str, list[sa.Row]] = defaultdict(list)
    for row in connection.execute(VOTES, {"of_tasks": list(task_ids)}):
        votes[row.task_id].append(row)
    return votes


def _is_taken(row: sa.Row, now: float) -> bool:
    """Whether the slot holds a vote that nobody else may be given."""
    return row.vote is not None and (row.submitted or row.lease_until > now)


def _has_late(votes: Mapping[str, Sequence[sa.Row]], slot: Slot, now: float) -> bool:
    """Whether a lease on the slot's task ran out and holds its vote still."""
    return any(row.vote is not None and not _is_taken(row, now) for row in votes.get(slot.task_id, ()))


def _planned(
    tasks: Sequence[sa.Row],
    votes: Mapping[str, Sequence[sa.Row]],
    asked: Sequence[tuple[str, int]],
    now: float,
    lease_s: float,
) -> dict[str, list[Slot]]:
    """Who is to be given what: each in turn the first tasks that are new to it, and of a task the lowest free vote."""
    given: dict[str, list[Slot]] = {annotator: [] for annotator, _ in asked}
    taken = {task_id: {row.vote for row in own if _is_taken(row, now)} for task_id, own in votes.items()}
    for annotator, most in asked:
        for task in tasks:
            if len(given[annotator]) == most:
                break
            held = taken.setdefault(task.task_id, set())
            mine = next((row for row in votes.get(task.task_id, ()) if row.annotator == annotator), None)
            if (mine is not None and _is_taken(mine, now)) or len(held) >= task.quorum:
                continue
            vote = next(vote for vote in range(task.quorum) if vote not in held)
            held.add(vote)
            place = (task.task_id, task.run_id, task.number, task.pair_index, vote, annotator)
            before = (mine.revision, False, mine.said) if mine is not None else (0, False, b"")
            given[annotator].append(Slot(*place, now + lease_s, now, *before))
    return given


def _slot(row: sa.Row) -> Slot:
    return Slot(
        row.task_id,
        row.run_id,
        row.number,
        row.pair_index,
        row.vote,
        row.annotator,
        row.lease_until,
        row.handed_at,
        row.revision,
        row.submitted,
        row.said,
    )
