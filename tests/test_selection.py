"""Who is asked, with which probability; the pilot and its gate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from concord.preference.pilot import draw_part, draw_pilot, misaligned, pilot_size
from concord.preference.wilson import wilson
from concord.triage.selection import random_asks, random_only, targeted_asks, usefulness


@pytest.mark.parametrize(
    ("pairs", "places", "share"),
    [
        (40, 6, 0.1),
        (40, 6, 0.0),
        (40, 6, 1.0),
        (12, 8, 0.3),
        (7, 7, 0.2),
        (5, 9, 0.5),
        (30, 1, 0.5),
    ],
)
def test_every_pair_is_asked_as_often_as_its_p_ask_says(pairs, places, share):
    score = np.linspace(0.5, 0, pairs)
    unasked, draws = np.arange(pairs), 6_000
    times, audits, p_of = np.zeros(pairs), np.zeros(pairs), np.full(pairs, np.nan)
    for seed in range(draws):
        asked = targeted_asks(score, unasked, places, share, seed, 1)
        times[asked.pair] += 1
        audits[asked.pair[asked.audit]] += 1
        p_of[asked.pair] = asked.p_ask
    p_of = np.nan_to_num(p_of)
    error = np.sqrt(p_of * (1 - p_of) / draws)
    assert np.all(np.abs(times / draws - p_of) < 4.5 * error + 1e-9)
    assert p_of.sum() == pytest.approx(min(places, pairs))
    # Audit places see every pair alike.
    p_audit = share * min(places, pairs) / pairs
    assert np.all(np.abs(audits / draws - p_audit) < 4.5 * np.sqrt(p_audit * (1 - p_audit) / draws) + 1e-9)


scores = st.lists(st.floats(0, 0.5), min_size=1, max_size=40)


@settings(deadline=None)
@given(scores, st.integers(0, 45), st.floats(0, 1), st.integers(0, 2**64 - 1), st.integers(0, 99), st.data())
def test_a_batch_has_its_size_without_repeats_and_only_open_pairs_most_useful_first(
    score, places, share, seed, k, data
):
    score = np.array(score)
    unasked = np.array(sorted(data.draw(st.sets(st.integers(0, len(score) - 1)))), dtype=int)
    asked = targeted_asks(score, unasked, places, share, seed, k)
    assert len(asked.pair) == min(places, len(unasked)) == len(set(asked.pair.tolist()))
    assert set(asked.pair.tolist()) <= set(unasked.tolist())
    assert np.all((asked.p_ask > 0) & (asked.p_ask <= 1))
    order = [(-round(float(score[pair]), 6), int(pair)) for pair in asked.pair]
    assert order == sorted(order)


def test_the_same_seed_and_round_draw_the_same_batch_and_another_round_another():
    score, unasked = np.linspace(0, 0.5, 200), np.arange(200)
    draw = [targeted_asks(score, unasked, 20, 0.1, 5, round_).pair.tolist() for round_ in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]
    shuffled = np.random.default_rng(0).permutation(unasked)
    assert targeted_asks(score, shuffled, 20, 0.1, 5, 1).pair.tolist() == draw[0]


def test_differences_below_a_millionth_do_not_rank():
    score = np.array([0.3, 0.3 + 1e-8, 0.3 - 1e-8, 0.1])
    assert targeted_asks(score, np.arange(4), 4, 0.0, 0, 1).pair.tolist() == [0, 1, 2, 3]


def test_places_that_are_no_audit_go_to_the_top_twice_the_batch():
    score = np.arange(100) / 200
    for seed in range(50):
        asked = targeted_asks(score, np.arange(100), 5, 0.1, seed, 1)
        assert np.all(asked.pair[~asked.audit] >= 90)
        assert asked.p_ask[~asked.audit] == pytest.approx(0.45 + 0.005)


def test_random_asks_are_all_audits_with_equal_probability():
    asked = random_asks(np.linspace(0, 0.5, 50), np.arange(50), 10, 3, 1)
    assert asked.audit.all() and np.allclose(asked.p_ask, 0.2) and len(asked.pair) == 10


def test_a_label_that_is_surely_wrong_is_as_useless_to_ask_as_one_surely_right():
    assert usefulness(np.array([0.0, 0.1, 0.5, 0.9, 1.0])).tolist() == [0.0, 0.1, 0.5, 0.1, 0.0]


def answered(right: int, wrong: int):
    return np.array([0.0] * right + [1.0] * wrong), np.ones(right + wrong, dtype=bool)


@pytest.mark.parametrize(("right", "wrong", "expected"), [(3, 4, False), (5, 3, False), (4, 4, True), (6, 4, False)])
def test_a_judge_under_sixty_per_cent_on_eight_audits_brings_random_asking(right, wrong, expected):
    assert random_only(*answered(right, wrong), None) is expected


def test_random_asking_ends_when_the_model_beats_the_judge():
    wrong, audit = answered(5, 7)
    assert random_only(wrong, audit, np.zeros(12))
    assert not random_only(wrong, audit, np.where(wrong == 1, 0.9, 0.1))


def test_only_audit_places_accuse_the_judge():
    wrong, _ = answered(2, 20)
    assert not random_only(wrong, np.zeros(22, dtype=bool), None)


def test_wilson_gives_the_textbook_interval():
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    assert wilson(30, 100) == pytest.approx((0.2189, 0.3959), abs=1e-4)


@pytest.mark.parametrize(
    ("pairs", "tasks", "wished", "size"),
    [
        (600, 36, -1, 8),
        (395, 24, -1, 6),
        (20_000, 1_200, -1, 100),
        (600, 12, -1, 3),
        (600, 3, -1, 0),
        (600, 36, 0, 0),
        (600, 36, 20, 20),
        (600, 36, 50, 36),
        (5, 100, 9, 5),
    ],
)
def test_the_pilot_is_small_against_pairs_and_budget(pairs, tasks, wished, size):
    assert pilot_size(pairs, tasks, wished) == size


def test_the_pilot_is_drawn_uniformly_and_again_the_same():
    drawn = draw_pilot(30, 6, 9)
    assert drawn.tolist() == draw_pilot(30, 6, 9).tolist() == sorted(set(drawn.tolist()))
    times = sum(np.bincount(draw_pilot(30, 6, seed), minlength=30) for seed in range(4_000))
    assert np.all(np.abs(times / 4_000 - 0.2) < 0.03)


@pytest.mark.parametrize("answers", [4, 8, 20, 100, 500])
def test_the_gate_hardly_ever_stops_a_decent_judge_and_always_an_inverted_one(answers):
    stopped = [right for right in range(answers + 1) if misaligned(right, answers)]
    assert binom.pmf(stopped, answers, 0.7).sum() < 0.01
    assert misaligned(0, answers)
    assert binom.pmf(stopped, answers, 0.05).sum() > (0.8 if answers < 8 else 0.94)
    assert not misaligned(answers // 2 + answers % 2, answers)


def test_the_gate_needs_four_answers():
    assert not any(misaligned(0, answers) for answers in range(4))


def test_a_batch_that_the_budget_cuts_keeps_each_of_its_places_alike():
    times = np.zeros(12)
    for seed in range(4_000):
        kept = draw_part(12, 5, seed, 3)
        assert kept == sorted(set(kept)) and len(kept) == 5
        times[kept] += 1
    assert np.all(np.abs(times / 4_000 - 5 / 12) < 0.04)
    assert draw_part(12, 12, 0, 3) == list(range(12)) and draw_part(12, 0, 0, 3) == []


def test_after_the_cut_every_pair_is_asked_as_often_as_its_p_ask_says():
    score, draws, times, p_of = np.linspace(0.5, 0, 30), 5_000, np.zeros(30), np.zeros(30)
    for seed in range(draws):
        asked = targeted_asks(score, np.arange(30), 10, 0.3, seed, 2)
        kept = draw_part(10, 4, seed, 2)
        times[asked.pair[kept]] += 1
        p_of[asked.pair[kept]] = asked.p_ask[kept] * 4 / 10
    assert np.all(np.abs(times / draws - p_of) < 4.5 * np.sqrt(p_of * (1 - p_of) / draws) + 1e-9)
