"""Verdicts that came with the data."""

import pytest

from concord.labeling import recorded
from concord.labeling.judge import NO_VERDICT
from concord.v1 import config_pb2 as cfg
from concord.v1 import pairs_pb2 as pb

FIRST, SECOND, NOTHING, TIE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_UNSPECIFIED, pb.CHOICE_TIE


def pair(**said: tuple) -> pb.Pair:
    """Each judge with its choice, then perhaps the swapped one, then perhaps a confidence."""
    verdicts = [
        pb.RecordedVerdict(judge=judge, **dict(zip(("choice", "choice_swapped", "confidence"), values, strict=False)))
        for judge, values in said.items()
    ]
    return pb.Pair(pair_id="p", verdicts=verdicts)


def test_a_verdict_is_found_by_its_exact_key():
    one = pair(a=(FIRST,), b=(SECOND,))
    assert recorded.verdict(one, "b") == one.verdicts[1]
    assert recorded.verdict(one, "B") is None and recorded.judged(one, "B") == NO_VERDICT


def test_one_order_is_a_label_that_knows_nothing_of_flips():
    said = recorded.judged(pair(a=(SECOND,)), "a")
    assert (said.choice, said.order_flipped, said.confidence, said.p_first) == (SECOND, -1, None, 0.0)


def test_two_orders_that_agree_do_not_flip():
    said = recorded.judged(pair(a=(FIRST, FIRST, 0.8)), "a")
    assert (said.choice, said.order_flipped) == (FIRST, 0)
    assert said.confidence == pytest.approx(0.8) and said.p_first == pytest.approx(0.8)


@pytest.mark.parametrize("confidence", [(), (0.9,), (0.6,)])
@pytest.mark.parametrize(("own", "swapped"), [(FIRST, SECOND), (SECOND, FIRST)])
def test_where_the_orders_contradict_each_other_the_pairs_own_order_stands(own, swapped, confidence):
    said = recorded.judged(pair(a=(own, swapped, *confidence)), "a")
    assert said.choice == own and said.order_flipped == 1 and said.p_first == pytest.approx(0.5)


def test_a_null_verdict_is_none():
    assert recorded.judged(pair(a=(NOTHING,)), "a") == NO_VERDICT


def test_own_prompts_count_in_both_orders_together_with_the_judges_swapped_verdict():
    one = pair(main=(FIRST, SECOND), x=(SECOND, SECOND), y=(FIRST,))
    assert recorded.own_disagreement(one, "main", ["x", "y"], FIRST) == pytest.approx(3 / 4)
    assert recorded.own_disagreement(one, "main", ["x", "y"], SECOND) == pytest.approx(1 / 4)


def test_without_another_prompt_there_is_no_own_signal():
    assert recorded.own_disagreement(pair(main=(FIRST, SECOND)), "main", ["x"], FIRST) == -1
    assert recorded.own_disagreement(pair(main=(FIRST,), x=(NOTHING,)), "main", ["x"], FIRST) == -1


def test_the_column_of_a_shard_is_only_of_recorded_judges():
    pairs = [pair(main=(FIRST,), x=(SECOND,)), pair(main=(FIRST,))]
    judge = cfg.JudgeConfig(kind="recorded", name="main", own_prompts=["x"])
    labels = [recorded.judged(one, "main") for one in pairs]
    assert recorded.own_disagree(pairs, judge, labels) == [1, -1]
    assert recorded.own_disagree(pairs, cfg.JudgeConfig(kind="sample"), labels) == [-1, -1]


@pytest.mark.parametrize(
    ("values", "p_first", "choice"),
    [((TIE,), 0.5, TIE), ((TIE, TIE, 0.9), 0.5, TIE), ((TIE, FIRST), 0.75, FIRST), ((SECOND, TIE, 0.8), 0.35, SECOND)],
)
def test_a_recorded_tie_is_a_verdict_and_nothing_is_more_doubtful(values, p_first, choice):
    said = recorded.judged(pair(a=values), "a")
    assert (
        said.choice == choice
        and said.p_first == pytest.approx(p_first)
        and said.confidence == pytest.approx(max(p_first, 1 - p_first))
    )
