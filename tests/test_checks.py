"""Checkers: what is right, what is wrong, and when they can't tell."""

import pytest

from concord.checks.decision import Preferred, compare
from concord.checks.finding import Finding, Kind, Outcome, Reference
from concord.checks.kinds import CHECKS, check

RIGHT, WRONG, UNKNOWN = (Finding(outcome, "as made here", Kind.NUMBER) for outcome in Outcome)


def test_every_kind_has_one_check():
    assert set(CHECKS) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_without_a_reference_nothing_is_wrong(kind):
    assert check(kind, "How many?", "Four.", Reference()).outcome is not Outcome.WRONG or not CHECKS[kind].needs


def test_right_beats_wrong_in_either_place():
    assert compare(RIGHT, WRONG).preferred is Preferred.FIRST
    assert compare(WRONG, RIGHT).preferred is Preferred.SECOND


def test_two_wrong_answers_have_no_preference():
    assert compare(WRONG, WRONG).preferred is Preferred.NEITHER


@pytest.mark.parametrize("other", [RIGHT, WRONG, UNKNOWN])
def test_a_check_that_cannot_tell_leaves_it_open(other):
    assert compare(UNKNOWN, other).preferred is compare(other, UNKNOWN).preferred is Preferred.OPEN


def test_of_two_right_answers_the_one_without_a_wrong_step_is_better():
    steps = {"good": (), "bad": ("2 + 2 = 5",)}.__getitem__
    assert compare(RIGHT, RIGHT, "good", "bad", steps).preferred is Preferred.FIRST
    assert compare(RIGHT, RIGHT, "bad", "good", steps).preferred is Preferred.SECOND
    assert compare(RIGHT, RIGHT, "good", "good", steps).preferred is Preferred.OPEN
    assert compare(RIGHT, RIGHT, "bad", "bad", steps).preferred is Preferred.OPEN
    assert "2 + 2 = 5" in compare(RIGHT, RIGHT, "good", "bad", steps).why
