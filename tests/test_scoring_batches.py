"""Which texts go through a transformer together."""

import random

import pytest

from concord.scoring.batches import batches, grouped, tree, trees


def test_each_answer_stands_once_however_many_pairs_it_is_in():
    chat = [{"role": "user", "content": "q"}]
    prompts, answers = ["q", "q", "r", "q", chat], ["a", "b", "a", "a", [{"role": "assistant", "content": "a"}]]
    asked, number = grouped(prompts, answers)
    assert [(one.prompt, one.answers) for one in asked[:2]] == [("q", ("a", "b")), ("r", ("a",))]
    assert number == [0, 1, 2, 0, 3]


def test_a_tree_says_once_what_its_sequences_begin_with_and_leaves_each_a_token():
    found = tree([[1, 2, 3, 4], [1, 2, 5], [1, 2]], 7)
    assert (found.trunk, found.branches, found.places) == ([1], ([2, 3, 4], [2, 5], [2]), (7, 8, 9))
    assert found.tokens == 7 and tree([[1, 2]], 0).trunk == [1]


@pytest.mark.parametrize("seed", range(20))
def test_trees_keep_every_sequence_and_their_size(seed):
    draw = random.Random(seed)
    groups = [
        [draw.choices(range(3), k=draw.randint(1, 9)) for _ in range(draw.randint(1, 6))]
        for _ in range(draw.randint(1, 5))
    ]
    found = trees(groups, 12)
    flat = [sequence for group in groups for sequence in group]
    assert [one.trunk + branch for one in found for branch in one.branches] == flat
    assert [place for one in found for place in one.places] == list(range(len(flat)))
    assert all(one.tokens <= 12 or len(one.branches) == 1 for one in found)


@pytest.mark.parametrize("seed", range(20))
def test_batches_hold_everything_once_and_are_no_larger_than_asked(seed):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 60) for _ in range(draw.randint(0, 40))]
    found = batches(lengths, 100)
    assert sorted(at for batch in found for at in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[at] for at in batch) <= 100 for batch in found)
    assert found == batches(lengths, 100)
