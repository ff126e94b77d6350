"""A few hundred inputs of the fuzz targets of files; `tests/fuzz` has them for hours."""

import random

import pytest

from tests.fuzz import columns, files


@pytest.mark.parametrize("target", [files, columns], ids=["files", "columns"])
def test_no_mutated_file_ends_in_anything_but_rows_or_a_refusal(target):
    for seed in range(400):
        target.one(random.Random(seed))
