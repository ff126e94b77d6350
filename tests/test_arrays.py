"""Arrays as bytes: no pickles, and the same arrays give the same bytes."""

import io

import numpy as np
import pytest

from concord.kit.arrays import pack, unpack


def test_arrays_come_back_as_they_were_and_the_same_arrays_give_the_same_bytes():
    arrays = {"x": np.arange(6, dtype=np.float16).reshape(2, 3), "n": np.array(3)}
    back = unpack(pack(arrays))
    assert {name: (a.dtype, a.tolist()) for name, a in back.items()} == {
        n: (a.dtype, a.tolist()) for n, a in arrays.items()
    }
    assert pack(arrays) == pack({name: array.copy() for name, array in arrays.items()})


def test_an_archive_that_hides_objects_is_refused():
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack(buffer.getvalue())
