"""Jumps in a judge's verdicts: found where they are, and not where there is only chance."""

import numpy as np

from concord.report.changepoints import Signal, bars, jumps


def drawn(shares, of: int = 64, seed: int = 1) -> Signal:
    draw = np.random.default_rng(seed)
    return Signal("s", tuple(draw.binomial(of, share) for share in shares), (of,) * len(shares))


def test_a_judge_that_breaks_is_caught_at_the_very_shard():
    (jump,) = jumps(drawn([0.02] * 13 + [0.97] * 12))
    assert jump.at == 13 and jump.before < 0.1 and jump.after > 0.9


def test_a_judge_that_recovers_gives_two_jumps():
    assert [jump.at for jump in jumps(drawn([0.05] * 10 + [0.8] * 6 + [0.05] * 12))] == [10, 16]


def test_shards_that_break_side_by_side_are_one_jump_that_is_full_at_its_largest_step():
    (jump,) = jumps(Signal("s", (0, 1, 0, 0, 20, 60, 64, 63, 64), (64,) * 9))
    assert (jump.at, jump.full, jump.before < 0.01, jump.after > 0.95) == (4, 5, True, True)
    (last,) = jumps(Signal("s", (0, 1, 0, 0, 64), (64,) * 5))
    assert last.at == last.full == 4


def test_a_smaller_step_is_found_near_its_place():
    (jump,) = jumps(drawn([0.5] * 20 + [0.75] * 20))
    assert abs(jump.at - 20) <= 2


def test_chance_alone_gives_none_in_a_thousand_runs():
    assert sum(bool(jumps(drawn([share] * 25, seed=seed))) for seed in range(1000) for share in (0.02, 0.5)) <= 1


def test_shards_that_scatter_because_their_texts_differ_give_few():
    draw = np.random.default_rng(5)
    assert sum(bool(jumps(drawn(draw.beta(10, 10, 25), seed=seed))) for seed in range(300)) <= 3


def test_what_is_too_short_or_says_nothing_has_no_jump():
    assert jumps(Signal("s", (), ())) == []
    assert jumps(drawn([1])) == []
    assert jumps(Signal("s", (0.0,) * 9, (0.0,) * 9)) == []


def test_shards_that_say_nothing_are_passed_over_and_places_stay_those_of_the_log():
    whole = drawn([0.0] * 6 + [1.0] * 6)
    hits = [x for hit in whole.hits for x in (0, hit)]
    of = [x for count in whole.of for x in (0, count)]
    (jump,) = jumps(Signal("s", tuple(hits), tuple(of)))
    assert jump.at == 13


def test_bars_are_as_high_as_the_share():
    assert bars(Signal("s", (0, 4, 8, 0), (8, 8, 8, 0))) == "▁▅█·"
    assert len(bars(drawn([0.5] * 200))) == 60
