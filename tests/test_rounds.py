"""One round of triage, as the service and the benchmark call it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.triage.rounds import fact, triage_posterior, triage_posterior_random, triage_random
from concord.v1 import config_pb2
from tests.triage_world import NOBODY, answers, planted, signals

CONFIG = config_pb2.RunConfig(seed=7, audit_share=0.1)
TRUE = {"intercept": -1.0, "margin": -0.8, "flip": 1.5, "helper": 2.5}
both_methods = pytest.mark.parametrize("triage", [triage_posterior, triage_random])


def grown(said, asked, truth):
    """`said` with the answers to a batch."""
    pair = np.concatenate([said.pair, asked.pair])
    return answers(pair, truth[pair], np.concatenate([said.audit, asked.audit]))


def loop(triage, world, truth, budget, config=CONFIG):
    said, round_ = NOBODY, 0
    while len(said.pair) < budget:
        round_ += 1
        decided = triage(world, said, config, round_, min(10, budget - len(said.pair)))
        said = grown(said, decided.asked, truth)
    return said, triage(world, said, config, round_ + 1, 0)


@both_methods
def test_the_loop_spends_its_budget_and_asks_nobody_twice(triage):
    world, truth = planted(300, 0, dimensions=15, **TRUE)
    said, last = loop(triage, world, truth, 125)
    assert len(said.pair) == len(set(said.pair.tolist())) == 125
    assert len(last.asked.pair) == 0
    assert last.target[said.pair].tolist() == truth[said.pair].tolist()


def test_the_posterior_removes_more_errors_than_random_asking():
    removed = {}
    for triage in (triage_posterior, triage_random):
        for seed in range(4):
            world, truth = planted(500, seed, **TRUE)
            _, last = loop(triage, world, truth, 50)
            right = np.mean((last.target > 0.5) == (truth == 1))
            removed.setdefault(triage, []).append(right - np.mean((world.label > 0) == (truth == 1)))
    assert np.mean(removed[triage_posterior]) > np.mean(removed[triage_random]) + 0.03
    assert min(removed[triage_posterior]) > 0


@both_methods
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_in_whatever_order_people_answered_the_round_is_the_same(triage, seed):
    world, truth = planted(150, seed, dimensions=14, **TRUE)
    generator = np.random.default_rng(seed)
    pair, audit = generator.permutation(150)[:110], generator.random(110) < 0.3
    order = generator.permutation(110)
    one = fact(triage(world, answers(pair, truth[pair], audit), CONFIG, 3, 12), "u")
    other = fact(triage(world, answers(pair[order], truth[pair[order]], audit[order]), CONFIG, 3, 12), "u")
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


@both_methods
def test_a_pair_about_which_nobody_could_say_is_not_asked_again(triage):
    world, _ = planted(20, 1)
    silent = answers(np.arange(15), np.nan)
    decided = triage(world, silent, CONFIG, 2, 20)
    assert sorted(decided.asked.pair.tolist()) == [15, 16, 17, 18, 19]


def test_a_weak_judge_brings_random_asking():
    world, truth = planted(300, 2, intercept=1.0)
    said = answers(np.arange(9), truth[:9], audit=True)
    assert np.mean((world.label[:9] > 0) == (truth[:9] == 1)) < 0.6
    assert triage_posterior(world, said, CONFIG, 2, 30).asked.audit.all()


def test_pairs_without_a_verdict_are_asked_first():
    world = signals(100, label=np.where(np.arange(100) < 3, 0, 1))
    asked = triage_posterior(world, NOBODY, config_pb2.RunConfig(seed=1, audit_share=0.0), 1, 50).asked.pair
    assert set(range(3)) & set(asked.tolist()) == set(asked[: len(set(range(3)) & set(asked.tolist()))].tolist())
    assert triage_posterior(world, NOBODY, CONFIG, 1, 0).target[:3].tolist() == [0.5] * 3


@both_methods
def test_pairs_without_a_verdict_are_no_right_labels_to_the_audit(triage):
    world, truth = planted(100, 3, **TRUE)
    silent = replace(world, label=np.where(np.arange(100) < 50, 0, world.label))
    pair = np.arange(40, 60)
    said = answers(pair, truth[pair], np.ones(20, bool))
    decided = triage(silent, said, CONFIG, 1, 0)
    judged = triage(silent, answers(pair[10:], truth[pair[10:]], np.ones(10, bool)), CONFIG, 1, 0)
    # Ten of the twenty audited pairs have no label; of the ten that have one some are right.
    assert decided.audited.error * 20 == pytest.approx(10 + judged.audited.error * 10) and judged.audited.error < 1


@both_methods
def test_the_audit_speaks_from_eight_audited_answers_on(triage):
    world, truth = planted(200, 3, **TRUE)
    pair = np.arange(60)
    seven = triage(world, answers(pair, truth[:60], audit=pair < 7), CONFIG, 2, 5)
    eight = triage(world, answers(pair, truth[:60], audit=pair < 8), CONFIG, 2, 5)
    assert seven.audited is None and not fact(seven, "u").HasField("audited_error")
    assert eight.audited.low <= eight.audited.error <= eight.audited.high
    assert fact(eight, "u").audited_error_high == eight.audited.high


def test_the_audits_interval_holds_the_true_error_left():
    held = 0
    for seed in range(60):
        world, truth = planted(600, seed, **TRUE)
        pair = np.random.default_rng(seed).permutation(600)[:60]
        decided = triage_posterior(world, answers(pair, truth[pair], audit=True), CONFIG, 2, 0)
        left = np.setdiff1d(np.arange(600), pair)
        error = np.mean((decided.target[left] > 0.5) != (truth[left] == 1))
        held += decided.audited.low <= error <= decided.audited.high
    assert held >= 53


def test_random_keeps_every_label_that_nobody_answered():
    world, truth = planted(200, 4, intercept=2.0)
    decided = triage_random(world, answers(np.arange(50), truth[:50], audit=True), CONFIG, 2, 10)
    assert np.all((decided.target[50:] > 0.5) == (world.label[50:] > 0))
    assert decided.trust == decided.flipped == 0 and decided.expected_error <= 0.5


def test_the_fact_says_what_was_decided():
    world, truth = planted(200, 5, dimensions=20, **TRUE)
    decided = triage_posterior(world, answers(np.arange(110), truth[:110]), CONFIG, 4, 6)
    said = fact(decided, "blob:x")
    assert list(said.asked) == decided.asked.pair.tolist() and list(said.p_ask) == decided.asked.p_ask.tolist()
    assert list(said.audit) == decided.asked.audit.tolist() and len(said.asked) == 6
    assert said.posterior_uri == "blob:x" and said.trust == 2 and said.flipped == decided.flipped
    assert {c.signal for c in said.coefficients} >= {"intercept", "margin", "order flip", "helper other"}
    assert decided.target.dtype == decided.p_wrong.dtype == np.float32


@both_methods
def test_a_run_whose_pairs_are_all_answered_has_nobody_to_ask_and_no_error(triage):
    world, truth = planted(12, 6)
    decided = triage(world, answers(np.arange(12), truth), CONFIG, 2, 5)
    assert len(decided.asked.pair) == 0 and decided.expected_error == 0


def test_the_model_with_random_asking_believes_what_the_default_believes_and_asks_anybody():
    world, truth = planted(300, 8, intercept=-1.0, helper=3.0)
    said = answers(np.arange(40), truth[:40])
    ours, theirs = (triage(world, said, CONFIG, 2, 30) for triage in (triage_posterior, triage_posterior_random))
    assert np.array_equal(ours.target, theirs.target) and ours.flipped == theirs.flipped > 0
    assert theirs.asked.audit.all() and not ours.asked.audit.all()
    assert np.allclose(theirs.asked.p_ask, 30 / 260)


def test_the_usual_audit_share_is_three_in_ten():
    world, _ = planted(2_000, 9)
    share = np.mean(
        [
            triage_posterior(world, NOBODY, config_pb2.RunConfig(seed=s, audit_share=-1), 1, 100).asked.audit
            for s in range(40)
        ]
    )
    assert share == pytest.approx(0.3, abs=0.03)


def test_a_round_names_the_helper_for_whose_sake_labels_flip_early():
    world = signals(60, helpers=("good",), helper_disagree=(np.arange(60) < 20).astype(float)[None])
    said = answers(np.arange(5), 0.0)
    decided = triage_posterior(world, said, CONFIG, 2, 0)
    assert decided.flipped == 15 and list(fact(decided, "blob:x").proven_helpers) == ["good"]
    assert not fact(triage_posterior(world, answers(np.arange(4), 0.0), CONFIG, 2, 0), "blob:x").proven_helpers
