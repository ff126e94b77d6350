"""One contract for all tables of leases: overlap is exact, and no answer is forgotten."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from concord.kit.ids import run_id
from concord.kit.store import SqlStore
from concord.kit.store.sql import open_engine
from concord.tasks import queue
from concord.tasks.giving import give_of
from concord.tasks.leases import GOLD_VOTE, SAY_AGAIN_S, Slot, Want
from concord.tasks.slots import SqlSlots
from concord.tasks.tables import FREE, SLOTS, TASKS
from concord.v1.events_pb2 import Event, Stage
from tests.queue_world import FIRST, RUN, SECOND, TIE, due, hear, judged, opened, withdrawn
from tests.simulation.memory_slots import MemorySlots

LEASE_S = 60.0
# When the stage of the tests was opened.
OPENED = 100.0


class Table:
    """A table of leases beside the queue that it follows."""

    def __init__(self, slots, begin) -> None:
        self.slots, self._begin = slots, begin

    def follow(self, state, touched=None) -> None:
        names = frozenset(touched) if touched is not None else frozenset({"run", *map(queue.task_row, state.tasks)})
        with self._begin() as connection:
            self.slots.project(connection, [(RUN, names, state)])

    def forget(self) -> None:
        with self._begin() as connection:
            self.slots.project(connection, [(RUN, frozenset(), None)])

    def lease(self, who: str, now: float = OPENED + 1, run_id: str = "") -> Slot | None:
        return next(iter(self.slots.lease(who, run_id, now, LEASE_S)), None)

    def held(self, task_id: str, who: str) -> Slot | None:
        return self.slots.held([task_id], who).get(task_id)

    def submit(self, slot: Slot, revision: int, said: bytes, now: float) -> bool:
        return self.slots.submit([(slot, revision, said)], now) == [True]


class NoConnection:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def sql_table(url: str = "sqlite://", born: float = 0.0) -> Table:
    if url == "sqlite://":
        engine = sa.create_engine(url, poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = open_engine(url)
    store = SqlStore(engine)
    return Table(SqlSlots(store, lambda: born), store.begin)


def memory_table(born: float = 0.0) -> Table:
    return Table(MemorySlots(born), NoConnection)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make_table(request, tmp_path):
    if request.param == "memory":
        return memory_table
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        return lambda born=0.0: sql_table(server.url(server.make_database()), born)
    return lambda born=0.0: sql_table(f"sqlite:///{tmp_path}/{born}.db", born)


@pytest.fixture
def table(make_table):
    made = make_table()
    made.follow(opened(quorum=2))
    return made


def test_the_most_useful_task_is_leased_first_and_nobody_gets_it_twice(table):
    first = table.lease("ann")
    assert (first.number, first.pair_index, first.vote, first.lease_until) == (0, 40, 0, OPENED + 1 + LEASE_S)
    assert table.lease("ann") == first, "who holds a lease is given it again"
    assert table.submit(first, 1, b"said", OPENED + 2)
    assert table.lease("ann").number == 1


def test_a_task_is_leased_to_as_many_as_its_quorum_and_no_more(table):
    assert [(table.lease(who).number, table.lease(who).vote) for who in ("ann", "bob", "cid")] == [
        (0, 0),
        (0, 1),
        (1, 0),
    ]
    assert table.slots.counts(RUN, OPENED + 1) == (3, 3)


def test_a_task_that_is_asked_once_more_is_leased_to_one_person_more(make_table):
    table = make_table()
    table.follow(opened(quorum=1, again=(False, True, False)))
    leased = [table.lease(f"person-{n}") for n in range(5)]
    assert [(slot.number, slot.vote) for slot in leased if slot] == [(0, 0), (1, 0), (1, 1), (2, 0)]


def test_nothing_is_leased_of_another_run_or_where_all_is_taken(table):
    assert table.lease("ann", run_id="another") is None
    taken = [table.lease(f"person-{n}") for n in range(7)]
    assert [slot is None for slot in taken] == [False] * 6 + [True]


def test_a_lease_that_ran_out_is_given_to_somebody_else_and_its_owner_is_told_so(table):
    late = table.lease("ann")
    table.lease("bob")
    after = OPENED + 2 + LEASE_S
    assert (table.lease("cid", after).number, table.lease("cid", after).vote) == (0, 0)
    assert not table.submit(late, 1, b"said", after)
    assert table.held(late.task_id, "ann") is None


def test_an_answer_that_comes_after_the_lease_ran_out_counts_where_nobody_took_the_slot(table):
    late = table.lease("ann")
    assert table.submit(late, 1, b"said", OPENED + 2 * LEASE_S)
    assert table.held(late.task_id, "ann").submitted


def test_several_tasks_are_leased_at_once_those_held_already_first(table):
    second = next(slot for slot in table.slots.lease("ann", "", OPENED + 1, LEASE_S, 2) if slot.number == 1)
    assert table.submit(second, 1, b"said", OPENED + 2)
    slots = table.slots.lease("ann", "", OPENED + 3, LEASE_S, 2)
    assert [slot.number for slot in slots] == [0, 2] and slots[0].lease_until < slots[1].lease_until
    mixed = [(slots[0], 1, b"said"), (second, 1, b"late"), (slots[1], 1, b"said")]
    assert table.slots.submit(mixed, OPENED + 4) == [True, False, True]
    assert set(table.slots.held([slot.task_id for slot in slots], "ann")) == {slot.task_id for slot in slots}


def test_only_the_tasks_that_are_named_are_leased(table):
    wanted = [task.task_id for task in table.slots.open(RUN, OPENED + 1, -1, 10)][1:]
    slots = table.slots.lease("ann", RUN, OPENED + 1, LEASE_S, 5, wanted)
    assert [slot.task_id for slot in slots] == wanted
    assert table.slots.lease("ann", RUN, OPENED + 2, LEASE_S, 5, wanted[:1]) == slots[:1]


def test_a_lease_that_is_given_back_is_free_at_once_and_an_answer_stays(table):
    answered, given_back = table.slots.lease("ann", RUN, OPENED + 1, LEASE_S, 2)
    assert table.submit(answered, 1, b"said", OPENED + 2)
    table.slots.return_([answered.task_id, given_back.task_id], "ann")
    assert table.held(answered.task_id, "ann").submitted and table.held(given_back.task_id, "ann") is None
    assert [(table.lease(who).number, table.lease(who).vote) for who in ("bob", "cid", "ann")] == [
        (0, 1),
        (1, 0),
        (1, 1),
    ]


def test_a_live_lease_is_extended_and_none_that_ran_out_was_answered_or_is_of_somebody_else(table):
    held, answered, late = table.slots.lease("ann", RUN, OPENED + 1, LEASE_S, 3)
    assert table.submit(answered, 1, b"said", OPENED + 2)
    ids = [slot.task_id for slot in (held, answered)]
    until = OPENED + 40 + LEASE_S
    assert table.slots.extend(ids, "bob", RUN, OPENED + 40, until) == []
    assert table.slots.extend(ids, "ann", "another", OPENED + 40, until) == []
    assert table.slots.extend(ids, "ann", RUN, OPENED + 40, until) == [held.task_id]
    after = OPENED + 2 + LEASE_S
    assert table.held(held.task_id, "ann").lease_until == until
    assert table.slots.extend([late.task_id], "ann", RUN, after, until) == []
    assert {table.lease(who, after).number for who in ("bob", "cid", "dan", "eve")} >= {0, 2}
    assert len([slot for slot in table.slots.open(RUN, after, -1, 9) if "ann" in slot.leased_by]) == 1


def test_how_many_somebody_answered_and_may_still_answer_is_counted_for_each(table):
    first = table.lease("ann")
    assert table.submit(first, 1, b"said", OPENED + 2)
    table.lease("ann")
    assert table.slots.of_annotator(RUN, "ann", OPENED + 3) == (1, 2)
    assert table.slots.of_annotator(RUN, "new", OPENED + 3) == (0, 3)
    table.lease("bob")
    assert table.slots.of_annotator(RUN, "new", OPENED + 3) == (0, 2)
    assert table.slots.of_annotator("another", "ann", OPENED + 3) == (0, 0)


def test_a_lease_of_another_run_is_not_given_back(table):
    slot = table.lease("ann")
    table.slots.return_([slot.task_id], "ann", "another")
    assert table.held(slot.task_id, "ann") == slot


def test_a_task_on_which_people_disagree_is_leased_to_one_more_until_they_agree(make_table):
    table, state = make_table(), opened(quorum=2, most_votes=3)
    table.follow(state)
    one, other = table.lease("ann"), table.lease("bob")
    assert table.lease("cid").number == 1
    table.slots.return_([table.lease("cid").task_id], "cid")
    for slot in (one, other):
        assert table.submit(slot, 1, b"said", OPENED + 2)
    state, touched = queue.evolve(state, [(judged(0, "ann", 0), OPENED + 2), (judged(0, "bob", 1, SECOND), OPENED + 3)])
    table.follow(state, touched)
    third = table.lease("cid")
    assert (third.number, third.vote) == (0, 2)
    assert table.lease("dan").number == 1


def test_a_settled_task_is_given_to_others_beside_its_votes_and_to_nobody_twice(table):
    one, other = table.lease("ann"), table.lease("bob")
    for slot in (one, other):
        assert table.submit(slot, 1, b"said", OPENED + 2)
    state = hear(opened(quorum=2), judged(0, "ann", 0), judged(0, "bob", 1))
    state = hear(state, *due(state))
    table.follow(state)
    now, ids = OPENED + 3, [one.task_id]
    gold = table.slots.gold("cid", RUN, ids, now, LEASE_S)
    assert (gold.task_id, gold.vote, gold.revision) == (one.task_id, GOLD_VOTE, 0)
    assert table.slots.gold("cid", RUN, ids, now + 1, LEASE_S) == gold, "who holds one is given it again"
    assert table.slots.gold("dan", RUN, ids, now, LEASE_S).vote == GOLD_VOTE + 1
    assert table.slots.gold("ann", RUN, ids, now, LEASE_S) is None
    assert table.slots.gold("cid", "another", [], now, LEASE_S) is None
    assert table.submit(gold, 1, b"gold", now + 1)
    assert table.slots.gold("cid", RUN, ids, now + 2, LEASE_S) is None
    assert (RUN, b"gold") in table.slots.unsaid(now + 100)
    table.follow(*queue.evolve(state, [(judged(0, "cid", GOLD_VOTE, SECOND), now)]))
    assert (RUN, b"gold") not in table.slots.unsaid(now + 100)
    assert table.held(one.task_id, "ann").submitted and table.held(other.task_id, "bob").submitted
    assert table.slots.counts(RUN, now)[0] == 2


def test_what_still_wants_an_answer_is_listed_page_by_page_with_who_holds_it(table):
    answered, leased = table.slots.lease("ann", RUN, OPENED + 1, LEASE_S, 2)
    assert table.submit(answered, 1, b"said", OPENED + 2)
    pages = [table.slots.open(RUN, OPENED + 3, after, 2) for after in (-1, 1)]
    assert [[(task.number, task.answered_by, task.leased_by) for task in page] for page in pages] == [
        [(0, ("ann",), ()), (1, (), ("ann",))],
        [(2, (), ())],
    ]
    assert pages[0][1].task_id == leased.task_id and pages[0][0].quorum == 2
    assert table.slots.open(RUN, OPENED + 3 + LEASE_S, 0, 1)[0].leased_by == ()
    assert table.slots.open("another", OPENED + 3, -1, 2) == []


def test_an_answer_never_expires(table):
    slot = table.lease("ann")
    assert table.submit(slot, 1, b"said", OPENED + 2)
    far = OPENED + 1e6
    assert [table.lease(who, far).vote for who in ("bob", "cid")] == [1, 0]
    assert table.lease("cid", far).number == 1


def test_an_older_revision_is_refused(table):
    slot = table.lease("ann")
    assert table.submit(slot, 2, b"second", OPENED + 2)
    for revision in (1, 2):
        assert not table.submit(slot, revision, b"late", OPENED + 3)


def test_an_answer_that_is_not_folded_is_said_again_after_a_while_until_it_is(table):
    slot = table.lease("ann")
    answer = judged(0, "ann", 0)
    assert table.submit(slot, 1, answer.SerializeToString(), OPENED + 2)
    assert list(table.slots.unsaid(OPENED + 3)) == []
    later = OPENED + 3 + SAY_AGAIN_S
    assert list(table.slots.unsaid(later)) == [(RUN, answer.SerializeToString())]
    table.follow(hear(opened(quorum=2), answer), ["task/00000000"])
    assert list(table.slots.unsaid(later)) == []


def test_an_answer_that_came_too_late_is_not_said_for_ever(table):
    state = opened(quorum=2)
    slot = table.lease("ann")
    table.lease("bob")
    state = hear(state, judged(0, "ann", 0), judged(0, "bob", 1))
    state = hear(state, *due(state))
    assert table.submit(slot, 2, b"a change of mind", OPENED + 2)
    assert len(table.slots.unsaid(OPENED + 100)) == 1
    table.follow(*queue.evolve(state, [(judged(0, "ann", 0, revision=2), OPENED + 3)]))
    assert list(table.slots.unsaid(OPENED + 100)) == []
    assert table.lease("cid").number == 1


def test_a_slot_given_back_is_free_and_a_later_answer_of_its_owner_is_a_new_revision(table):
    slot = table.lease("ann")
    assert table.submit(slot, 1, b"said", OPENED + 2)
    table.follow(hear(opened(quorum=2), judged(0, "ann", 0), withdrawn(0, "ann")), ["task/00000000"])
    assert table.held(slot.task_id, "ann") is None
    assert [table.lease(who).vote for who in ("bob", "ann")] == [0, 1]
    again = table.lease("ann")
    assert (again.number, again.revision) == (0, 1)
    assert table.submit(again, 2, b"again", OPENED + 3)


def test_a_withdrawal_frees_the_slot_once_it_is_folded(table):
    slot = table.lease("ann")
    assert table.submit(slot, 1, b"said", OPENED + 2)
    table.follow(hear(opened(quorum=2), judged(0, "ann", 0), withdrawn(0, "ann")), ["task/00000000"])
    assert table.held(slot.task_id, "ann") is None
    lease = table.lease("ann")
    assert (lease.number, lease.vote, lease.revision) == (0, 0, 1)
    table.follow(hear(opened(quorum=2), judged(0, "ann", 0), withdrawn(0, "ann")), ["task/00000000"])
    assert table.held(slot.task_id, "ann") == lease, "a lease taken since then stays"


def test_a_fold_that_is_behind_takes_no_vote_from_whoever_answered_since(table):
    """The log is folded anew, and ann's withdrawal not yet; her slot was given back before, and bob has answered with it."""
    slot = table.lease("ann")
    assert table.submit(slot, 1, b"ann", OPENED + 2)
    table.follow(hear(opened(quorum=2), judged(0, "ann", 0), withdrawn(0, "ann")), ["task/00000000"])
    other = table.lease("bob")
    assert (other.task_id, other.vote) == (slot.task_id, slot.vote)
    assert table.submit(other, 1, b"bob", OPENED + 3)
    table.follow(hear(opened(quorum=2), judged(0, "ann", 0)), ["task/00000000"])
    assert table.held(slot.task_id, "bob").submitted
    assert table.held(slot.task_id, "ann") is None
    assert [said for _, said in table.slots.unsaid(OPENED + 100)] == [b"bob"]


