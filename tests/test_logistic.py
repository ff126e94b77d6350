"""Logistic regression with a Gaussian prior."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from concord.reward import logistic


def problem(rows: int, columns: int, seed: int):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, columns))
    target = (generator.random(rows) < expit(x @ generator.normal(size=columns))).astype(float)
    return x, target


def gradient(x, target, weight, mean, precision, b):
    return x.T @ (weight * (expit(x @ b) - target)) + precision * (b - mean)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 60), columns=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_the_answer_is_a_stationary_point_on_both_sides_of_the_system(rows, columns, seed):
    x, _ = problem(rows, columns, seed)
    generator = np.random.default_rng(seed + 1)
    target, weight = generator.random(rows), generator.random(rows) * 3
    mean, precision = generator.normal(size=columns), 0.1 + 5 * generator.random(columns)
    b = logistic.fit(x, target, weight, mean, precision)
    assert np.abs(gradient(x, target, weight, mean, precision, b)).max() < 0.02


def test_it_agrees_with_scikit_learn():
    x, target = problem(400, 8, 0)
    ours = logistic.fit(x, target, np.ones(400), np.zeros(8), np.full(8, 2.0))
    theirs = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-9, max_iter=1000).fit(x, target).coef_[0]
    assert ours == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("columns", [1, 3, 50])
def test_separable_labels_with_a_weak_prior_do_not_diverge(columns):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, columns)) * 50
    target = (x[:, 0] > 0).astype(float)
    b = logistic.fit(x, target, np.ones(30), np.zeros(columns), np.full(columns, 1e-6))
    assert np.all(np.isfinite(b)) and np.abs(b).max() < 1e3
    assert np.mean((x @ b > 0) == (target == 1)) == 1


def test_a_start_far_away_reaches_the_same_answer():
    x, target = problem(200, 5, 3)
    arguments = (x, target, np.ones(200), np.zeros(5), np.ones(5))
    assert logistic.fit(*arguments, np.full(5, 40.0)) == pytest.approx(logistic.fit(*arguments), abs=2e-3)


def test_without_rows_the_prior_speaks():
    mean = np.array([1.0, -2.0])
    assert logistic.fit(np.zeros((0, 2)), np.zeros(0), np.zeros(0), mean, np.ones(2)).tolist() == mean.tolist()


def test_many_rows_whose_curvature_is_sampled_reach_the_same_answer():
    x, target = problem(50_000, 4, 7)
    b = logistic.fit(x, target, np.ones(len(x)), np.zeros(4), np.ones(4))
    assert np.abs(gradient(x, target, np.ones(len(x)), np.zeros(4), np.ones(4), b)).max() / len(x) < 1e-4
