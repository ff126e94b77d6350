"""The simulated judge of the benchmarks that goes by a taste."""

import json

from benchmarks.liking_judge import verdict


def winner(a: str, b: str, errs: float) -> str:
    said = json.loads(verdict(a, b, lambda text: (len(text),), errs))
    return {"A": a, "B": b}[said["winner"]]


def test_it_prefers_what_it_likes_in_both_orders_and_errs_as_often_as_it_is_told():
    pairs = [(f"answer {n}", f"a longer answer {n}") for n in range(400)]
    assert all(winner(a, b, 0.0) == winner(b, a, 0.0) == b for a, b in pairs)
    assert all(winner(a, b, 0.3) == winner(b, a, 0.3) for a, b in pairs)
    assert 0.2 < sum(winner(a, b, 0.3) == a for a, b in pairs) / len(pairs) < 0.4
