"""A share with what it stands on: k of n, and how far chance may have moved it. PURE."""

from dataclasses import dataclass
from math import sqrt

# Two-sided 95 % of a normal distribution.
_Z = 1.959964


@dataclass(frozen=True)
class Share:
    """`count` of `of`, with Wilson's 95 % interval; share, low and high are in [0, 1], None where nothing was counted."""

    count: int
    of: int
    share: float | None
    low: float | None
    high: float | None


def share_of(count: int, of: int) -> Share:
    """The share `count` / `of`. Wilson (1927): keeps within [0, 1], and says something sensible at 0 and at n of n."""
    if not of:
        return Share(0, 0, None, None, None)
    share, spread = count / of, _Z * _Z / of
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * sqrt(share * (1 - share) / of + spread / (4 * of))
    return Share(int(count), int(of), share, max(0.0, middle - half), min(1.0, middle + half))
