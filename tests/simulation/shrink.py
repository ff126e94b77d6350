"""The fewest of some things with which something still fails. Pure, but for what `fails` does."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shrink(things: Sequence[T], fails: Callable[[Sequence[T]], bool], most_tries: int = 200) -> tuple[T, ...]:
    """A part of `things` that still fails, in their order, from which no single one can be left out: delta debugging.

    Ever smaller pieces are left out, and what fails without them is gone on from. `things` itself is taken to fail; after
    `most_tries` what has been found by then is returned.
    """
    kept, size, tries = tuple(things), max(1, len(things) // 2), 0
    while kept:
        at, fewer = 0, False
        while at < len(kept) and tries < most_tries:
            without = kept[:at] + kept[at + size :]
            tries += 1
            if fails(without):
                kept, fewer = without, True
            else:
                at += size
        if tries >= most_tries or (size == 1 and not fewer):
            break
        size = max(1, size // 2)
    return kept
