"""How far chance may have moved a share. Pure."""

from statistics import NormalDist

import numpy as np


def wilson(count: float, of: float, coverage: float = 0.95) -> tuple[float, float]:
    """Wilson's interval (1927) for the share `count` / `of`, within [0, 1]; it says something sensible at 0 and at n of n.

    `of` must be above 0; both may be fractions, of answers that are worth more or less than one.
    """
    z = NormalDist().inv_cdf(0.5 + coverage / 2)
    share = count / of
    centre = share + z**2 / (2 * of)
    half = z * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    scale = 1 + z**2 / of
    return float(max(0.0, (centre - half) / scale)), float(min(1.0, (centre + half) / scale))


def by_chance(count: int, of: int, p: float) -> float:
    """P(at least `count` of `of` come to pass by chance, each with probability `p`)."""
    from scipy.special import bdtrc  # here: a quarter of a second that whoever counts nothing should not wait

    return float(bdtrc(count - 1, of, p)) if count > 0 else 1.0
