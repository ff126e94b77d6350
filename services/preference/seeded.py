"""Chance that is a function of its name: the same on every machine, under every library version. PURE."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def uniform(*name: object) -> float:
    """A number in [0, 1), as if drawn evenly, that depends on nothing but the parts of its name."""
    digest = hashlib.sha256("/".join(map(str, name)).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


class Draw:
    """One draw after the other under a common name."""

    def __init__(self, *name: object) -> None:
        self._name = name
        self._drawn = 0

    def uniform(self) -> float:
        """The next number in [0, 1)."""
        self._drawn += 1
        return uniform(*self._name, self._drawn)

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def pick(self, values: Sequence[T]) -> T:
        """One of the values."""
        return values[self.integer(0, len(values) - 1)]

    def several(self, values: Sequence[T], count: int) -> list[T]:
        """`count` different ones of the values, in drawn order."""
        left = list(values)
        return [left.pop(self.integer(0, len(left) - 1)) for _ in range(count)]

    def weighted(self, weights: Sequence[tuple[T, float]]) -> T:
        """One of the values, each with its weight, which need not sum to 1."""
        at = self.uniform() * sum(weight for _, weight in weights)
        for value, weight in weights:
            at -= weight
            if at < 0:
                return value
        return weights[-1][0]