def test_a_pause_offers_nothing_and_the_end_of_a_stage_takes_its_tasks_away(table):
    state = opened(quorum=2)
    table.follow(hear(state, Event(run_id=RUN, run_paused={})), ["run"])
    assert table.lease("ann") is None
    table.follow(hear(state, Event(run_id=RUN, run_paused={}), Event(run_id=RUN, run_resumed={})), ["run"])
    slot = table.lease("ann")
    table.follow(hear(state, Event(run_id=RUN, stage_closed={"stage": Stage.STAGE_ANNOTATE, "round": 1})), ["run"])
    assert table.lease("bob") is None
    assert table.held(slot.task_id, "ann") is None


def test_a_shorter_stage_leaves_no_task_of_a_longer_one_behind(table):
    closed = Event(run_id=RUN, stage_closed={"stage": Stage.STAGE_ANNOTATE, "round": 1})
    shorter = Event(run_id=RUN, stage_opened={"stage": Stage.STAGE_ANNOTATE, "round": 2, "pair_indexes": [5]})
    table.follow(hear(opened(quorum=2), closed, shorter), ["run", "task/00000000", "task/00000002"])
    assert [table.lease(who) is None for who in ("ann", "bob", "cid")] == [False, False, True]


def test_after_a_loss_answers_hold_their_votes_again_and_leases_wait_for_one_term(make_table):
    table = make_table(born=OPENED + 50)
    table.follow(hear(opened(quorum=2), judged(0, "ann", 0), judged(1, "ann", 0), withdrawn(1, "ann")))
    assert table.lease("bob", OPENED + 51) is None
    after = OPENED + 51 + LEASE_S
    assert [(table.lease(who, after).number, table.lease(who, after).vote) for who in ("bob", "cid")] == [
        (0, 1),
        (1, 0),
    ]
    assert (table.lease("ann", after).number, table.lease("ann", after).revision) == (1, 1)


