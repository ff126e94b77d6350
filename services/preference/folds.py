"""Which fold a pair belongs to, a hash of its group, so out-of-fold needs no stored assignment; and a run's shard. PURE."""

import numpy as np

Array = np.ndarray


def drawn_subset(pairs: int, share: float, seed: int) -> Array:
    """bool [pairs]: a uniform draw of round(share x pairs) pairs, share in (0, 1]; the same for the same seed."""
    drawn = np.random.default_rng([seed, 3]).choice(pairs, round(share * pairs), replace=False)
    inside = np.zeros(pairs, dtype=bool)
    inside[drawn] = True
    return inside


def fold_of(group: Array, folds: int) -> Array:
    """Fold of each group, int64 in [0, folds), same shape as `group` (uint64).

    All pairs of one group fall into one fold, on every machine and at any time. Raises ValueError below 1 fold.
    """
    if folds < 1:
        raise ValueError(f"folds must be at least 1, not {folds}")
    return (_mixed(np.asarray(group, dtype=np.uint64)) % np.uint64(folds)).astype(np.int64)


def _mixed(x: Array) -> Array:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014): neighbouring numbers become unrelated ones."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
