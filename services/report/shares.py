"""A share with what it stands on: k of n, and how far chance may have moved it. PURE."""

from dataclasses import dataclass

from concord.preference.wilson import wilson


@dataclass(frozen=True)
class Share:
    """`count` of `of`, with Wilson's 95 % interval; share, low and high are in [0, 1], None where nothing was counted."""

    count: int
    of: int
    share: float | None
    low: float | None
    high: float | None


def share_of(count: int, of: int) -> Share:
    """The share `count` / `of`, with its interval."""
    if not of:
        return Share(0, 0, None, None, None)
    return Share(int(count), int(of), count / of, *wilson(count, of))
