"""Satisfaction beside win rate: what is known of an answer by itself, and the alarm where the two part."""

import numpy as np
import pytest

from concord.report import measures
from concord.report.measures import Judged

NAN = np.nan


def judged(good_first, good_second, judge) -> Judged:
    return Judged(np.array(good_first, float), np.array(good_second, float), np.array(judge, np.int8))


def style_judge(pairs=200, right=0.3, seed=0) -> Judged:
    """One answer of each pair is good; the judge prefers the other one in seven of ten."""
    generator = np.random.default_rng(seed)
    first = generator.random(pairs) < 0.5
    prefers_good = generator.random(pairs) < right
    judge = np.where(first == prefers_good, 1, 2)
    return judged(first, ~first, judge)


def test_a_check_and_a_persons_mark_both_have_to_find_an_answer_good():
    verified = np.array([0, 1, 2, 3, 4, 3, 0])
    marked_first = np.array([NAN, NAN, NAN, 0.0, 1.0, NAN, 1.0])
    first, second = measures.good(verified, marked_first, np.full(7, NAN))
    assert np.array_equal(first, [NAN, 1, 0, 0, 0, 1, 1], equal_nan=True)
    assert np.array_equal(second, [NAN, 0, 1, 1, 0, 1, NAN], equal_nan=True)


def test_both_measures_of_a_choice_count_only_what_is_known():
    said = judged([1, 0, 1, NAN], [0, 1, NAN, NAN], [1, 1, 2, 1])
    of_judge = measures.of_choice(said, said.judge)
    assert (of_judge.satisfaction.count, of_judge.satisfaction.of) == (1, 2)
    assert of_judge.win_rate.share == 1
    opposite = measures.of_choice(said, np.array([2, 2, 1, 0], np.int8))
    assert (opposite.satisfaction.count, opposite.satisfaction.of) == (2, 3) and opposite.win_rate.share == 0
    came = measures.as_they_came(said)
    assert (came.satisfaction.count, came.satisfaction.of, came.win_rate.share) == (3, 5, 0.5)


def test_a_judge_of_style_sounds_the_alarm_and_says_what_to_do():
    said = style_judge()
    alarm = measures.alarm(measures.as_they_came(said), measures.of_choice(said, said.judge))
    assert alarm and alarm.satisfaction_change < -0.1 and alarm.win_rate_change == 0.5
    assert "fewer of them are correct and acceptable" in alarm.says and "criteria" in alarm.says


def test_labels_that_checks_corrected_sound_none():
    said = style_judge()
    right = np.where(said.good_first == 1, 1, 2).astype(np.int8)
    assert measures.alarm(measures.as_they_came(said), measures.of_choice(said, right)) is None
    judge = measures.of_choice(said, said.judge)
    assert measures.alarm(judge, measures.of_choice(said, right)) is None, (
        "people's corrections are no reason for alarm"
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_judge_as_good_as_a_coin_sounds_none_and_neither_does_a_handful_of_pairs(seed):
    said = style_judge(60, 0.5, seed)
    assert measures.alarm(measures.as_they_came(said), measures.of_choice(said, said.judge)) is None
    few = style_judge(9, 0.0, seed)
    assert measures.alarm(measures.as_they_came(few), measures.of_choice(few, few.judge)) is None
