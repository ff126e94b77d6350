"""The simulated judge: good and bad in the ways that it is said to be."""

import numpy as np
import pytest

from concord.labeling import sample_judge
from concord.v1 import pairs_pb2 as pb
from tests import the_sample

SEEDS = range(4)


@pytest.fixture(scope="module")
def decided():
    return [row for row in the_sample.given().rows if row.truth != pb.CHOICE_TIE]


def right(rows, seed: int) -> np.ndarray:
    return np.array([sample_judge.verdict(row.pair, seed, False)[0] == row.truth for row in rows])


def test_it_is_right_on_about_three_quarters_of_the_decided_pairs(decided):
    shares = [right(decided, seed).mean() for seed in SEEDS]
    assert all(0.73 <= share <= 0.77 for share in shares), shares


def test_about_a_fifth_of_its_verdicts_change_with_the_order(decided):
    for seed in SEEDS:
        flips = [
            sample_judge.verdict(row.pair, seed, False)[0] != sample_judge.verdict(row.pair, seed, True)[0]
            for row in decided
        ]
        assert 0.15 <= np.mean(flips) <= 0.25


def test_it_likes_the_longer_answer_far_more_than_people_do(decided):
    longer = np.array([len(row.pair.first.text) > len(row.pair.second.text) for row in decided])
    says_first = np.array([sample_judge.verdict(row.pair, 0, False)[0] == pb.CHOICE_FIRST for row in decided])
    truth_first = np.array([row.truth == pb.CHOICE_FIRST for row in decided])
    assert (says_first == longer).mean() > (truth_first == longer).mean() + 0.1


def test_it_likes_the_answer_that_it_reads_first(decided):
    own = np.mean([sample_judge.verdict(row.pair, 0, False)[0] == pb.CHOICE_FIRST for row in decided])
    swapped = np.mean([sample_judge.verdict(row.pair, 0, True)[0] == pb.CHOICE_FIRST for row in decided])
    assert own > 0.55 and swapped < 0.45


def test_its_confidence_tells_something_and_promises_too_much(decided):
    sure = np.array([sample_judge.verdict(row.pair, 0, False)[1] for row in decided])
    ok = right(decided, 0)
    assert sure.min() >= 0.5 and sure.max() <= 0.99
    assert ok[sure > 0.9].mean() > ok[sure < 0.7].mean() + 0.15
    assert sure.mean() > ok.mean() + 0.04 and sure[sure > 0.9].mean() > ok[sure > 0.9].mean() + 0.04


def test_a_verdict_that_flips_is_wrong_more_often(decided):
    labels = [sample_judge.judged(row.pair, 0) for row in decided]
    flipped = np.array([label.order_flipped == 1 for label in labels])
    wrong = ~right(decided, 0)
    assert wrong[flipped].mean() > wrong[~flipped].mean() + 0.15


def test_both_orders_together_are_the_two_verdicts(decided):
    for row in decided[:200]:
        verdicts = [sample_judge.verdict(row.pair, 3, swapped) for swapped in (False, True)]
        label = sample_judge.judged(row.pair, 3)
        assert label.choices == tuple(choice for choice, _ in verdicts)
        p_first = np.mean([sure if choice == pb.CHOICE_FIRST else 1 - sure for choice, sure in verdicts])
        assert label.p_first == pytest.approx(p_first)


def test_asking_again_gives_the_same_and_another_seed_something_else(decided):
    rows = decided[:300]
    ask = lambda seed: [sample_judge.judged(row.pair, seed) for row in rows]  # noqa: E731
    assert ask(1) == ask(1) and ask(1) != ask(2)


def test_the_pairs_id_changes_nothing(decided):
    other = pb.Pair()
    other.CopyFrom(decided[0].pair)
    other.pair_id = "another"
    assert sample_judge.judged(other, 5) == sample_judge.judged(decided[0].pair, 5)


def test_without_a_reference_it_still_answers():
    pair = pb.Pair(first=pb.Response(text=""), second=pb.Response(text="x" * 5000))
    choice, sure = sample_judge.verdict(pair, 0, swapped=True)
    assert choice == pb.CHOICE_SECOND and 0.5 <= sure <= 0.99
