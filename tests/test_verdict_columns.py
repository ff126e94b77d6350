"""Per-pair results as the columns of one fact."""

import math

import pytest

from concord.labeling.judge import NO_VERDICT, combine
from concord.labeling.verdict import Verdict
from concord.labeling.verdict_columns import disagreement, length_difference, shard_labeled
from concord.v1 import pairs_pb2 as pb

FIRST, SECOND, NONE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_UNSPECIFIED


def pair(first: str, second: str) -> pb.Pair:
    return pb.Pair(first=pb.Response(text=first), second=pb.Response(text=second))


def test_a_shards_columns_line_up_with_its_pairs():
    pairs = [(7, pair("long answer", "")), (9, pair("a", "a")), (12, pair("", "b"))]
    labels = [combine(Verdict("A", None), Verdict("B", None)), NO_VERDICT, combine(Verdict("B", 0.75), None)]
    helper = [combine(Verdict("A", 0.9), Verdict("A", 0.6)), combine(Verdict("A", 0.9), None), NO_VERDICT]
    fact = shard_labeled(pairs, labels, {"llm:other": helper})
    assert list(fact.pair_index) == [7, 9, 12]
    assert list(fact.choice) == [FIRST, NONE, SECOND]
    assert list(fact.p_first) == [1.0, 0.5, 0.25]
    assert list(fact.confidence) == [-1.0, 0.0, 0.75]
    assert list(fact.order_flipped) == [0, -1, -1]
    assert list(fact.own_disagree) == [-1.0] * 3
    assert list(fact.verified) == [0] * 3
    assert fact.helpers[0].judge == "llm:other" and list(fact.helpers[0].disagree) == [0.5, -1.0, -1.0]
    assert list(fact.length_difference) == pytest.approx([math.log(12), 0.0, -math.log(2)])


@pytest.mark.parametrize(
    ("verdicts", "label", "share"),
    [
        ([], FIRST, -1),
        ([FIRST], NONE, -1),
        ([NONE, SECOND], FIRST, 1),
        ([FIRST, SECOND], FIRST, 0.5),
        ([FIRST], FIRST, 0),
    ],
)
def test_disagreement_is_a_share_of_usable_verdicts(verdicts, label, share):
    assert disagreement(verdicts, label) == share


def test_length_counts_characters_not_bytes():
    assert length_difference(pair("äöü", "abc")) == 0


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError):
        shard_labeled([(0, pair("a", "b"))], [NO_VERDICT], {"llm:other": []})
