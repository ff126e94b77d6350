"""Who is given which vote: what they hold already, then the lowest free votes of the most useful tasks that are new to them.

The tasks' rows are locked before their slots are counted, so that overlap is exact; a task that is locked at the moment is passed
over, so that annotators do not wait for each other.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from concord.kit.store.sql import upsert_all
from concord.tasks.leases import Round, Slot, Want, most_waiting
from concord.tasks.tables import (
    EXPIRE,
    FREE,
    FREE_FOR_ANY,
    FREE_OF,
    KEY,
    LIVE,
    LIVE_OF,
    LIVE_OF_ANY,
    ROUNDS,
    SLOTS,
    TAKEN_VOTES,
    VOTES,
)

# Free tasks that are looked at beyond those that are asked for: some of them were had already by who asks.
SPARE = 16


def give(
    connection: sa.Connection, wants: Sequence[Want], now: float, lease_s: float, since: float
) -> list[list[Slot]]:
    """What each of them holds, and new leases beside it: as `Slots.lease_together`, in one transaction.

    `since`: tasks that were opened before are passed over.
    """
    given: list[list[Slot]] = [[] for _ in wants]
    # Somebody who asks twice at once is given the same; so the second one looks after the first.
    alone = [at for at, want in enumerate(wants) if want.of or want.annotator in {one.annotator for one in wants[:at]}]
    shared: dict[str, list[int]] = {}
    for at, want in enumerate(wants):
        if at not in alone:
            shared.setdefault(want.run_id, []).append(at)
    _live(connection, wants, [at for ats in shared.values() for at in ats], given, now)
    for asked_of, ats in shared.items():
        # Whose look at a run may have passed over what is new to it.
        again: set[int] = set()
        for run_id in _runs(connection, asked_of, now):
            if lacking := [at for at in ats if len(given[at]) < wants[at].most]:
                again |= set(_share(connection, run_id, wants, lacking, given, now, lease_s, since))
        alone += [at for at in again if len(given[at]) < wants[at].most]
    for at in sorted(alone):
        given[at] = _alone(connection, wants[at], now, lease_s, since)
    return given


def _runs(connection: sa.Connection, asked_of: str, now: float) -> list[str]:
    """The runs that are looked through, in their order."""
    if asked_of:
        return [asked_of]
    taken = {row[0]: row[1] for row in connection.execute(TAKEN_VOTES, {"now": now})}
    rounds = connection.execute(ROUNDS).all()
    return most_waiting(Round(row[0], int(row[1]), int(row[2]) - taken.get(row[0], 0), row[3]) for row in rounds)


def _live(
    connection: sa.Connection, wants: Sequence[Want], ats: Sequence[int], given: list[list[Slot]], now: float
) -> None:
    """Adds what they hold already."""
    places = {wants[at].annotator: at for at in ats}
    if not places:
        return
    for row in connection.execute(LIVE_OF_ANY, {"annotators": sorted(places), "now": now}):
        at = places[row.annotator]
        if wants[at].run_id in ("", row.run_id) and len(given[at]) < wants[at].most:
            given[at].append(slot_of(row))


def _share(
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
    new, is_full = give_of(connection, tasks, asked, now, lease_s)
    for at in lacking:
        given[at] += new[wants[at].annotator]
    if len(tasks) < most and not is_full:
        return []
    return [at for at in lacking if len(given[at]) < wants[at].most]


def _alone(connection: sa.Connection, want: Want, now: float, lease_s: float, since: float) -> list[Slot]:
    """What one person holds, then the first free tasks that are new to it."""
    asked = {"of_annotator": want.annotator, "of_run": want.run_id, "now": now, "since": since}
    live, free = (LIVE_OF, FREE_OF) if want.of else (LIVE, FREE)
    asked |= {"of_tasks": list(want.of)} if want.of else {}
    given = [slot_of(row) for row in connection.execute(live, asked | {"most": want.most})]
    for run_id in [want.run_id] if want.of else _runs(connection, want.run_id, now):
        while (lacks := want.most - len(given)) > 0:
            if not (tasks := connection.execute(free, asked | {"of_run": run_id, "most": lacks}).all()):
                break
            new, _ = give_of(connection, tasks, [(want.annotator, lacks)], now, lease_s)
            given += new[want.annotator]
            if len(new[want.annotator]) == len(tasks):
                break
            # Another replica filled some of them between our look and our lock: they are seen to be full now.
    return given


def give_of(
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
    votes = votes_of(connection, ids) if tasks else {}
    given = _planned(tasks, votes, asked, now, lease_s)
    while gone := sorted({slot.task_id for slots in given.values() for slot in slots if _has_late(votes, slot, now)}):
        connection.execute(EXPIRE, [{"of_task": task_id, "now": now} for task_id in gone])
        # An answer that came late, but before this, keeps its vote.
        votes = votes_of(connection, ids)
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


def votes_of(connection: sa.Connection, task_ids: Sequence[str]) -> dict[str, list[sa.Row]]:
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


def slot_of(row: sa.Row) -> Slot:
    """A row of `slots` with its task's number and pair."""
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
