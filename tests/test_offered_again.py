"""How long a question lay with somebody who had walked away, as the benchmark of serving people counts it."""

import pytest

from benchmarks.task_serving import Seen, offered_again


def seen(offered: dict[str, float], left: dict[str, float], taken: dict[str, float] | None = None) -> Seen:
    """One task: who was offered it when, who walked away with it when, who answered it when."""
    made = Seen()
    made.offered["task"] |= offered
    made.left += [("task", who, at) for who, at in left.items()]
    made.taken |= {("task", who): at for who, at in (taken or {}).items()}
    return made


@pytest.mark.parametrize(
    ("offered", "left", "taken", "waited"),
    [
        # The other vote, given out a moment later, is not the one that was left.
        ({"ann": 0, "bob": 1, "cid": 11}, {"ann": 0}, {}, 11),
        # Who takes it up walks away too: each wait by itself.
        ({"ann": 0, "bob": 1, "cid": 11, "dan": 22}, {"ann": 0, "cid": 12}, {}, 11),
        # Both walk away with it.
        ({"ann": 0, "bob": 1, "cid": 11, "dan": 12}, {"ann": 0, "bob": 2}, {}, 11),
        # A third opinion that nobody gives.
        ({"ann": 0, "bob": 1, "cid": 5, "dan": 17}, {"cid": 5}, {}, 12),
        # Comes back and answers.
        ({"ann": 0, "bob": 1}, {"ann": 0}, {"ann": 13}, 13),
        ({"ann": 0, "bob": 1}, {}, {}, 0),
    ],
)
def test_the_wait_is_until_the_vote_that_was_left_is_offered_to_another_person(offered, left, taken, waited):
    assert offered_again(seen(offered, left, taken), quorum=2) == waited
