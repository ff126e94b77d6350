"""The pilot: a few pairs drawn before the cost, and the gate that their answers open or shut. PURE."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from concord.preference.wilson import by_chance
from concord.v1.pairs_pb2 import Choice

Array = np.ndarray

_SMALLEST = 8
_SHARE = 0.005
# A judge as good as this must hardly ever be stopped ...
_DECENT = 0.7
# ... by chance, that is, in fewer than one pilot of a hundred.
_FALSE_ALARM = 0.01
# A helper without skill would be called better in fewer than one of twenty pilots: five of five, seven of eight …
_BY_LUCK = 0.05
# So many helpers are named one by one.
_MOST_NAMED = 3


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


@dataclass(frozen=True)
class Rival:
    """A helper beside the judge, on the pairs that people decided and of which both have a verdict."""

    name: str  # as a user would give it to --judge
    pairs: int
    right: int
    judge_right: int
    differed: int  # the helper's verdicts are against the judge's
    sided: int  # people with the helper, of those

    @property
    def better(self) -> bool:
        """Whether it would judge better, and that is no luck."""
        return self.right > self.judge_right and proven(self.sided, self.differed)


def proven(sided: int, differed: int) -> bool:
    """Whether people sided with a helper too often for luck where it and the judge differed: p < .05, one-sided."""
    return by_chance(sided, differed, 0.5) < _BY_LUCK


def rival(name: str, said: Mapping[int, int], judge: Mapping[int, int], against: Mapping[int, float]) -> Rival:
    """A helper's record; by pair index: what people said, the judge's verdicts, the share of the helper's that are against these.

    Ties, pairs without a verdict, and those of which the helper says both in turn, count for nobody.
    """
    decided = (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND)
    pairs = [
        pair
        for pair, choice in said.items()
        if choice in decided
        and judge.get(pair) in decided
        and (0 <= against.get(pair, -1) <= 1)
        and against[pair] != 0.5
    ]
    differs = {pair: against[pair] > 0.5 for pair in pairs}
    right = {pair: judge[pair] == said[pair] for pair in pairs}
    return Rival(
        name,
        len(pairs),
        right=sum(right[pair] != differs[pair] for pair in pairs),
        judge_right=sum(right.values()),
        differed=sum(differs.values()),
        sided=sum(differs[pair] and not right[pair] for pair in pairs),
    )


def compared(rivals: Sequence[Rival], where: str = "on the pilot's answers") -> str:
    """How judge and helpers fared on the same answers, and whether one of them would judge better; empty where nothing is known."""
    order = sorted((one for one in rivals if one.pairs), key=lambda one: (one.judge_right - one.right, one.name))
    if not order:
        return ""
    said = "; ".join(
        f"{one.name} is right on {one.right} of {one.pairs}, the judge on {one.judge_right} of these"
        for one in order[:_MOST_NAMED]
    )
    more = f"; {len(order) - _MOST_NAMED} helpers more are behind these" if len(order) > _MOST_NAMED else ""
    best = next((one for one in order if one.better), None)
    if best is None:
        luck = order[0].right > order[0].judge_right
        end = "that it is ahead may be luck" if luck else "none of them would judge better"
        return f"{where} {said}{more}: {end}"
    return (
        f"{where} {said}{more}: {best.name} would judge better, for where they differ people sided with it in "
        f"{best.sided} of {best.differed}; make it the judge (--from RUN --judge {best.name})"
    )
