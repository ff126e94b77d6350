"""The linear Bradley-Terry heads."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from concord.reward.head import PAIRS_FOR_OWN_HEAD, Head, fit_head, margins


def world(pairs: int, seed: int, dimensions: int = 20):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(pairs, dimensions)).astype(np.float16)
    return generator, x, x.astype(float) @ generator.normal(size=dimensions) > 0


def one_domain(x):
    return np.zeros(len(x), dtype=int)


def test_it_learns_a_planted_reward_better_than_the_noisy_labels_that_taught_it():
    generator, x, truth = world(3_000, 0)
    label = truth ^ (generator.random(3_000) < 0.25)
    head = fit_head(x[:2_000], label[:2_000].astype(float), np.ones(2_000), one_domain(x[:2_000]), 30.0)
    right = (margins(head, x[2_000:], one_domain(x[2_000:])) > 0) == truth[2_000:]
    assert right.mean() > 0.9


@settings(max_examples=20, deadline=None)
@given(pairs=st.integers(0, 60), seed=st.integers(0, 1000))
def test_swapping_the_responses_negates_the_margin(pairs, seed):
    generator, x, _ = world(pairs, seed)
    p = generator.random(pairs)
    ones = np.ones(pairs)
    head = fit_head(x, p, ones, one_domain(x))
    assert np.array_equal(margins(head, -x, one_domain(x)), -margins(head, x, one_domain(x)))
    swapped = fit_head(-x, 1 - p, ones, one_domain(x))
    assert swapped.weights == pytest.approx(head.weights, abs=1e-3)


def test_soft_targets_teach_their_strength():
    x = np.ones((4_000, 1), dtype=np.float16)
    head = fit_head(x, np.full(4_000, 0.8), np.ones(4_000), one_domain(x), 1e-3)
    assert expit(margins(head, x[:1], one_domain(x[:1]))[0]) == pytest.approx(0.8, abs=1e-3)


def test_pairs_of_no_weight_teach_nothing():
    generator, x, truth = world(400, 1)
    weight = (np.arange(400) < 300).astype(float)
    with_noise = np.where(weight > 0, truth, generator.random(400))
    half = fit_head(x[:300], truth[:300].astype(float), np.ones(300), one_domain(x[:300]))
    assert fit_head(x, with_noise, weight, one_domain(x)).weights == pytest.approx(half.weights, abs=1e-5)


def test_domains_that_pull_apart_get_their_own_heads():
    _, x, truth = world(1_200, 2)
    domain = np.arange(1_200) % 2
    label = truth ^ (domain == 1)
    head = fit_head(x, label.astype(float), np.ones(1_200), domain)
    assert head.domains.tolist() == [0, 1]
    assert np.mean((margins(head, x, domain) > 0) == label) > 0.9


def test_a_small_or_unknown_domain_is_served_by_the_pooled_head():
    _, x, truth = world(2 * PAIRS_FOR_OWN_HEAD, 3)
    domain = np.where(np.arange(len(x)) < PAIRS_FOR_OWN_HEAD + 1, 7, 8)
    head = fit_head(x, truth.astype(float), np.ones(len(x)), domain)
    pooled = fit_head(x, truth.astype(float), np.ones(len(x)), one_domain(x))
    assert head.domains.tolist() == [7]
    for other in (8, 99):
        where = np.full(len(x), other)
        assert margins(head, x, where) == pytest.approx(margins(pooled, x, one_domain(x)), abs=1e-5)


def test_separable_labels_give_a_finite_head():
    _, x, truth = world(50, 4, dimensions=200)
    head = fit_head(x, truth.astype(float), np.ones(50), one_domain(x), 1e-4)
    assert np.all(np.isfinite(head.weights)) and np.abs(margins(head, x, one_domain(x))).max() < 100


def test_no_pairs_give_a_head_without_an_opinion():
    head = fit_head(np.zeros((0, 5)), np.zeros(0), np.zeros(0), np.zeros(0, dtype=int))
    assert margins(head, np.ones((3, 5)), np.zeros(3, dtype=int)).tolist() == [0, 0, 0]


def test_a_head_survives_a_file_without_pickles():
    _, x, truth = world(300, 5)
    head = fit_head(x, truth.astype(float), np.ones(300), np.arange(300) % 2)
    file = io.BytesIO()
    np.savez(file, **head.arrays())
    file.seek(0)
    stored = Head.from_arrays(dict(np.load(file, allow_pickle=False)))
    assert np.array_equal(margins(stored, x, np.arange(300) % 2), margins(head, x, np.arange(300) % 2))
    with pytest.raises(ValueError, match="format 2"):
        Head.from_arrays(head.arrays() | {"format": np.array(2)})


def test_a_ridge_that_holds_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        fit_head(np.zeros((1, 1)), np.ones(1), np.ones(1), np.zeros(1), 0.0)
