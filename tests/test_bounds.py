"""Bounds of messages: a value at its bound passes, the first one beyond is named with its place."""

import math

import pytest

from concord.kit import bounds
from concord.kit.bounds import Any64, Inner, Known, Many, Number, Text
from concord.kit.errors import InvalidInput
from concord.v1.pairs_pb2 import Choice, Message, Pair, RecordedVerdict

TABLE = {
    "concord.v1.Pair": {
        "pair_id": Text(3),
        "prompt": Many(2, Inner()),
        "group": Any64(),
        "verdicts": Many(1, Inner()),
    },
    "concord.v1.Message": {"role": Text(4), "content": Text(5)},
    "concord.v1.RecordedVerdict": {"choice": Known(), "confidence": Number(0.5, 1)},
}


def test_what_lies_at_its_bounds_passes():
    said = RecordedVerdict(choice=Choice.CHOICE_TIE, confidence=0.5)
    turns = [Message(role="user", content="äöü€x")] * 2
    bounds.check(Pair(pair_id="abc", prompt=turns, group=2**64 - 1, verdicts=[said]), TABLE)
    bounds.check(Pair(), TABLE)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (Pair(pair_id="abcd"), "pair_id has 4 characters; at most 3 are taken"),
        (Pair(prompt=[Message()] * 3), "prompt: at most 2 are taken, not 3"),
        (Pair(prompt=[Message(), Message(content="äöü€xy")]), "prompt[1].content has 6 characters"),
        (Pair(verdicts=[RecordedVerdict(choice=99)]), "verdicts[0].choice is 99, which this version does not know"),  # type: ignore[arg-type]
        (
            Pair(verdicts=[RecordedVerdict(confidence=0.4)]),
            "verdicts[0].confidence must lie between 0.5 and 1, not 0.4",
        ),
        (Pair(verdicts=[RecordedVerdict(confidence=math.nan)]), "confidence must lie between"),
        (Pair(verdicts=[RecordedVerdict(confidence=math.inf)]), "confidence must lie between"),
    ],
)
def test_the_first_field_beyond_its_bound_is_named_with_its_place(pair, said):
    with pytest.raises(InvalidInput) as refused:
        bounds.check(pair, TABLE)
    assert said in str(refused.value)


def test_a_field_that_the_table_does_not_know_is_our_own_fault():
    with pytest.raises(KeyError, match="domain"):
        bounds.check(Pair(domain="x"), TABLE)