def test_who_leased_a_vote_that_turns_out_to_be_counted_already_loses_it(table):
    """The answer was under way while the table was lost; nobody may hold its vote beside it."""
    late = table.lease("bob")
    table.follow(hear(opened(quorum=2), judged(0, "ann", 0)), ["task/00000000"])
    assert table.held(late.task_id, "bob") is None
    assert not table.submit(late, 1, b"said", OPENED + 2)
    assert (table.lease("bob").number, table.lease("bob").vote) == (0, 1)


def test_tasks_younger_than_the_table_do_not_wait(make_table):
    table = make_table(born=OPENED - 1)
    table.follow(opened(quorum=2))
    assert table.lease("ann", OPENED + 1).number == 0


def test_folding_again_forgets_neither_slots_nor_what_is_still_to_be_said(table):
    slot = table.lease("ann")
    assert table.submit(slot, 1, b"said", OPENED + 2)
    table.forget()
    assert table.lease("bob") is None
    table.follow(opened(quorum=2))
    assert list(table.slots.unsaid(OPENED + 100)) == [(RUN, b"said")]
    assert [table.lease(who).vote for who in ("bob", "cid")] == [1, 0]


def test_whoever_answers_for_any_run_is_asked_for_the_one_that_waits_most_for_its_size(make_table):
    table = make_table()
    sizes = {RUN: 2, run_id("input", b"larger"): 6}
    for name, size in sizes.items():
        state = opened(quorum=1, pairs=tuple(range(size)), run=name)
        with table._begin() as connection:
            table.slots.project(connection, [(name, frozenset({"run", *map(queue.task_row, state.tasks)}), state)])
    taken: Counter[str] = Counter()
    for number in range(sum(sizes.values())):
        taken[table.lease(f"person-{number}").run_id] += 1
        small, large = (taken[name] / size for name, size in sizes.items())
        assert abs(small - large) <= 0.5
    assert taken == sizes and table.lease("late") is None
    # Who asks for one run alone is asked for that one.
    assert table.lease("person-0", run_id="another") is None


