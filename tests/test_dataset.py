"""The dataset's rows say from whom their label comes."""

import numpy as np
import pytest

from concord.preference.annotations import read
from concord.triage import dataset
from concord.v1.events_pb2 import Event, ShardLabeled, StageManifest
from concord.v1.pairs_pb2 import Choice
from tests.small_pairs import pair


def test_a_pair_on_which_nobody_said_anything_is_a_tie_from_no_one():
    shard = ShardLabeled(
        pair_index=[0, 1],
        choice=[Choice.CHOICE_SECOND, Choice.CHOICE_UNSPECIFIED],
        p_first=[0.2, 0.5],
        confidence=[0.8, -1],
        order_flipped=[-1, -1],
    )
    labels = StageManifest(events=[Event(shard_labeled=shard)])
    for target in (None, np.array([0.2, 0.5], np.float32)):
        believed = dataset.beliefs(labels, target, read([], ()), 2)
        first, second = dataset.rows([pair("a", "b"), pair("c", "d")], believed, 2.0)
        assert (first["source"], first["label"], first["p_chosen"]) == ("judge", "second", 0.8)
        assert (second["source"], second["label"], second["p_chosen"]) == ("none", "tie", 0.5)


def of(choice: int, p_judge: float, flipped: int, target: float | None = None, people: tuple = ()) -> dict:
    """The one row of a run in which the judge said this, the model believes `target`, and people answered."""
    shard = ShardLabeled(pair_index=[0], choice=[choice], p_first=[p_judge], confidence=[0.5], order_flipped=[flipped])
    labels = StageManifest(events=[Event(shard_labeled=shard)])
    believed = dataset.beliefs(labels, None if target is None else np.array([target]), read(people, ()), 1)
    (row,) = dataset.rows([pair("a", "b")], believed, 2.0)
    return row


@pytest.mark.parametrize("target", [None, 0.4999996])
def test_a_verdict_that_follows_the_order_of_the_answers_weighs_nothing_where_nobody_else_decided(target):
    row = of(Choice.CHOICE_FIRST, 0.5, 1, target)
    assert row["weight"] == 0.0 and row["source"] in ("judge", "flipped") and abs(row["p_chosen"] - 0.5) <= 0.1


@pytest.mark.parametrize(
    ("p_judge", "flipped", "target"), [(0.9, 0, None), (0.55, 1, None), (0.5, 1, 0.8), (0.9, -1, 0.4999996)]
)
def test_a_verdict_of_which_something_is_known_weighs_as_ever(p_judge, flipped, target):
    assert of(Choice.CHOICE_FIRST, p_judge, flipped, target)["weight"] == 1.0


def test_a_judges_own_tie_is_a_tie_of_the_judge():
    row = of(Choice.CHOICE_TIE, 0.5, -1)
    assert (row["label"], row["judge_label"], row["source"], row["p_chosen"]) == ("tie", "tie", "judge", 0.5)


def test_what_the_input_has_beside_texts_stands_in_the_row_as_it_came():
    held = pair("a", "b")
    held.first.original = '[{"role": "assistant", "content": "a", "reasoning_content": "r"}]'
    held.prompt.add(role="system", content="Tools", original='{"tools": [{"name": "f"}]}')
    believed = dataset.beliefs(StageManifest(), None, read([], ()), 1)
    (row,) = dataset.rows([held], believed, 2.0)
    assert row["original"] == {
        "prompt": [],
        "first": [{"role": "assistant", "content": "a", "reasoning_content": "r"}],
        "second": [{"role": "assistant", "content": "b"}],
        "tools": [{"name": "f"}],
    }
