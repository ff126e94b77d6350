"""RLTHF's rounds: which labels stay, turn round, or go to people; and what each of its knobs does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.preference.folds import drawn_subset
from concord.triage.rlthf import triage_rlthf, zones_of
from concord.triage.rounds import RoundContext
from concord.v1.config_pb2 import Rlthf, RunConfig
from tests.triage_world import NOBODY, answers, signals


def config(**knobs) -> RunConfig:
    wanted = {"subset_share": 1.0, "amplification": [4, 2, 1], "back_off": [0.6, 0.4, 0.2]} | knobs
    return RunConfig(seed=3, rlthf=Rlthf(**wanted))


def curved(pairs: int, wrong_share: float, seed: int):
    """A reward model that is mostly right: signals, truth [pairs], and which labels are wrong."""
    generator = np.random.default_rng(seed)
    wrong = generator.random(pairs) < wrong_share
    label = generator.choice([-1, 1], pairs)
    agreement = generator.gamma(2.0, 0.5, pairs) * np.where(wrong, -1, 1) + generator.normal(0, 0.5, pairs)
    return signals(pairs, label=label, margin=agreement * label), ((label > 0) ^ wrong).astype(float), wrong


@pytest.mark.parametrize("seed", range(4))
def test_labels_turn_round_where_they_are_mostly_wrong_and_stay_where_they_are_mostly_right(seed):
    world, _, wrong = curved(4_000, 0.25, seed)
    decided = triage_rlthf(world, NOBODY, config(), 1, 160)
    turned = (decided.target > 0.5) != (world.label > 0)
    kept = (decided.weight == 1) & ~turned
    assert decided.flipped == turned.sum() > 0
    assert wrong[turned].mean() > 0.8
    assert wrong[kept].mean() < 0.05
    assert (decided.weight[turned] == 1).all()


def test_people_are_asked_from_the_reflection_point_leftward():
    world, _, _ = curved(4_000, 0.25, 0)
    decided = triage_rlthf(world, NOBODY, config(), 1, 160)
    delta = world.margin * world.label
    turned = (decided.target > 0.5) != (world.label > 0)
    assert delta[turned].max() <= delta[decided.asked.pair].min() + 1e-6
    between = (delta > delta[turned].max()) & (delta < delta[decided.asked.pair].max())
    assert set(np.flatnonzero(between)) <= set(decided.asked.pair.tolist())
    assert decided.asked.p_ask.tolist() == [1.0] * 160


def test_back_off_leaves_fewer_and_cleaner_labels():
    world, _, wrong = curved(4_000, 0.25, 1)
    kept = {
        back_off: zones_of(np.arange(4_000), world.margin * world.label, np.zeros(0, int), back_off).kept
        for back_off in (0.0, 0.3, 0.6, 0.9)
    }
    sizes = [len(pairs) for pairs in kept.values()]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    errors = [wrong[pairs].mean() for pairs in kept.values()]
    assert errors[0] > errors[-1]


@given(st.integers(8, 300), st.integers(0, 10**6), st.floats(0, 1))
def test_no_pair_is_in_two_zones_and_nobody_is_asked_twice(pairs, seed, back_off):
    generator = np.random.default_rng(seed)
    subset = np.flatnonzero(generator.random(pairs) < 0.7)
    answered = generator.choice(pairs, pairs // 5, replace=False)
    zones = zones_of(subset, generator.normal(size=pairs), answered, back_off)
    assert not set(zones.kept) & set(zones.flipped)
    assert not set(zones.ranked) & set(zones.flipped)
    assert not set(answered) & {*zones.kept, *zones.flipped, *zones.ranked}
    assert {*zones.kept, *zones.flipped, *zones.ranked} <= set(subset.tolist())


def test_a_curve_without_a_bend_turns_nothing_round_and_asks_from_its_low_end():
    delta = np.linspace(1, -1, 100)
    zones = zones_of(np.arange(100), delta, np.zeros(0, int), 0.5)
    assert len(zones.flipped) == 0
    assert zones.ranked[:3].tolist() == [99, 98, 97]
    assert len(zones.kept) == 50


def test_only_the_subset_is_asked_and_teaches_and_the_last_model_labels_everything():
    world, _, _ = curved(2_000, 0.25, 2)
    knobs = config(subset_share=0.25)
    subset = drawn_subset(2_000, 0.25, 3)
    assert subset.sum() == 500
    decided = triage_rlthf(world, NOBODY, knobs, 1, 80)
    assert subset[decided.asked.pair].all()
    assert not decided.weight[~subset].any()
    said = answers([0], [1.0 - (world.margin[0] > 0)])
    last = triage_rlthf(world, said, knobs, 2, 0, RoundContext(decided.target, said, last=True))
    assert len(last.asked.pair) == 0
    assert ((last.target[1:] > 0.5) == (world.margin[1:] > 0)).all(), "the model's word"
    assert last.target[0] == said.p_first[0], "a person's word"


def test_schedules_go_round_by_round_and_their_last_value_stays():
    world, _, _ = curved(400, 0.25, 3)
    weights = [triage_rlthf(world, NOBODY, config(), round_, 10).human_weight for round_ in (1, 2, 3, 4, 9)]
    assert weights == [4, 2, 1, 1, 1]


def test_a_label_that_turned_round_stays_so_in_the_next_round():
    world, _, _ = curved(2_000, 0.25, 4)
    first = triage_rlthf(world, NOBODY, config(), 1, 0)
    turned = (first.target > 0.5) != (world.label > 0)
    again = triage_rlthf(world, NOBODY, config(), 2, 0, RoundContext(previous=first.target))
    assert ((again.target > 0.5) == (first.target > 0.5))[turned].mean() > 0.95


def test_the_ablation_without_people_asks_nobody():
    world, _, _ = curved(400, 0.25, 5)
    assert len(triage_rlthf(world, NOBODY, config(nobody=True), 1, 40).asked.pair) == 0


@pytest.mark.parametrize("corrected, asked", [(0.0, 0), (0.05, 0), (0.5, 40)])
def test_people_are_left_in_peace_once_they_correct_too_little(corrected, asked):
    world, _, _ = curved(1_000, 0.25, 6)
    before = (world.label > 0).astype(float)
    pairs = np.arange(100)
    said = answers(pairs, np.where(pairs < 100 * corrected, 1 - before[pairs], before[pairs]))
    decided = triage_rlthf(world, said, config(stop_below=0.1), 2, 40, RoundContext(before, said))
    assert len(decided.asked.pair) == asked


def test_pairs_without_a_usable_verdict_are_left_to_the_last_model():
    world = signals(50, label=np.zeros(50, dtype=int), margin=np.linspace(-1, 1, 50))
    decided = triage_rlthf(world, NOBODY, config(), 1, 10)
    assert len(decided.asked.pair) == 0 and not decided.weight.any()
    last = triage_rlthf(world, NOBODY, config(), 2, 0, RoundContext(last=True))
    assert ((last.target > 0.5) == (world.margin > 0)).all()