class Overlap(RuleBasedStateMachine):
    """Annotators do what they like, time passes, facts are folded late; overlap stays exact and both tables agree."""

    quorum, most_votes = 2, 3

    def __init__(self) -> None:
        super().__init__()
        self.now, self.state = OPENED + 1, opened(self.quorum, most_votes=self.most_votes)
        self.tables = [memory_table(), self.other_table()]
        self.waiting: list[Event] = []
        self.leased: dict[str, Slot] = {}
        for table in self.tables:
            table.follow(self.state)

    def other_table(self) -> Table:
        return sql_table()

    people = st.sampled_from(["ann", "bob", "cid", "dan"])

    @rule(who=people, most=st.integers(1, 3), last=st.booleans())
    def lease(self, who: str, most: int, last: bool) -> None:
        first, second = (table.slots.lease(who, "", self.now, LEASE_S, most) for table in self.tables)
        assert first == second
        if first:
            self.leased[who] = first[-1 if last else 0]

    @rule(
        wants=st.lists(st.tuples(people, st.integers(1, 2)), min_size=1, max_size=4, unique_by=lambda want: want[0]),
        run_id=st.sampled_from([RUN, ""]),
    )
    def lease_together(self, wants: list[tuple[str, int]], run_id: str) -> None:
        asked = [Want(who, run_id, most) for who, most in wants]
        first, second = (table.slots.lease_together(asked, self.now, LEASE_S) for table in self.tables)
        assert first == second
        self.leased |= {slots[0].annotator: slots[0] for slots in first if slots}

    @rule(who=people)
    def progress(self, who: str) -> None:
        said = [table.slots.progress(RUN, self.now).of(who) for table in self.tables]
        assert said == [table.slots.of_annotator(RUN, who, self.now) for table in self.tables]
        assert said[0] == said[1]

    @rule(who=people)
    def gold(self, who: str) -> None:
        sure = [task.task_id for task in self.state.tasks.values() if queue.is_sure(task)]
        first, second = (table.slots.gold(who, RUN, sure, self.now, LEASE_S) for table in self.tables)
        assert first == second
        if first:
            assert first.task_id in sure or first.vote >= GOLD_VOTE
            self.leased[who] = first

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def submit(self, data) -> None:
        who = data.draw(st.sampled_from(sorted(self.leased)))
        held = [table.held(self.leased[who].task_id, who) for table in self.tables]
        assert held[0] == held[1]
        if held[0] is None:
            return
        slot, revision = held[0], held[0].revision + 1
        choice = data.draw(st.sampled_from([FIRST, SECOND, TIE]))
        answer = judged(slot.number, who, slot.vote, choice, revision=revision)
        for table in self.tables:
            assert table.submit(slot, revision, answer.SerializeToString(), self.now)
        if data.draw(st.booleans()):
            self.waiting.append(answer)

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def withdraw(self, data) -> None:
        who = data.draw(st.sampled_from(sorted(self.leased)))
        slot = self.tables[0].held(self.leased[who].task_id, who)
        if slot is None or not slot.submitted:
            return
        self.waiting.append(withdrawn(slot.number, who, slot.revision))

    @rule()
    def fold(self) -> None:
        said, self.waiting = self.waiting, []
        self._follow(said)

    @rule()
    def append_again(self) -> None:
        one, other = (sorted(table.slots.unsaid(self.now)) for table in self.tables)
        assert one == other
        self._follow([Event.FromString(value) for _, value in one])

    @rule()
    def resolve(self) -> None:
        self._follow(due(self.state))

    def _follow(self, events: list[Event]) -> None:
        self.state, touched = queue.evolve(self.state, [(event, self.now) for event in events])
        for table in self.tables:
            table.follow(self.state, touched)

    @invariant()
    def no_task_is_held_by_more_than_its_quorum(self) -> None:
        for task in self.state.tasks.values():
            people = [self.tables[0].held(task.task_id, who) for who in ("ann", "bob", "cid", "dan")]
            live = [slot for slot in people if slot and (slot.submitted or slot.lease_until > self.now)]
            live = [slot for slot in live if slot.vote < GOLD_VOTE]
            assert len(live) <= self.most_votes
            assert len({slot.vote for slot in live}) == len(live)
            assert all(slot.vote < self.most_votes for slot in live)
            assert len(queue.counted(task)) <= self.most_votes

    def teardown(self) -> None:
        """Whatever was taken in is folded in the end, or a withdrawal or a resolution came before it."""
        self.now += SAY_AGAIN_S + 1
        self.fold()
        self.append_again()
        for table in self.tables:
            assert list(table.slots.unsaid(self.now + 100)) == []


