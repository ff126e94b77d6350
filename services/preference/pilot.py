"""The pilot: a few pairs drawn before the cost, and the gate that their answers open or shut. PURE."""

import numpy as np

Array = np.ndarray

_SMALLEST = 8
_SHARE = 0.005
# A judge as good as this must hardly ever be stopped ...
_DECENT = 0.7
# ... by chance, that is, in fewer than one pilot of a hundred.
_FALSE_ALARM = 0.01


def pilot_size(pairs: int, tasks: int, wished: int = -1) -> int:
    """Pairs that the pilot asks about, of `tasks` that the human budget pays.

    `wished` of them if the budget allows; for -1 max(8, 0.5 % of the pairs), at most a quarter of the budget.
    """
    if wished >= 0:
        return min(wished, tasks, pairs)
    return min(max(_SMALLEST, round(_SHARE * pairs)), tasks // 4, pairs)


def draw_pilot(pairs: int, size: int, seed: int) -> Array:
    """`size` of the run's pair indexes, uniform without repeats, int64, ascending; P(asked) is size / pairs for each."""
    return np.sort(np.random.default_rng((seed, 0)).choice(pairs, size, replace=False))


def draw_part(asked: int, paid: int, seed: int, round_: int) -> list[int]:
    """Places of a batch of `asked` that a budget for `paid` pays: all, or as many of them drawn uniformly, ascending."""
    if paid >= asked:
        return list(range(asked))
    # Of another stream than the batch itself, which (seed, round) drew.
    drawn = np.random.default_rng((seed, round_, 1)).choice(asked, paid, replace=False)
    return sorted(drawn.tolist())


def misaligned(right: int, answered: int) -> bool:
    """Whether the judge is grossly at odds with people: `right` of the `answered` decided pilot pairs (no ties).

    True if fewer than half are right and a judge who is right 70 % of the time would do this badly in fewer than 1 of
    100 pilots. With 8 answers that is 0 or 1 right: a false alarm in 0.13 % of 70 %-right judges' pilots; an inverted
    judge is caught in 94 % of them if it is wrong 95 % of the time, in 81 % at 90 %, in 37 % at 75 %. Never below 4.
    """
    return 2 * right < answered and _so_few(right, answered) < _FALSE_ALARM


def _so_few(right: int, answered: int) -> float:
    """P(a decent judge is right at most so often)."""
    from scipy.special import bdtr  # here: a quarter of a second that whoever asks for no pilot should not wait

    return float(bdtr(right, answered, _DECENT))
