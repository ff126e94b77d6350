"""Ratings and ranks of responses to one prompt, compared: what they say of every two of them. PURE."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

# A number of more characters is no rating.
_LONGEST = 40


def number_of(value: object) -> float | None:
    """The finite number that a value is, or a text such as "4" or "3.5" spells; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value) if not isinstance(value, str) or len(value) <= _LONGEST else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def label(first: int, second: int, choice: object) -> dict[str, Any]:
    """A pairwise label in the form of a record's annotations."""
    return {"kind": "pairwise", "pair": [first, second], "choice": choice}


def compared(ratings: Sequence[object] | Mapping[int, object], low_is_best: bool = False) -> list[dict[str, Any]]:
    """A label for every two responses that have a number: the higher one is better (`low_is_best`: the lower), equal is a tie.

    `ratings`: by the index of the response; what is no number says nothing.
    """
    given = ratings if isinstance(ratings, Mapping) else dict(enumerate(ratings))
    known = {at: number for at, value in sorted(given.items()) if (number := number_of(value)) is not None}
    sign = -1 if low_is_best else 1
    return [
        label(i, j, "tie" if known[i] == known[j] else i if sign * known[i] > sign * known[j] else j)
        for i, j in combinations(known, 2)
    ]


def stronger(strength: object) -> Any:
    """What a signed preference says (below 0: the first, above: the second, 0: a tie); None where it is no number."""
    number = number_of(strength)
    return None if number is None else "tie" if number == 0 else 0 if number < 0 else 1