TestOverlap = Overlap.TestCase
TestOverlap.settings = settings(max_examples=40, stateful_step_count=40)


def test_any_order_of_things_gives_the_same_on_postgresql(postgres_url):
    table = sql_table(postgres_url)

    class OnPostgres(Overlap):
        def other_table(self) -> Table:
            with table._begin() as connection:
                connection.exec_driver_sql("truncate tasks, slots")
            return table

    run_state_machine_as_test(OnPostgres, settings=settings(max_examples=20, stateful_step_count=30))


def test_a_task_that_is_locked_is_passed_over_not_waited_for(postgres_url):
    busy, table = sql_table(postgres_url), sql_table(postgres_url)
    table.follow(opened(quorum=2))
    with busy._begin() as connection:
        connection.execute(sa.select(TASKS).where(TASKS.c.number == 0).with_for_update())
        assert table.lease("bob").number == 1
    assert table.lease("cid").number == 0


@pytest.mark.parametrize("who", ["bob", "ann"])
def test_what_was_free_at_a_look_is_counted_again_under_the_lock(postgres_url, who):
    """A statement sees the table as it was when it began; by the time it has the row's lock a vote may be gone."""
    table = sql_table(postgres_url)
    table.follow(opened(quorum=1 if who == "bob" else 2))
    looked = {"of_annotator": "ann", "of_run": "", "now": OPENED + 1, "since": 0.0, "most": 1}
    with table._begin() as connection:
        seen = connection.execute(FREE, looked).all()
    slot = table.lease(who)
    assert seen[0].task_id == slot.task_id
    with table._begin() as connection:
        assert give_of(connection, seen, [("ann", 1)], OPENED + 1, LEASE_S)[0] == {"ann": []}
    assert table.held(slot.task_id, who) == slot


