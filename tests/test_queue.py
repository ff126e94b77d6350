"""The queue of questions: exact overlap in the fold, whatever comes in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.kit.ids import task_id
from concord.tasks import queue
from concord.v1.events_pb2 import Event, PauseReason, Stage, TaskOutcome
from tests.queue_world import FIRST, PAIRS, RUN, SECOND, TIE, due, hear, judged, opened, skipped, unit, withdrawn

DECIDED, TIED = TaskOutcome.TASK_OUTCOME_DECIDED, TaskOutcome.TASK_OUTCOME_TIE
SKIPPED, EXPIRED = TaskOutcome.TASK_OUTCOME_SKIPPED, TaskOutcome.TASK_OUTCOME_EXPIRED


@pytest.mark.parametrize(
    ("choices", "outcome", "choice"),
    [
        ([FIRST], DECIDED, FIRST),
        ([TIE], TIED, TIE),
        ([FIRST, SECOND], TIED, TIE),
        ([FIRST, FIRST], DECIDED, FIRST),
        ([FIRST, SECOND, SECOND], DECIDED, SECOND),
        ([FIRST, SECOND, TIE], TIED, TIE),
        ([TIE, TIE, FIRST], TIED, TIE),
        ([FIRST, None], DECIDED, FIRST),
        ([None, None], SKIPPED, 0),
        ([FIRST, SECOND, None], TIED, TIE),
    ],
)
def test_a_task_is_resolved_by_majority_once_every_vote_is_used(choices, outcome, choice):
    state = opened(quorum=len(choices))
    for vote, said in enumerate(choices):
        assert due(state) == []
        who = f"person-{vote}"
        state = hear(state, skipped(0, who, vote) if said is None else judged(0, who, vote, said))
    (resolved,) = due(state)
    assert (resolved.unit.number, resolved.task_resolved.pair_index) == (0, PAIRS[0])
    assert (resolved.task_resolved.outcome, resolved.task_resolved.choice) == (outcome, choice)
    assert len(resolved.task_resolved.annotation_ids) == sum(said is not None for said in choices)
    assert due(hear(state, resolved)) == []


@pytest.mark.parametrize(
    ("choices", "outcome", "choice"),
    [
        ([FIRST, FIRST], DECIDED, FIRST),
        ([TIE, TIE], TIED, TIE),
        ([FIRST, SECOND, SECOND], DECIDED, SECOND),
        ([FIRST, TIE, FIRST], DECIDED, FIRST),
        ([FIRST, SECOND, None, FIRST], DECIDED, FIRST),
        ([FIRST, SECOND, TIE, SECOND], DECIDED, SECOND),
        ([FIRST, SECOND, TIE, None], TIED, TIE),
        ([FIRST, None], DECIDED, FIRST),
    ],
)
def test_where_people_disagree_one_more_is_asked_at_a_time_up_to_the_most_that_the_run_asks(choices, outcome, choice):
    state = opened(quorum=2, most_votes=4)
    for vote, said in enumerate(choices):
        assert due(state) == []
        who = f"person-{vote}"
        state = hear(state, skipped(0, who, vote) if said is None else judged(0, who, vote, said))
    (resolved,) = due(state)
    assert (resolved.task_resolved.outcome, resolved.task_resolved.choice) == (outcome, choice)
    assert resolved.task_resolved.counted == 0


def test_a_third_opinion_is_refused_where_the_two_have_agreed_since():
    state = hear(opened(quorum=2, most_votes=3), judged(0, "ann", 0), judged(0, "bob", 1, SECOND))
    assert due(state) == []
    state = hear(state, judged(0, "bob", 1, FIRST, revision=2), judged(0, "cid", 2, SECOND))
    (resolved,) = due(state)
    assert resolved.task_resolved.annotators == ["ann", "bob"]


def test_a_third_opinion_counts_where_one_of_the_two_has_taken_his_back_since():
    """Its vote was given out while two disagreed; refused, it would hold a place for ever and the task would never be settled. The
    vote taken back is given again: whoever has it by now was told that his answer counts."""
    state = hear(opened(quorum=2, most_votes=3), judged(0, "ann", 0), judged(0, "bob", 1, SECOND))
    state = hear(state, withdrawn(0, "ann"), judged(0, "cid", 2, SECOND))
    assert due(state) == [] and queue.slots_of(state, state.tasks[0]) == 3
    (resolved,) = due(hear(state, judged(0, "dan", 0)))
    assert resolved.task_resolved.annotators == ["dan", "bob", "cid"]
    assert resolved.task_resolved.choice == SECOND


ANSWERS = st.lists(
    st.one_of(
        st.builds(
            judged,
            st.integers(0, 2),
            st.sampled_from("abcd"),
            st.integers(0, 3),
            st.sampled_from([FIRST, SECOND, TIE]),
            st.integers(1, 3),
        ),
        st.builds(skipped, st.integers(0, 2), st.sampled_from("abcd"), st.integers(0, 3), st.integers(1, 3)),
        st.builds(withdrawn, st.integers(0, 2), st.sampled_from("abcd"), st.integers(1, 3)),
    ),
    max_size=40,
)


@given(st.integers(1, 3), st.integers(0, 4), st.data())
def test_a_task_is_due_only_once_all_its_first_votes_are_used_and_nothing_changes_it_after(quorum, most_votes, data):
    """So one who resolves it from an earlier point of the log says what everybody would say later."""
    answers = data.draw(ANSWERS)
    state, said = opened(quorum, most_votes=most_votes if quorum > 1 else 0), dict[int, Event]()
    for event in answers:
        state = hear(state, event)
        for resolved in due(state):
            task = state.tasks[resolved.unit.number]
            assert set(range(quorum)) <= {answer.vote for answer in queue.counted(task)}
            assert said.setdefault(resolved.unit.number, resolved) == resolved
        assert {resolved.unit.number for resolved in due(state)} == set(said)


@given(st.integers(1, 3), ANSWERS, st.data())
def test_no_task_ever_counts_more_answers_than_its_quorum_nor_anybody_twice(quorum, answers, data):
    state = opened(quorum)
    while answers:
        size = data.draw(st.integers(1, len(answers)))
        state, answers = hear(state, *answers[:size]), answers[size:]
        for task in state.tasks.values():
            held = queue.counted(task)
            assert len(held) <= quorum
            assert len({answer.annotator for answer in held}) == len({answer.vote for answer in held}) == len(held)
        if data.draw(st.booleans()):
            state = hear(state, *due(state))
    for event in due(state):
        assert len(event.task_resolved.annotation_ids) <= quorum


@given(st.integers(1, 3), st.data())
def test_the_order_in_which_votes_come_changes_no_resolution(quorum, data):
    """Each vote is held by one person, who may change her mind until the last vote is given; what she said last counts, in whatever
    order it lands."""

    def says(number, vote, revision=1):
        return judged(number, f"person-{vote}", vote, data.draw(st.sampled_from([FIRST, SECOND, TIE])), revision)

    numbers = range(len(PAIRS))
    early = [
        says(number, vote, revision)
        for number in numbers
        for vote in range(quorum - 1)
        for revision in range(1, data.draw(st.integers(1, 3)) + 1)
    ]
    last = [says(number, quorum - 1) for number in numbers]
    one = due(hear(opened(quorum), *early, *last))
    other = opened(quorum)
    for event in [*data.draw(st.permutations(early)), *data.draw(st.permutations(last))]:
        other = hear(other, event)
    assert due(other) == one
    assert len(one) == len(PAIRS)


@given(ANSWERS, st.data())
def test_a_queue_kept_in_rows_goes_on_as_if_it_had_never_stopped(answers, data):
    state = again = opened()
    rows = {name: queue.row(state, name) for name in ("run", *map(queue.task_row, state.tasks))}
    while answers:
        size = data.draw(st.integers(1, len(answers)))
        events, answers = answers[:size], answers[size:]
        state, touched = queue.evolve(state, [(event, 100.0) for event in events])
        rows |= {name: queue.row(state, name) for name in touched}
        again = queue.evolve(queue.restore(RUN, {n: row for n, row in rows.items() if row is not None}), [])[0]
        assert again == state
        assert due(again) == due(state)


def test_an_answer_for_a_vote_that_somebody_holds_or_that_is_none_is_refused():
    state = hear(opened(quorum=2), judged(0, "ann", 0), judged(0, "bob", 0), judged(0, "cid", 2))
    assert [answer.annotator for answer in queue.counted(state.tasks[0])] == ["ann"]


def test_the_highest_revision_before_the_resolution_counts():
    state = hear(opened(quorum=1), judged(0, "ann", 0, SECOND, 2), judged(0, "ann", 0, FIRST, 1))
    (resolved,) = due(state)
    assert resolved.task_resolved.choice == SECOND


def test_a_withdrawn_answer_frees_its_vote_and_its_owner_may_take_another():
    state = hear(opened(quorum=2), judged(0, "ann", 0), withdrawn(0, "ann"), judged(0, "bob", 0))
    assert due(state) == []
    state = hear(state, judged(0, "ann", 0, revision=2))
    assert [answer.annotator for answer in queue.counted(state.tasks[0])] == ["bob"]
    state = hear(state, judged(0, "ann", 1, revision=3))
    (resolved,) = due(state)
    assert len(resolved.task_resolved.annotation_ids) == 2


def test_a_withdrawal_that_overtakes_its_answer_holds_all_the_same():
    state = hear(opened(quorum=1), withdrawn(0, "ann"), judged(0, "ann", 0))
    assert due(state) == []
    assert len(due(hear(state, judged(0, "bob", 0)))) == 1


def test_a_skip_after_a_withdrawn_skip_is_a_new_one():
    state = hear(opened(quorum=1), skipped(0, "ann", 0), withdrawn(0, "ann"), skipped(0, "ann", 0, revision=2))
    (resolved,) = due(state)
    assert resolved.task_resolved.outcome == SKIPPED


def test_a_late_annotation_changes_nothing():
    state = hear(opened(quorum=1), judged(0, "ann", 0))
    state = hear(state, *due(state))
    before = state.tasks[0]
    state = hear(state, judged(0, "ann", 0, SECOND, 2), judged(0, "bob", 0, SECOND))
    assert state.tasks[0] == before
    assert due(state) == []


def test_an_answer_that_means_a_pair_of_another_stage_is_refused():
    state = hear(opened(quorum=1), judged(0, "ann", 0, pair=PAIRS[1]), judged(0, "bob", 0, round_=2))
    assert queue.counted(state.tasks[0]) == []


def test_silence_becomes_a_fact_when_the_time_is_up_and_answers_given_so_far_count():
    state = hear(opened(quorum=2, deadline_s=60.0), judged(1, "ann", 0, SECOND))
    assert due(state, now=159.9) == []
    outcomes = {event.unit.number: event.task_resolved for event in due(state, now=160.0)}
    assert {number: said.outcome for number, said in outcomes.items()} == {0: EXPIRED, 1: DECIDED, 2: EXPIRED}
    assert outcomes[1].choice == SECOND


def test_without_a_deadline_nothing_expires():
    assert due(opened(deadline_s=0.0), now=1e12) == []


@pytest.mark.parametrize("kind", ["stage_closed", "run_cancelled", "run_finished"])
def test_the_tasks_go_with_their_stage_and_with_their_run(kind):
    said = {"stage": Stage.STAGE_ANNOTATE, "round": 1} if kind == "stage_closed" else {}
    state, touched = queue.evolve(opened(), [(Event(run_id=RUN, **{kind: said}), 200.0)])
    assert state.tasks == {}
    assert {queue.row(state, name) for name in touched if name.startswith("task/")} == {None}
    assert queue.active(state) == (kind == "stage_closed")


def test_a_pause_that_the_run_refused_before_its_start_does_not_hold_its_tasks_back():
    created = hear(queue.initial(RUN), Event(run_id=RUN, run_paused={}))
    started = hear(created, Event(run_id=RUN, run_started={"pairs_uri": "pairs"}))
    assert not started.run.paused
    assert hear(started, Event(run_id=RUN, run_paused={})).run.paused


def test_tasks_of_different_rounds_have_different_names():
    assert len({task_id(RUN, unit(number, round_)) for number in range(3) for round_ in (1, 2)}) == 6


def paused(reason=PauseReason.PAUSE_REASON_CALLER, name: str = "pause") -> Event:
    return Event(event_id=name, run_id=RUN, run_paused={"reason": reason})


RESUMED = Event(run_id=RUN, run_resumed={})
RETRIED = Event(run_id=RUN, stage_retried={"stage": Stage.STAGE_LABEL})


def test_a_retry_and_a_pause_for_failed_units_do_not_let_go_on_what_a_caller_paused():
    failed = paused(PauseReason.PAUSE_REASON_FAILED_UNITS, "failed")
    assert hear(opened(), paused(), failed, RETRIED).run.paused
    assert not hear(opened(), paused(), failed, RETRIED, RESUMED).run.paused


def test_a_retry_lets_go_on_what_failed_units_paused_though_a_caller_came_too_late():
    failed = paused(PauseReason.PAUSE_REASON_FAILED_UNITS, "failed")
    assert not hear(opened(), failed, paused(), RETRIED).run.paused


def test_a_run_that_waited_and_was_then_paused_by_a_caller_does_not_go_on_by_itself():
    held = hear(opened(), paused(PauseReason.PAUSE_REASON_DEFERRED, "waits"), paused(name="caller"))
    by_rule = Event(run_id=RUN, run_resumed={"cause_id": "waits"})
    assert hear(held, by_rule).run.paused
    assert not hear(held, RESUMED).run.paused


def test_the_time_of_a_pause_is_not_counted_against_the_deadline():
    state = hear(hear(opened(quorum=1, deadline_s=60.0), judged(1, "ann", 0)), paused(), at=130.0)
    assert due(state, now=1e6) == []
    state = hear(state, RESUMED, at=500.0)
    assert [event.unit.number for event in due(state, now=529.9)] == [1]
    assert len(due(state, now=530.0)) == len(PAIRS)


def test_a_pause_from_before_the_stage_takes_no_more_than_the_stage_has_stood():
    state = hear(opened(deadline_s=60.0), Event(run_id=RUN, stage_closed={"stage": Stage.STAGE_ANNOTATE, "round": 1}))
    state = hear(state, paused(), at=200.0)
    again = Event(run_id=RUN, stage_opened={"stage": Stage.STAGE_ANNOTATE, "round": 2, "pair_indexes": PAIRS})
    state = hear(hear(state, again, at=300.0), RESUMED, at=400.0)
    assert due(state, now=459.9) == [] and len(due(state, now=460.0)) == len(PAIRS)
