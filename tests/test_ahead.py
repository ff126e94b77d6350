"""What is made ready in a thread of its own: the same items, no more of them than said, and no thread left behind."""

import threading

import pytest

from concord.scoring.ahead import ahead
from concord.scoring.batches import parts
from tests.waiting import until


@pytest.mark.parametrize("most", [0, 1, 2, 7])
def test_the_items_are_the_same_in_the_same_order_however_many_may_stand_ready(most):
    assert list(ahead((n * n for n in range(20)), most)) == [n * n for n in range(20)]


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_stand_ready_than_is_said(most):
    made, used = [], 0

    def make():
        for number in range(12):
            made.append(number)
            assert len(made) - used <= most + 1, "one is in use"
            yield number

    for number in ahead(make(), most):
        # The one in use is no longer among those that stand ready.
        until(lambda number=number: len(made) >= min(12, number + 1 + most), "what may be made")
        used = number + 1
    assert len(made) == 12


def test_what_is_raised_while_it_is_made_is_raised_where_it_is_used_behind_what_came_before():
    def make():
        yield 1
        raise ZeroDivisionError

    found = ahead(make(), 2)
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_who_stops_asking_leaves_no_thread_behind():
    before = set(threading.enumerate())
    found = ahead(iter(range(1_000)), 2)
    assert next(found) == 0
    found.close()
    assert set(threading.enumerate()) <= before


def test_parts_hold_neighbours_up_to_their_size_and_what_is_larger_alone():
    assert parts([3, 4, 5, 20, 1, 1], 8) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 6)]
    assert parts([], 8) == []
