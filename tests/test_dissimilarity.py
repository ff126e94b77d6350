"""Which pairs are chosen to be labelled: the same as by brute force, near-duplicates out, nothing dropped unasked."""

import itertools

import numpy as np
import pytest

from concord.triage.dissimilarity import (
    ALIKE,
    EMPTY,
    LEFT,
    STRATEGIES,
    Candidates,
    central_pair,
    choose,
    near_duplicate_cut,
)


def candidates(seed=0, prompts=40, answers=4, dimensions=8) -> Candidates:
    """All pairs of each prompt's answers, from random unit vectors; every tenth answer is empty."""
    generator = np.random.default_rng(seed)
    rows, central = [], []
    for prompt in range(prompts):
        vectors = generator.normal(size=(answers, dimensions))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        empty, length = generator.random(answers) < 0.1, generator.normal(size=answers)
        middle = central_pair(vectors)
        for first, second in itertools.combinations(range(answers), 2):
            cosine = np.nan if empty[first] or empty[second] else float(vectors[first] @ vectors[second])
            rows.append((prompt, cosine, length[first] - length[second], generator.normal()))
            central.append((first, second) == middle)
    prompt, cosine, length, gap = map(np.array, zip(*rows, strict=True))
    return Candidates(prompt, cosine, length, gap, np.array(central))


@pytest.mark.parametrize(
    ("strategy", "key"),
    [
        ("easy", lambda pairs, at: pairs.cosine[at]),
        ("hard", lambda pairs, at: -pairs.cosine[at]),
        ("smallest-gap", lambda pairs, at: abs(pairs.gap[at])),
    ],
)
@pytest.mark.parametrize("per_prompt", [1, 2])
def test_of_each_prompt_the_first_by_the_strategys_order_are_kept_as_brute_force_finds_them(strategy, key, per_prompt):
    pairs = candidates()
    kept = choose(pairs, strategy, 3, per_prompt=per_prompt).kept
    for prompt in range(40):
        mine = [at for at in np.flatnonzero(pairs.prompt == prompt) if not np.isnan(pairs.cosine[at])]
        expected = sorted(mine, key=lambda at: (key(pairs, at), at))[:per_prompt]
        assert sorted(np.flatnonzero(kept & (pairs.prompt == prompt))) == sorted(expected)


def test_a_share_of_given_pairs_is_the_first_so_many_of_all():
    pairs = candidates(prompts=30, answers=2)
    kept = choose(pairs, "easy", 0, share=0.5).kept
    usable = np.flatnonzero(~np.isnan(pairs.cosine))
    assert sorted(np.flatnonzero(kept)) == sorted(usable[np.argsort(pairs.cosine[usable], kind="stable")][:15])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("per_prompt", [0, 1, 3])
def test_every_pair_is_kept_or_has_its_reason_and_the_same_seed_chooses_the_same(strategy, per_prompt):
    pairs = candidates(5)
    one, again = (choose(pairs, strategy, 11, per_prompt=per_prompt, share=0.6) for _ in range(2))
    assert (one.kept == again.kept).all() and (one.why == again.why).all()
    assert ((one.why == "") == one.kept).all()
    assert set(one.why) - {""} <= {EMPTY, ALIKE, LEFT}
    assert (one.why[np.isnan(pairs.cosine)] == EMPTY).all(), "an empty answer teaches nothing"


def test_near_duplicates_are_dropped_by_drop_similar_alone_and_the_stray_extreme_is_not_sought():
    pairs = candidates(7)
    chosen = choose(pairs, "drop-similar", 0, per_prompt=1, floor=-1.0)
    assert (pairs.similarity[chosen.why == ALIKE] > chosen.cut).all()
    assert (pairs.similarity[chosen.kept] <= chosen.cut).all()
    easiest = choose(pairs, "easy", 0, per_prompt=1).kept
    assert 0 < (chosen.kept & easiest).sum() < chosen.kept.sum()
    assert not any((choose(pairs, name, 0).why == ALIKE).any() for name in STRATEGIES if name != "drop-similar")


def test_under_its_embedders_floor_nothing_is_a_near_duplicate():
    pairs = candidates(9)
    assert near_duplicate_cut(pairs.similarity, floor=1.0) == 1.0
    assert not (choose(pairs, "drop-similar", 0, floor=1.0).why == ALIKE).any()
    assert near_duplicate_cut(np.array([np.nan]), floor=0.5) == np.inf


def test_two_answers_of_one_length_are_more_alike_than_two_of_different_lengths():
    pairs = Candidates(np.arange(2), np.array([0.8, 0.8]), np.array([0.0, -2.0]))
    assert pairs.similarity[0] > pairs.similarity[1]


def test_the_central_pair_is_nearest_to_the_two_centres():
    vectors = np.array([[1, 0], [0.98, 0.2], [0.95, 0.31], [0, 1], [0.2, 0.98], [0.1, 0.995]], float)
    assert central_pair(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) == (1, 5)
    assert central_pair(np.array([[1.0, 0.0], [1.0, 0.0]])) == (0, 1), "equal answers are a pair all the same"


def test_a_strategy_says_what_it_lacks():
    given = Candidates(np.arange(2), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="implicit rewards"):
        choose(given, "smallest-gap", 0)
    with pytest.raises(ValueError, match="three answers"):
        choose(given, "centroid", 0)
