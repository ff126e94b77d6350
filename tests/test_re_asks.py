"""Some random questions are asked of a second person, whose answer decides nothing and tells how often people err."""

import numpy as np
import pytest

from concord.client.run import people, voters
from concord.kit.errors import InvalidInput
from concord.preference import annotations, budget
from concord.preference.pairs import Row
from concord.tasks import queue
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, Stage, StageManifest, TaskResolved
from concord.v1.pairs_pb2 import CHOICE_FIRST, CHOICE_SECOND, Pair
from tests.queue_world import FIRST, PAIRS, RUN, SECOND, due, hear, judged, skipped
from tests.small_run import config_of, small_run


def asking(re_ask=(True, False, False)) -> queue.TasksState:
    """A run that asks about three pairs, the first of them of a second person as well."""
    opened = {"stage": Stage.STAGE_ANNOTATE, "round": 1, "pair_indexes": PAIRS, "re_ask": re_ask}
    return hear(
        queue.initial(RUN),
        Event(run_id=RUN, run_created={"config": RunConfig(quorum=1)}),
        Event(run_id=RUN, run_started={"pairs_uri": "pairs"}),
        Event(run_id=RUN, stage_opened=opened),
    )


def test_a_question_that_is_asked_again_waits_for_the_second_person():
    state = hear(asking(), judged(0, "ann", 0), judged(1, "ann", 0))
    assert [event.task_resolved.pair_index for event in due(state)] == [PAIRS[1]]
    state = hear(state, judged(0, "bob", 1, SECOND))
    assert {event.task_resolved.pair_index for event in due(state)} == {PAIRS[0], PAIRS[1]}


def test_the_first_answer_stands_whatever_the_second_person_says():
    state = hear(asking(), judged(0, "bob", 1, SECOND), judged(0, "ann", 0, FIRST))
    (said,) = [event.task_resolved for event in due(state)]
    assert (said.choice, list(said.choices), said.counted) == (FIRST, [FIRST, SECOND], 1)
    assert len(said.annotation_ids) == 2


def test_where_the_first_person_cannot_say_the_second_ones_answer_is_the_only_one():
    state = hear(asking(), skipped(0, "ann", 0), judged(0, "bob", 1, SECOND))
    (said,) = [event.task_resolved for event in due(state)]
    assert (said.choice, list(said.choices), said.counted) == (SECOND, [], 0)


def test_nobody_is_asked_twice_and_a_third_person_is_one_too_many():
    state = hear(asking(), judged(0, "ann", 0), judged(0, "ann", 1, SECOND, revision=2))
    assert due(state) == []
    state = hear(asking(), judged(0, "ann", 0), judged(0, "bob", 1), judged(0, "eve", 2))
    assert [len(event.task_resolved.annotation_ids) for event in due(state)] == [2]


def test_without_re_asks_a_task_says_what_it_always_said_and_who_said_it():
    state = hear(asking(re_ask=()), judged(0, "ann", 0))
    (said,) = [event.task_resolved for event in due(state)]
    assert said == TaskResolved(
        pair_index=PAIRS[0], outcome=said.outcome, choice=FIRST, annotation_ids=said.annotation_ids, annotators=["ann"]
    )


def test_answers_carry_what_two_persons_said():
    both = TaskResolved(
        pair_index=7, outcome=1, choice=FIRST, annotation_ids=["a", "b"], choices=[FIRST, SECOND], counted=1
    )
    manifest = StageManifest(round=2, audit=[True], events=[Event(task_resolved=both)])
    said = annotations.read([manifest], ())
    assert (said.p_first[0], said.p_mean[0], said.split[0], said.votes[0], said.round[0]) == (1, 0.5, 1, 1, 2)


@pytest.mark.parametrize(
    ("share", "votes", "quorum", "wanted"), [(0, 600, 1, 0), (0.05, 600, 1, 30), (0.5, 600, 1, 90)]
)
def test_the_share_is_of_the_random_questions_and_never_under_thirty(share, votes, quorum, wanted):
    config = RunConfig(method="posterior", audit_share=0.3, re_ask_share=share, quorum=quorum)
    assert budget.re_asks(config, votes) == wanted
    assert budget.tasks(config, votes) == votes - wanted


def test_second_persons_get_a_quarter_of_a_small_budget_at_most_and_nothing_beside_a_quorum():
    assert budget.re_asks(RunConfig(method="random", re_ask_share=0.05), 40) == 10
    assert budget.re_asks(RunConfig(method="random", re_ask_share=0.05, quorum=2), 600) == 0


def test_a_run_asks_only_random_questions_again_and_its_budget_counts_them():
    run = small_run(config_of(human_budget=100, re_ask_share=0.2, audit_share=0.5))
    opened = [e.stage_opened for e, _ in run.events if e.HasField("stage_opened") and e.stage_opened.re_ask]
    assert opened and all(audit for one in opened for audit, again in zip(one.audit, one.re_ask, strict=True) if again)
    resolved = [e.task_resolved for e, _ in run.events if e.HasField("task_resolved")]
    again = sum(task.counted for task in resolved)
    assert 20 <= again <= 25
    assert 90 <= sum(len(task.annotation_ids) for task in resolved) <= 100
    names = {e.event_id: e.annotation_submitted.annotator for e, _ in run.events if e.HasField("annotation_submitted")}
    assert all(len({names[one] for one in task.annotation_ids}) == len(task.annotation_ids) for task in resolved)


def rows(*said) -> list[Row]:
    return [Row(Pair(pair_id=f"p{at}"), truth=one[0], people=one) for at, one in enumerate(said)]


def test_recorded_people_answer_one_by_one_and_without_a_second_label_there_is_no_second_person():
    answer = people.answerer("recorded", rows((CHOICE_FIRST, CHOICE_SECOND), (CHOICE_SECOND,)), 0, re_ask=True)
    assert [answer(0, 0), answer(0, 1), answer(1, 0), answer(1, 1)] == [
        CHOICE_FIRST,
        CHOICE_SECOND,
        CHOICE_SECOND,
        None,
    ]


def test_a_line_that_names_nobody_is_not_a_second_person(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"pair_id": "p0", "choice": "first"}\n{"pair_id": "p1", "choice": "first", "annotator": "ann"}\n')
    with path.open("a") as file:
        file.write('{"pair_id": "p1", "choice": "second", "annotator": "bob"}\n')
    written = voters.written(f"file:{path}", rows((CHOICE_FIRST,), (CHOICE_FIRST,)), quorum=1)
    assert len(written.votes(0, 2)) == 1
    assert [vote.annotator for vote in written.votes(1, 2)] == ["ann", "bob"]


def test_one_function_alone_cannot_be_asked_again():
    with pytest.raises(InvalidInput, match="a second one is needed"):
        voters.asked({"me": lambda *_: "first"}, rows((CHOICE_FIRST,)), 1, re_ask=0.05)
    assert voters.asked({"me": lambda *_: "first", "you": lambda *_: "first"}, rows((CHOICE_FIRST,)), 1, re_ask=0.05)


def test_answers_of_one_person_each_have_no_split():
    said = annotations.Answers(np.arange(2), np.array([1.0, 0.5]), np.ones(2, bool), np.ones(2, np.int64))
    assert said.p_mean is said.p_first and np.isnan(said.split).all() and not said.round.any()
