"""Answers on their way into the log: acknowledged once they stand there, together where they come together, never lost."""

import threading

import pytest

from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import Unavailable
from concord.kit.log.sqlite import SqliteLog
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.facts import entry_of
from concord.kit.store import Position, RunChange, SqlStore
from concord.kit.store.sql import open_engine
from concord.kit.together import Together
from concord.tasks import queue
from concord.tasks.answers import RESOLVED, Answers
from concord.tasks.headers import FRESH_S, Headers
from concord.tasks.leases import SAY_AGAIN_S
from concord.tasks.service import Tasks
from concord.tasks.slots import SqlSlots
from concord.v1.events_pb2 import Event, Stage, Unit
from concord.v1.pairs_pb2 import Pair, PairShard, PairsManifest, ShardRef
from concord.v1.tasks_service_pb2 import GetQueueRequest, GivenAnswer, NextTasksRequest
from tests.queue_world import FIRST, RUN, SECOND, opened
from tests.waiting import until

PLACE = fact_partition(RUN)
NOW = 101.0


class Desk:
    """A log, a table of leases and whoever takes answers in; `fold` is what the reactor would do."""

    def __init__(self, folder, **asked) -> None:
        self.log, self.store = SqliteLog(folder / "log.db"), SqlStore(open_engine(f"sqlite:///{folder}/store.db"))
        self.slots, self.state = SqlSlots(self.store, lambda: 0.0), opened(**asked)
        self.at, self.position = 0, Position()
        self._save(self.state, {"run", *map(queue.task_row, self.state.tasks)}, 0)
        self.answers = self.made(self.log)

    def made(self, log) -> Answers:
        """Another one over the same table."""
        return Answers(log, self.store, self.slots, Headers(self.store, "tasks", lambda: NOW), lambda: NOW, "tasks")

    def _save(self, state, touched, to: int) -> None:
        moved = Position(to, "log", queue.VERSION)
        rows = {name: queue.row(state, name) for name in touched}
        project = lambda connection: self.slots.project(connection, [(RUN, frozenset(touched), state)])  # noqa: E731
        self.store.save("tasks", PLACE, self.position, moved, [RunChange(RUN, True, rows)], project)
        self.position, self.state = moved, state

    def said(self) -> list[Event]:
        """What stands in the log, the first with an id."""
        events = [Event.FromString(record.value) for record in self.log.read(FACTS, PLACE, 0, 1_000)]
        return list({event.event_id: event for event in reversed(events)}.values())[::-1]

    def fold(self) -> None:
        records = self.log.read(FACTS, PLACE, self.position.next_offset, 1_000)
        events = [(Event.FromString(record.value), NOW) for record in records]
        self._save(*queue.evolve(self.state, events), self.position.next_offset + len(events))

    def lease(self, who: str) -> str:
        return self.slots.lease(who, RUN, NOW, 600.0)[0].task_id

    def give(self, who: str, task_id: str, choice: int = FIRST, **more):
        return self.answers.take(who, [GivenAnswer(task_id=task_id, choice=choice, **more)], RUN)[0]


def people(desk: Desk) -> set[str]:
    return {event.annotation_submitted.annotator for event in desk.said()}


def test_an_answer_is_acknowledged_once_it_stands_in_the_log_whoever_folds_it(tmp_path):
    desk = Desk(tmp_path)
    assert desk.give("ann", desk.lease("ann")).revision == 1
    assert people(desk) == {"ann"} and desk.position.next_offset == 0


def test_a_change_of_mind_waits_until_it_is_known_whether_it_counts(tmp_path):
    desk = Desk(tmp_path)
    task_id = desk.lease("ann")
    desk.give("ann", task_id)
    desk.fold()
    told = []
    asking = threading.Thread(target=lambda: told.append(desk.give("ann", task_id, SECOND)))
    asking.start()
    until(lambda: len(desk.said()) == 2, "the answer in the log")
    assert not told
    desk.fold()
    asking.join()
    assert told[0].revision == 2


def test_a_third_opinion_that_came_after_the_others_agreed_is_refused(tmp_path):
    desk = Desk(tmp_path, quorum=2, most_votes=3)
    task_id = desk.lease("ann")
    for who, choice in (("ann", FIRST), ("bob", SECOND)):
        assert desk.lease(who) == task_id
        desk.give(who, task_id, choice)
    desk.fold()
    assert desk.lease("cid") == task_id
    desk.log.append([entry_of(event) for event in resolved_of(desk)])
    desk.fold()
    assert desk.give("cid", task_id).refused == RESOLVED
    assert people(desk) == {"ann", "bob", ""}


def resolved_of(desk: Desk) -> list[Event]:
    """As if they had agreed after all."""
    task = desk.state.tasks[0]
    return [
        Event(
            event_id="00000000-0000-5000-8000-000000000001",
            run_id=RUN,
            unit=task.unit,
            task_resolved={"pair_index": task.pair_index},
        )
    ]


