"""A judge that follows the place of an answer is told from one that errs: by a bound that honest judges hardly ever meet."""

import numpy as np
import pytest

from concord.labeling.judge import NO_VERDICT, Combined, combine
from concord.labeling.verdict import Verdict
from concord.labeling.verdict_columns import for_shown_first, shard_labeled
from concord.preference.order_flips import Flips, beyond_chance, flips_of, words
from concord.preference.pairs import make_pair
from concord.v1.events_pb2 import ShardLabeled
from concord.v1.pairs_pb2 import Message, Response


@pytest.mark.parametrize(("pairs", "least"), [(7, 7), (8, 8), (20, 16), (40, 28), (200, 117)])
def test_the_bound_is_where_the_docstring_says(pairs, least):
    assert beyond_chance(least, pairs) and not beyond_chance(least - 1, pairs)


@pytest.mark.parametrize("pairs", range(7))
def test_fewer_than_seven_pairs_never_shut_the_gate(pairs):
    assert not beyond_chance(pairs, pairs)


@pytest.mark.parametrize("p_flip", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("pairs", [8, 40, 200, 1000])
def test_an_honest_judge_is_stopped_in_fewer_than_one_of_a_hundred_runs_looked_at_after_every_shard(p_flip, pairs):
    rng, runs, stopped = np.random.default_rng(3), 400, 0
    for _ in range(runs):
        flips = (rng.random(pairs) < p_flip).cumsum()
        looks = [at for at in range(8, pairs + 1, 8)]
        stopped += any(
            beyond_chance(int(flips[at - 1] - (flips[at - 201] if at > 200 else 0)), min(at, 200)) for at in looks
        )
    assert stopped <= 0.01 * runs


@pytest.mark.parametrize("pairs", [8, 12, 20, 40])
def test_a_judge_that_always_says_the_same_letter_is_found_in_small_runs(pairs):
    assert beyond_chance(pairs, pairs)


def labels(*letters: str) -> list[Combined]:
    """What a judge says that names these letters, in the pair's own order and in the other one; `-`: nothing."""
    verdicts = {"A": Verdict("A", 0.9), "B": Verdict("B", 0.9), "-": None}
    return [combine(verdicts[own], verdicts[swapped]) for own, swapped in letters]


def test_the_letters_are_counted_over_the_pairs_with_a_verdict_in_both_orders():
    assert for_shown_first(labels("AA", "AA", "AB", "BA")) == 6
    assert for_shown_first(labels("BB", "BB")) == 0
    assert for_shown_first([*labels("AA", "A-", "-A"), NO_VERDICT]) == 2
    assert for_shown_first([NO_VERDICT]) is None


def test_the_fact_carries_the_count_and_shards_add_up():
    pair = make_pair("p", [Message(role="user", content="q")], Response(text="one"), Response(text="other"))
    facts = [shard_labeled([(n, pair)], labels(said), {}) for n, said in enumerate(("AA", "AA", "BA"))]
    flips = flips_of(facts)
    assert (flips.flipped, flips.pairs, flips.for_a) == (2, 3, 5)
    assert words(flips) == (
        "the judge says A in 5 of 6 answers; 2 of 3 verdicts change when the two responses change places"
    )


def test_where_an_older_fact_has_no_count_the_flips_stand_alone():
    old = ShardLabeled(order_flipped=[1, 1, 0])
    assert flips_of([old]) == Flips(2, 3, None)
    assert words(flips_of([old])) == "2 of 3 verdicts change when the two responses change places"


def test_a_judge_that_says_b_is_told_so():
    assert "says B in 13 of 16 answers" in words(Flips(7, 8, 3))
