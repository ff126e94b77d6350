"""Elbow, knee and reflection of a sorted reward distribution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.reward.curve import FEWEST, NONE, Bends, bends


def bent(pairs: int, elbow: float, knee: float, top: float = 5.0, bottom: float = -5.0, slack: float = 0.5):
    """Steep down to +slack at `elbow`, flat to -slack at `knee`, steep to the bottom; shares of the pairs."""
    at = np.linspace(0, 1, pairs)
    return np.interp(at, [0, elbow, knee, 1], [top, slack, -slack, bottom])


@pytest.mark.parametrize("pairs", [200, 1_000, 5_001])
@pytest.mark.parametrize(("elbow", "knee"), [(0.1, 0.9), (0.25, 0.7), (0.4, 0.95), (0.05, 0.6)])
def test_known_bends_are_found_within_two_per_cent(pairs, elbow, knee):
    found = bends(bent(pairs, elbow, knee))
    assert abs(found.elbow / pairs - elbow) < 0.02 and abs(found.knee / pairs - knee) < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_known_bends_are_found_under_noise_too(seed):
    noise = np.random.default_rng(seed).normal(0, 0.05, 2_000)
    found = bends(np.sort(bent(2_000, 0.2, 0.8) + noise)[::-1])
    assert abs(found.elbow / 2_000 - 0.2) < 0.02 and abs(found.knee / 2_000 - 0.8) < 0.02


def test_at_the_reflection_the_model_objects_as_strongly_as_it_agrees_at_the_elbow():
    # The flat part ends above -slack, so the curve passes -delta(elbow) on its steep way down.
    at = np.linspace(0, 1, 2_000)
    delta = np.interp(at, [0, 0.2, 0.75, 1], [5, 1, -0.2, -4])
    found = bends(delta)
    assert found.reflection > found.knee
    assert delta[found.reflection] == pytest.approx(-delta[found.elbow], abs=0.02)
    assert delta[found.reflection] < -delta[found.elbow] <= delta[found.reflection - 1]


def test_the_reflection_is_not_left_of_the_knee():
    # Here the curve has passed -delta(elbow) long before it bends.
    at = np.linspace(0, 1, 1_000)
    found = bends(np.interp(at, [0, 0.3, 0.8, 1], [5, 0.4, -2, -9]))
    assert found.reflection == found.knee


def test_without_objections_that_strong_there_is_no_reflection():
    at = np.linspace(0, 1, 1_000)
    found = bends(np.interp(at, [0, 0.2, 0.9, 1], [9, 3, 2, -1]))
    assert found.elbow is not None and found.knee is not None and found.reflection is None


def test_an_elbow_where_the_model_objects_gives_no_reflection():
    found = bends(bent(1_000, 0.2, 0.8) - 2)
    assert found.elbow is not None and found.reflection is None


@pytest.mark.parametrize("delta", [np.linspace(3, -3, 500), np.full(500, 0.7), np.zeros(8), np.linspace(1, 0, 8)])
def test_a_straight_or_constant_curve_has_no_bends(delta):
    assert bends(delta) == NONE


def test_a_half_that_bends_the_other_way_has_no_bend():
    at = np.linspace(0, 1, 1_000)
    # Flat at first and steep towards the middle: there is no elbow, the knee of the right half stays.
    found = bends(np.interp(at, [0, 0.3, 0.5, 0.8, 1], [5, 4.8, 1, 0.8, -4]))
    assert found.elbow is None and abs(found.knee - 800) < 20 and found.reflection is None


@pytest.mark.parametrize("pairs", range(FEWEST))
def test_a_tiny_curve_has_no_bends(pairs):
    assert bends(bent(pairs, 0.2, 0.8)) == Bends(None, None, None)


@pytest.mark.parametrize("delta", [[0.0, 1.0], [1.0, float("nan"), 0.0], [float("inf")] + [0.0] * 9])
def test_values_out_of_order_or_unknown_are_refused(delta):
    with pytest.raises(ValueError, match="descending"):
        bends(np.array(delta))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_bends_are_in_order_and_do_not_depend_on_the_scale(values):
    delta = np.sort(np.array(values))[::-1]
    found = bends(delta)
    known = [at for at in (found.elbow, found.knee, found.reflection) if at is not None]
    assert known == sorted(known) and all(0 <= at < len(delta) for at in known)
    if found.reflection is not None:
        assert found.knee is not None and delta[found.reflection] < -delta[found.elbow] < 0
    assert bends(delta * 4) == found
