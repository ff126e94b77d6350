"""The pilot's gate: is the judge so far from the people that labelling with it would be money thrown away? Pure."""

from math import sqrt

Z_95 = 1.96
LEAST_PILOT = 3


def wilson(right: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's interval for a share; (0, 1) where nothing was seen."""
    if not total:
        return 0.0, 1.0
    share, spread = right / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def grossly_misaligned(right: int, wrong: int) -> bool:
    """Whether even the upper end of the 95 % interval says that a coin would be at least as good.

    With 8 pilot answers it takes 0 or 1 right: a judge that is right in 70 % of the cases is stopped by mistake with
    probability 0.0013, one that is right in 25 % is stopped with probability 0.37, an inverted good one almost surely.
    """
    return right + wrong >= LEAST_PILOT and wilson(right, right + wrong)[1] < 0.5
