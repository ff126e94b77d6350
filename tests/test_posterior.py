"""P(label wrong), learned from people's answers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.triage.posterior import Trust, posterior
from concord.triage.signals import AUDITED_FOR_HELPERS, design, proven_helpers, signals_of, weak_helpers
from concord.v1 import events_pb2, pairs_pb2
from tests.triage_world import NOBODY, answers, planted, signals

TRUE = {"intercept": -1.0, "margin": -0.8, "flip": 1.5, "own": 1.0, "helper": 2.0, "length": 0.6}


def coefficients(believed) -> dict[str, float]:
    return dict(believed.coefficients)


def test_planted_coefficients_are_recovered():
    world, truth = planted(6_000, 0, **TRUE)
    found = coefficients(posterior(world, answers(np.arange(6_000), truth)))
    names = {
        "intercept": "intercept",
        "margin": "margin",
        "flip": "order flip",
        "own": "own other prompts",
        "helper": "helper other",
        "length": "length",
    }
    for name, value in TRUE.items():
        assert found[names[name]] == pytest.approx(value, abs=0.2), name


def test_a_planted_bias_of_the_features_is_found_and_repaired_on_pairs_nobody_saw():
    world, truth = planted(3_000, 1, dimensions=30, intercept=-1.5, feature=3.0)
    seen = np.arange(600)
    believed = posterior(world, answers(seen, truth[seen]))
    rest = np.arange(600, 3_000)
    judge = np.mean((world.label[rest] > 0) == (truth[rest] == 1))
    corrected = np.mean((believed.target[rest] > 0.5) == (truth[rest] == 1))
    assert believed.trust is Trust.FEATURES and corrected > judge + 0.08


def test_features_without_meaning_do_no_harm():
    world, truth = planted(3_000, 2, dimensions=200, **TRUE)
    seen = answers(np.arange(150), truth[:150])
    rest = np.arange(150, 3_000)
    with_features = np.mean((posterior(world, seen).target[rest] > 0.5) == (truth[rest] == 1))
    without = np.mean(
        (posterior(replace(world, x=np.zeros((3_000, 0))), seen).target[rest] > 0.5) == (truth[rest] == 1)
    )
    assert with_features > without - 0.02


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), asked=st.sampled_from([0, 5, 30, 120]))
def test_exchanging_the_responses_of_any_pairs_changes_no_belief(seed, asked):
    world, truth = planted(200, seed, dimensions=15, **TRUE)
    exchanged = np.random.default_rng(seed).random(200) < 0.5
    sign = np.where(exchanged, -1, 1)
    mirror = replace(
        world,
        label=world.label * sign,
        margin=world.margin * sign,
        x=world.x * sign[:, None],
        length_difference=world.length_difference * sign,
    )
    there = posterior(world, answers(np.arange(asked), truth[:asked]))
    back = posterior(mirror, answers(np.arange(asked), np.where(exchanged, 1 - truth, truth)[:asked]))
    assert back.p_wrong == pytest.approx(there.p_wrong, abs=2e-3)
    assert np.where(exchanged, 1 - back.target, back.target) == pytest.approx(there.target, abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), asked=st.integers(0, 130))
def test_what_people_said_stands(seed, asked):
    world, _ = planted(150, seed, dimensions=13, **TRUE)
    generator = np.random.default_rng(seed)
    said = np.where(generator.random(asked) < 0.2, 0.5, generator.choice([0.0, 1.0], asked))
    pair = generator.permutation(150)[:asked]
    believed = posterior(world, answers(pair, said))
    assert believed.target[pair].tolist() == said.tolist()
    agrees = (world.label[pair] > 0) == (said == 1)
    assert believed.p_wrong[pair].tolist() == np.where(said == 0.5, 0.5, np.where(agrees, 0.0, 1.0)).tolist()
    assert np.all((believed.p_wrong >= 0) & (believed.p_wrong <= 1) & (believed.target >= 0) & (believed.target <= 1))


@pytest.mark.parametrize(("labels", "trust"), [(0, 0), (9, 0), (10, 1), (99, 1), (100, 2), (150, 2)])
def test_trust_grows_with_the_answers(labels, trust):
    world, truth = planted(300, 3, dimensions=20, **TRUE)
    believed = posterior(world, answers(np.arange(labels), truth[:labels]))
    assert believed.trust == trust
    assert ("features, prior variance" in coefficients(believed)) == (trust == 2)
    assert (believed.flipped > 0) == (trust > 0)


def test_under_ten_answers_the_priors_speak_and_every_label_stays():
    world, truth = planted(300, 4, **TRUE)
    nobody, few = posterior(world, NOBODY), posterior(world, answers(np.arange(9), truth[:9]))
    assert nobody.coefficients == few.coefficients
    assert coefficients(nobody)["intercept"] == -1.3 and coefficients(nobody)["helper other"] == pytest.approx(2.2)
    assert nobody.p_wrong.max() > 0.5
    assert np.all((nobody.target > 0.5) == (world.label > 0))


def test_flips_are_the_pairs_that_changed_sides_without_a_person():
    world, truth = planted(500, 5, **TRUE)
    believed = posterior(world, answers(np.arange(60), truth[:60]))
    rest = np.arange(60, 500)
    changed = (believed.target[rest] > 0.5) != (world.label[rest] > 0)
    assert believed.flipped == changed.sum() > 0
    assert np.array_equal(changed, believed.p_wrong[rest] > 0.5)


def test_ties_leave_the_fit():
    world, truth = planted(300, 6, **TRUE)
    some = answers(np.arange(40), truth[:40])
    tied = answers(np.arange(60), np.concatenate([truth[:40], np.full(20, 0.5)]))
    assert posterior(world, tied).coefficients == posterior(world, some).coefficients


def test_an_answer_that_never_came_changes_nothing():
    world, truth = planted(300, 6, **TRUE)
    some, silent = answers(np.arange(40), truth[:40]), answers([*range(40), 99], [*truth[:40], np.nan])
    assert np.array_equal(posterior(world, silent).target, posterior(world, some).target)


def test_a_pair_without_a_usable_verdict_is_the_most_doubtful():
    world, truth = planted(300, 7, **TRUE)
    world = replace(world, label=np.where(np.arange(300) == 250, 0, world.label))
    believed = posterior(world, answers(np.arange(40), truth[:40]))
    assert believed.p_wrong[250] == believed.target[250] == 0.5
    assert np.minimum(believed.p_wrong, 1 - believed.p_wrong).argmax() == 250


@pytest.mark.parametrize("dimensions", [0, 40])
def test_near_separable_answers_do_not_diverge(dimensions):
    world, _ = planted(400, 8, dimensions=dimensions)
    truth = ((world.label > 0) ^ (world.order_flipped == 1)).astype(float)
    believed = posterior(world, answers(np.arange(200), truth[:200]))
    assert all(np.isfinite(value) and abs(value) < 20 for _, value in believed.coefficients)
    assert np.mean((believed.target > 0.5) == (truth == 1)) > 0.99


@pytest.mark.parametrize("wrong", [0.0, 1.0])
def test_people_who_always_or_never_contradict_give_a_finite_fit(wrong):
    world, _ = planted(400, 9, dimensions=30)
    truth = ((world.label > 0) ^ (wrong == 1)).astype(float)
    believed = posterior(world, answers(np.arange(150), truth[:150]))
    assert np.all(np.isfinite(believed.p_wrong)) and abs(believed.p_wrong[150:].mean() - wrong) < 0.15


RISING = ["order_flipped", "own_disagree", "helper_disagree"]


@pytest.mark.parametrize("signal", RISING)
def test_by_the_priors_each_disagreement_raises_doubt_and_silence_lies_between(signal):
    values = np.array([0.0, -1.0, 1.0])
    column = {signal: values[None], "helpers": ("h",)} if signal == "helper_disagree" else {signal: values}
    low, silent, high = posterior(signals(3, **column), NOBODY).p_wrong
    assert low < silent < high
    assert silent == pytest.approx(posterior(signals(1), NOBODY).p_wrong[0])


def test_by_the_priors_a_confident_judge_and_an_agreeing_margin_lower_doubt():
    assert np.all(np.diff(posterior(signals(3, confidence=np.array([0.5, 0.8, 0.99])), NOBODY).p_wrong) < 0)
    assert np.all(np.diff(posterior(signals(3, margin=np.array([-1.0, 0.0, 2.0])), NOBODY).p_wrong) < 0)


def test_absolute_certainty_is_not_infinite():
    world = signals(2, confidence=np.array([0.0, 1.0]))
    assert np.all(np.isfinite(design(world, np.zeros(0, dtype=bool)).columns))


def test_many_helpers_share_their_weight():
    def mean(count):
        names = tuple(f"h{j}" for j in range(count))
        made = design(signals(2, helpers=names, helper_disagree=np.ones((count, 2))), np.zeros(count, dtype=bool))
        return made.mean[made.names.index("helper h0")]

    assert mean(1) == pytest.approx(2.2) and mean(3) == pytest.approx(2.2 / 3**0.7)


@pytest.mark.parametrize(
    ("audited", "errors", "weak"),
    [
        (AUDITED_FOR_HELPERS, 7, True),
        (AUDITED_FOR_HELPERS, 4, False),
        (AUDITED_FOR_HELPERS - 1, 19, False),
    ],
)
def test_a_helper_is_weak_once_audits_show_it_over_five_points_below_the_judge(audited, errors, weak):
    # The judge errs in 4 of 20; the helper contradicts it on as many pairs as it takes to err `errors` times.
    wrong = np.arange(60) < 4
    helper_wrong = np.arange(60) < errors
    world = signals(60, helpers=("h",), helper_disagree=(wrong != helper_wrong).astype(float)[None])
    truth = np.where(wrong, 0.0, 1.0)
    said = answers(np.arange(60), truth, audit=np.arange(60) < audited)
    assert weak_helpers(world, said).tolist() == [weak]
    made = design(world, np.array([weak]))
    assert made.names[-1] == "helper h" or not weak
    if weak:
        assert made.mean[made.names.index("helper h")] == 0.5


def test_domains_learn_their_own_error_rates_only_where_they_are_large():
    world, _ = planted(1_000, 10)
    world = replace(world, domain=np.repeat([4, 5, 6], [450, 450, 100]))
    wrong = np.where(world.domain == 5, np.arange(1_000) % 2 == 0, np.arange(1_000) % 10 == 0)
    truth = ((world.label > 0) ^ wrong).astype(float)
    found = coefficients(posterior(world, answers(np.arange(0, 1_000, 11), truth[::11])))
    assert found["domain 5"] > found["domain 4"] + 0.5 and "domain 6" not in found


def test_held_out_predictions_do_not_see_their_own_answer():
    world, _ = planted(120, 11, dimensions=60)
    random_truth = np.random.default_rng(0).choice([0.0, 1.0], 120)
    believed = posterior(world, answers(np.arange(120), random_truth))
    right = (believed.p_held_out > 0.5) == ((world.label > 0) != (random_truth == 1))
    assert 0.3 < right.mean() < 0.7


def test_columns_come_out_of_the_shards_by_pair_index():
    first, second, unusable = pairs_pb2.CHOICE_FIRST, pairs_pb2.CHOICE_SECOND, pairs_pb2.CHOICE_UNSPECIFIED
    late = events_pb2.ShardLabeled(
        pair_index=[3, 2],
        choice=[second, unusable],
        confidence=[0.9, 0.0],
        order_flipped=[1, -1],
        own_disagree=[0.25, -1],
        length_difference=[0.5, 0],
        p_first=[0.1, 0.5],
        helpers=[events_pb2.HelperColumn(judge="h", disagree=[1, -1])],
    )
    early = events_pb2.ShardLabeled(
        pair_index=[0], choice=[first], confidence=[-1], order_flipped=[0], own_disagree=[-1], length_difference=[0]
    )
    made = signals_of([late, early], np.zeros(4), np.zeros((4, 0)), np.arange(4), np.zeros(4, dtype=int))
    assert made.label.tolist() == [1, 0, 0, -1]
    assert made.confidence == pytest.approx([-1, -1, 0, 0.9])
    assert made.order_flipped.tolist() == [0, -1, -1, 1]
    assert made.helpers == ("h",) and made.helper_disagree.tolist() == [[-1, -1, -1, 1]]


def differing(sided: int, against: int, others: int = 0):
    """A world whose judge and helper differ on the first pairs; answers that side with the helper, then with the judge."""
    helper_differs = np.arange(60) < 30
    world = signals(60, helpers=("h",), helper_disagree=helper_differs.astype(float)[None])
    pairs = np.concatenate([np.arange(sided + against), np.arange(40, 40 + others)])
    truth = np.where(np.arange(len(pairs)) < sided, 0.0, 1.0)
    return world, answers(pairs, truth)


@pytest.mark.parametrize(
    ("sided", "against", "proven"),
    [(4, 0, False), (5, 0, True), (6, 1, False), (7, 1, True), (8, 1, True), (0, 9, False)],
)
def test_a_helper_is_proven_once_people_side_with_it_more_often_than_luck_would(sided, against, proven):
    assert proven_helpers(*differing(sided, against)).tolist() == [proven]


def test_before_ten_answers_labels_flip_only_with_a_proven_helper():
    believed = posterior(*differing(5, 0, others=4))
    assert believed.trust is Trust.SIGNALS and believed.proven == ("h",) and believed.flipped == 25
    believed = posterior(*differing(4, 0, others=5))
    assert believed.trust is Trust.PRIORS and believed.proven == () and believed.flipped == 0


def test_from_ten_answers_on_nobody_needs_to_be_proven():
    believed = posterior(*differing(5, 0, others=5))
    assert believed.trust is Trust.SIGNALS and believed.proven == ()