def test_somebody_who_is_set_aside_is_asked_nothing_more_and_others_are(tmp_path):
    desk, blobs, now = Desk(tmp_path), MemoryBlobs(), [NOW]
    shard = blobs.put(PairShard(pairs=[Pair(pair_id=f"pair {n}") for n in range(100)]).SerializeToString())
    desk.state.run.pairs_uri = blobs.put(
        PairsManifest(shards=[ShardRef(uri=shard, first_index=0, pairs=100)]).SerializeToString()
    )
    desk._save(desk.state, {"run"}, 0)
    tasks = Tasks(desk.log, desk.store, blobs, desk.slots, lambda: now[0], 600.0)

    def asked(who: str, **more) -> list[str]:
        return [one.task_id for one in tasks.NextTasks(NextTasksRequest(annotator=who, most=1, **more), None).tasks]

    (held,) = asked("ann", run_id=RUN)
    found = {"deviations": [{"annotator": "ann", "set_aside": True}, {"annotator": "bob"}]}
    unit = Unit(stage=Stage.STAGE_TRIAGE, round=1)
    desk.log.append([entry_of(Event(event_id=held, run_id=RUN, unit=unit, round_triaged=found))])
    desk.fold()
    now[0] += 2 * FRESH_S
    assert not asked("ann", run_id=RUN)
    assert tasks.GetQueue(GetQueueRequest(run_id=RUN, annotator="ann"), None).left == 0
    assert not desk.give("ann", held).refused, "what was held by then is taken"
    assert not asked("ann")
    assert asked("bob", run_id=RUN) == [held], "somebody who is only named is asked"
    (other,) = (task.task_id for task in desk.state.tasks.values() if task.place == 1)
    assert asked("ann", run_id=RUN, task_ids=[other]) == [other], "by its id, as from a file"


class Lossy:
    """A log that loses what is appended, as if the process had ended before."""

    def append(self, entries):
        raise Unavailable("the log does not answer")


def test_what_was_marked_and_not_appended_is_said_again_and_never_acknowledged_before(tmp_path):
    desk = Desk(tmp_path)
    task_id = desk.lease("ann")
    desk.answers = desk.made(Lossy())
    with pytest.raises(Unavailable):
        desk.give("ann", task_id, revision=1)
    assert not desk.said() and not desk.slots.unsaid(NOW + SAY_AGAIN_S)
    desk.answers = desk.made(desk.log)
    late = desk.slots.unsaid(NOW + SAY_AGAIN_S + 1)
    desk.log.append([entry_of(Event.FromString(said)) for _, said in late])
    assert people(desk) == {"ann"}
    # Whoever heard nothing sends it once more: it is the same fact.
    assert desk.give("ann", task_id, revision=1).revision == 1
    assert len(desk.said()) == 1
    desk.fold()
    assert not desk.slots.unsaid(NOW + SAY_AGAIN_S + 1)


def test_a_double_click_is_one_answer_and_both_clicks_hear_so(tmp_path):
    desk = Desk(tmp_path)
    task_id = desk.lease("ann")
    both, told = threading.Barrier(2), []

    def click() -> None:
        both.wait()
        told.append(desk.give("ann", task_id, revision=1))

    clicks = [threading.Thread(target=click) for _ in range(2)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert [(one.revision, one.refused) for one in told] == [(1, "")] * 2
    assert len(desk.said()) == 1


def test_many_at_once_each_stand_in_the_log_once(tmp_path):
    desk = Desk(tmp_path, quorum=12)
    leased = {f"person-{n}": desk.lease(f"person-{n}") for n in range(12)}
    threads = [threading.Thread(target=desk.give, args=one) for one in leased.items()]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert people(desk) == set(leased) and len(desk.said()) == 12


# ── together ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_those_who_come_while_one_is_served_are_served_together_and_each_hears_its_own():
    seen, go, begun = [], threading.Event(), threading.Event()

    def do(asked):
        seen.append(list(asked))
        begun.set()
        assert go.wait(60)
        return [f"to {one}" for one in asked]

    told: dict[int, str] = {}
    together = Together(do, 3)
    threads = [threading.Thread(target=lambda n=n: told.update({n: together(n)})) for n in range(6)]
    threads[0].start()
    assert begun.wait(60)
    for one in threads[1:]:
        one.start()
    until(lambda: len(together._waiting) == 5, "the others")
    go.set()
    for one in threads:
        one.join()
    assert told == {n: f"to {n}" for n in range(6)}
    assert seen[0] == [0] and sorted(map(len, seen)) == [1, 2, 3]


def test_what_fails_fails_for_those_who_were_served_together_and_for_nobody_after_them():
    def do(asked):
        if "bad" in asked:
            raise Unavailable("not now")
        return asked

    together = Together(do, 8)
    with pytest.raises(Unavailable):
        together("bad")
    assert together("good") == "good"
