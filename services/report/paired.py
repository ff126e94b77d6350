"""Two judges on the same pairs: how often each agrees with people, and whether the difference is more than chance. PURE."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

from concord.report.shares import Share, share_of


@dataclass(frozen=True)
class Paired:
    """Agreement before and after, pair by pair; a pair without a verdict agrees with nobody."""

    before: Share
    after: Share
    mended: int  # pairs on which only the second agrees with people
    broken: int  # pairs on which only the first does
    # after − before in shares, with a 95 % interval (Bonett and Price 2012, adjusted Wald).
    difference: float
    low: float
    high: float
    p_chance: float  # P(a split at least as uneven, if both were equally good): the exact two-sided sign test


def paired(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """Both [pairs], not empty: whether the judge agreed with people."""
    pairs = len(before)
    mended = sum(new and not old for old, new in zip(before, after, strict=True))
    broken = sum(old and not new for old, new in zip(before, after, strict=True))
    up, down = (mended + 1) / (pairs + 2), (broken + 1) / (pairs + 2)
    half = NormalDist().inv_cdf(0.975) * sqrt((up + down - (up - down) ** 2) / (pairs + 2))
    return Paired(
        before=share_of(sum(before), pairs),
        after=share_of(sum(after), pairs),
        mended=mended,
        broken=broken,
        difference=(mended - broken) / pairs,
        low=max(-1.0, up - down - half),
        high=min(1.0, up - down + half),
        p_chance=sign_test(mended, broken),
    )


def sign_test(one: int, other: int) -> float:
    """P(a split of one + other fair coins at least as uneven), in (0, 1]."""
    coins, fewer = one + other, min(one, other)
    tail = sum(comb(coins, heads) for heads in range(fewer + 1)) / 2**coins
    return min(1.0, 2 * tail)
