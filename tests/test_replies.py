"""What a page says of a task, as an answer of a pair: sides are each person's own and kept."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.console import replies
from concord.kit.errors import InvalidInput
from concord.v1 import pairs_pb2 as pairs

IDS = [f"task-{n}" for n in range(200)]
SWAPPED = next(one for one in IDS if replies.is_swapped("ann", one))
STRAIGHT = next(one for one in IDS if not replies.is_swapped("ann", one))


def said(task_id: str, choice: str, **more: object):
    answer = {"task_id": task_id, "revision": 1, "choice": choice, "view": "whole", **more}
    (one,) = replies.given({"answers": [answer]}, "ann")
    return one


def test_half_of_the_tasks_are_swapped_and_each_person_has_another_half():
    halves = {who: {one for one in IDS if replies.is_swapped(who, one)} for who in ("ann", "bob")}
    assert all(70 < len(half) < 130 for half in halves.values()) and halves["ann"] != halves["bob"]


def test_left_and_right_mean_the_response_that_stood_there():
    assert said(STRAIGHT, "left").choice == said(SWAPPED, "right").choice == pairs.CHOICE_FIRST
    assert said(STRAIGHT, "right").choice == said(SWAPPED, "left").choice == pairs.CHOICE_SECOND
    assert said(SWAPPED, "left").swapped and not said(STRAIGHT, "left").swapped


def test_marks_follow_their_answer_to_its_side():
    one = said(SWAPPED, "left", left_mark="yes", right_mark="no", strength="much")
    assert (one.first_mark, one.second_mark) == (pairs.MARK_NOT_ACCEPTABLE, pairs.MARK_ACCEPTABLE)
    assert one.strength == pairs.STRENGTH_MUCH


def test_both_bad_is_a_tie_of_two_that_are_not_acceptable():
    one = said(STRAIGHT, "bad", left_mark="yes")
    assert one.choice == pairs.CHOICE_TIE
    assert one.first_mark == one.second_mark == pairs.MARK_NOT_ACCEPTABLE


def test_a_skip_has_a_reason_and_no_choice():
    one = said(STRAIGHT, "skip", why="language", reason="Finnish", left_mark="yes")
    assert (one.choice, one.comment, one.first_mark) == (pairs.CHOICE_UNSPECIFIED, "language: Finnish", 0)


def test_which_view_it_was_given_in_is_kept():
    assert said(STRAIGHT, "tie", view="differences").view == pairs.VIEW_DIFFERENCES


WRONG = (
    {"choice": "first"},
    {"choice": 1},
    {"revision": 0},
    {"revision": True},
    {"seconds": -1},
    {"seconds": float("nan")},
    {"view": "sideways"},
    {"left_mark": "perhaps"},
    {"reason": 7},
    {"reason": "x" * 3_000},
    {"task_id": None},
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda one: next(iter(one)))
def test_what_no_page_of_ours_says_is_refused_with_the_field(wrong):
    answer = {"task_id": STRAIGHT, "revision": 1, "choice": "left", "view": "whole"}
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        replies.given({"answers": [answer | wrong]}, "ann")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(["answers", "task_ids", "revision"]), json_values))
def test_any_other_json_is_refused_or_understood_and_never_a_crash(body):
    for read in (lambda: replies.given(body, "ann"), lambda: replies.named(body), lambda: replies.revision_of(body)):
        with contextlib.suppress(InvalidInput):
            read()