def test_an_answer_that_comes_late_while_its_task_is_given_out_again_keeps_its_vote(postgres_url):
    """Between the look at a task's votes and the end of those whose leases ran out."""
    table, other = sql_table(postgres_url), sql_table(postgres_url)
    table.follow(opened(quorum=1))
    late, after = table.lease("ann"), OPENED + 2 * LEASE_S
    said: list[bool] = []

    def answers(connection, cursor, statement, *more) -> None:
        if statement.startswith("UPDATE slots SET vote") and not said:
            said.append(other.submit(late, 1, b"said", after))

    sa.event.listen(table.slots._store.engine, "before_cursor_execute", answers)
    assert table.lease("bob", after).number == 1
    assert said == [True] and table.held(late.task_id, "ann").submitted


def lease_all(url: str, first: int, annotators: int) -> int:
    """One process of several: its annotators lease and answer at once, each until it gets nothing a few times in a row."""
    table = sql_table(url)

    def work(who: str) -> int:
        given, dry = 0, 0
        while dry < 5:
            slots = table.slots.lease(who, "", OPENED + 1, LEASE_S, 3)
            dry = 0 if slots else dry + 1
            taken = table.slots.submit([(slot, slot.revision + 1, b"said") for slot in slots], OPENED + 2)
            assert all(taken)
            given += len(slots)
        return given

    with ThreadPoolExecutor(annotators) as pool:
        return sum(pool.map(work, (f"person-{n}" for n in range(first, first + annotators))))


def test_processes_and_threads_that_lease_at_once_never_exceed_the_quorum(postgres_url):
    quorum, tasks = 3, 60
    table = sql_table(postgres_url)
    table.follow(opened(quorum, pairs=tuple(range(tasks))))
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        given = sum(pool.map(lease_all, [postgres_url] * 3, (0, 4, 8), (4, 4, 4)))
    with table._begin() as connection:
        rows = connection.execute(sa.select(SLOTS.c.task_id, SLOTS.c.vote, SLOTS.c.submitted)).all()
    votes = Counter((row.task_id, row.vote) for row in rows)
    assert given == len(rows) == len(votes) and all(row.submitted for row in rows)
    assert {vote for _, vote in votes} == set(range(quorum)) and len(rows) <= quorum * tasks
    # Whoever was passed by while all was locked has left at most a few for a last one to take.
    assert len(rows) + lease_all(postgres_url, 100, quorum) == quorum * tasks
