"""Words that differ by a slip of the pen. Pure."""

from collections.abc import Iterable
from functools import lru_cache

# Words of a response that are compared letter by letter.
MAX_WORDS = 800


def like(word: str, words: Iterable[str]) -> bool:
    """Whether one of `words` is this word up to a slip: one letter in five to eight, two in more."""
    slips = _slips(word)
    return bool(slips) and any(
        abs(len(other) - len(word)) <= slips and other[0] == word[0] and distance(word, other, slips) <= slips
        for other in words
        if other
    )


def _slips(word: str) -> int:
    if not word.isalpha() or len(word) < 5:
        return 0
    return 1 if len(word) < 9 else 2


@lru_cache(maxsize=50_000)
def distance(one: str, other: str, most: int) -> int:
    """Letters to change, add, drop or swap between two words; `most + 1` where it is more than `most`."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, start=1):
        last, before, row = before, row, [at]
        for there, same in enumerate(other, start=1):
            cost = min(before[there] + 1, row[-1] + 1, before[there - 1] + (letter != same))
            if at > 1 and there > 1 and letter == other[there - 2] and one[at - 2] == same:
                cost = min(cost, last[there - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)
