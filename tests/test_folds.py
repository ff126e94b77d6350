"""Folds by a hash of the group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.preference.folds import fold_of

groups = st.lists(st.integers(0, 2**64 - 1), max_size=50)


@given(groups, st.integers(1, 20))
def test_a_group_lies_in_one_fold_wherever_and_beside_whomever_it_stands(numbers, folds):
    together = fold_of(np.array(numbers, dtype=np.uint64), folds)
    alone = [int(fold_of(np.array([number], dtype=np.uint64), folds)[0]) for number in numbers]
    assert together.tolist() == alone
    assert all(0 <= fold < folds for fold in alone)


@pytest.mark.parametrize("numbers", [np.arange(20_000), np.arange(20_000) * 5, np.arange(20_000) << 40])
def test_folds_are_about_equal_even_for_regular_groups(numbers):
    sizes = np.bincount(fold_of(numbers.astype(np.uint64), 5), minlength=5)
    assert sizes.min() > 3_800 and sizes.max() < 4_200


def test_the_assignment_never_changes():
    # Stored margins were made with it: another hash would score pairs by models that saw them.
    assert fold_of(np.array([0, 1, 2, 2**64 - 1], dtype=np.uint64), 7).tolist() == [2, 2, 4, 0]


def test_no_fold_is_an_error():
    with pytest.raises(ValueError, match="at least 1"):
        fold_of(np.zeros(1, dtype=np.uint64), 0)
