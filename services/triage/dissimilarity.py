"""Which pairs teach: chosen by how much their two answers differ, before anybody labels them. Pure.

REAL (arXiv 2409.17169) labels the pairs whose answers differ most, as embeddings of the answers alone say.
Measured here (`benchmarks.selection`): such pairs save labels of people, and near-duplicates do harm, for people tie on them and
judges toss a coin. `drop-similar` leaves the fewest ties where a prompt has several answers, and is the default for candidates:
near-duplicates go, and of the rest each prompt gives a different-enough pair.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

# People tie more often where two answers have the same length, too: of equal cosine the pair with the larger gap in length is
# the more different one. Found on one half of the data pack (by prompt); `benchmarks.selection` reports the other.
LENGTH_WEIGHT = 0.3
# Of all pairs' similarities the highest quarter may be near-duplicates …
QUANTILE = 0.75
# … but none below this floor, which is the light featuriser's: it does not carry over to another embedder.
FLOOR = 0.35


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs that may be chosen; all shapes [pairs]. Pairs of one prompt are neighbours."""

    prompt: Array  # int64, equal for the pairs of one prompt; each given pair is a prompt of its own
    cosine: Array  # float, of the two answers' embeddings, in [-1, 1]; NaN where one of them is empty
    length_difference: Array  # float, natural logarithm of (1 + characters), first minus second
    gap: Array | None = None  # float, implicit reward of the first minus the second; None: nobody has scored them
    central: Array | None = None  # bool, the pair nearest the two centroids of its prompt's answers; None: no lists

    @property
    def similarity(self) -> Array:
        """The higher the more alike; at most 1. NaN where an answer is empty."""
        return self.cosine - LENGTH_WEIGHT * np.abs(self.length_difference)


@dataclass(frozen=True, eq=False)
class Chosen:
    """What came of a choice; all shapes [pairs]."""

    kept: Array  # bool
    why: Array  # str: why a pair was left out, one of WHY; empty where it was kept
    cut: float  # similarity above which pairs are near-duplicates; infinite where none is


EMPTY, ALIKE, LEFT = "an empty answer", "near-duplicates", "others teach more"
WHY = (EMPTY, ALIKE, LEFT)

# (candidates, seed) → what to order by, the smallest first; float [pairs].
Order = Callable[[Candidates, int], Array]


def _at_random(pairs: Candidates, seed: int) -> Array:
    return np.random.default_rng([seed, 7]).random(len(pairs.prompt))


def _smallest_gap(pairs: Candidates, seed: int) -> Array:
    if pairs.gap is None:
        raise ValueError("smallest-gap needs the policy's implicit rewards of both answers, which nobody has given")
    return np.abs(pairs.gap)


def _central(pairs: Candidates, seed: int) -> Array:
    if pairs.central is None:
        raise ValueError("centroid chooses among at least three answers of a prompt; here pairs are given")
    return np.where(pairs.central, 0.0, 1.0 + _at_random(pairs, seed))


def _different_enough(pairs: Candidates, seed: int) -> Array:
    """At random among the more different half of each prompt's pairs: neither alike nor the stray extreme."""
    order = _at_random(pairs, seed)
    below = _rank_in_prompt(pairs.prompt, pairs.similarity) < 0.5
    return np.where(below, order, 1.0 + order)


@dataclass(frozen=True)
class Strategy:
    """One way to choose: what comes first, whether near-duplicates go before, how it is told."""

    order: Order
    words: str
    drops_similar: bool = False


STRATEGIES: dict[str, Strategy] = {
    "drop-similar": Strategy(_different_enough, "near-duplicates out, then at random among the different ones", True),
    "random": Strategy(_at_random, "at random"),
    "easy": Strategy(lambda pairs, seed: pairs.cosine, "the least similar answers, after REAL"),
    "hard": Strategy(lambda pairs, seed: -pairs.cosine, "the most similar answers"),
    "centroid": Strategy(_central, "the answers nearest the two centres of a prompt's answers, after REAL"),
    "smallest-gap": Strategy(_smallest_gap, "the smallest gap of the policy's implicit rewards, after SHARP"),
}


def choose(
    pairs: Candidates,
    strategy: str,
    seed: int,
    *,
    share: float = 1.0,
    per_prompt: int = 0,
    floor: float = FLOOR,
    quantile: float = QUANTILE,
) -> Chosen:
    """The pairs to label: of each prompt at most `per_prompt` (0: all), of those that are left the first `share` in [0, 1].

    Pairs with an empty answer are never kept. The same arguments give the same choice. Raises ValueError where the strategy
    needs what the candidates do not have.
    """
    rule = STRATEGIES[strategy]
    why = np.where(np.isnan(pairs.cosine), EMPTY, "").astype(object)
    cut = np.inf
    if rule.drops_similar:
        cut = near_duplicate_cut(pairs.similarity, floor, quantile)
        why[(why == "") & (pairs.similarity > cut)] = ALIKE
    usable = np.flatnonzero(why == "")
    order = rule.order(pairs, seed)[usable]
    best = usable[np.lexsort((usable, order))]
    if per_prompt:
        best = best[_place_in_prompt(pairs.prompt[best]) < per_prompt]
    kept = np.zeros(len(why), bool)
    # A share is of what was offered, so that dropping near-duplicates saves labels and does not shift them.
    kept[best[: len(best) if share >= 1 else round(share * _offered(pairs, per_prompt))]] = True
    why[(why == "") & ~kept] = LEFT
    return Chosen(kept, why, float(cut))


def near_duplicate_cut(similarity: Array, floor: float, quantile: float = QUANTILE) -> float:
    """Pairs more alike than this say nearly the same: the quantile of all, and never under the floor."""
    known = similarity[~np.isnan(similarity)]
    return max(floor, float(np.quantile(known, quantile))) if len(known) else np.inf


def central_pair(embeddings: Array) -> tuple[int, int]:
    """Of one prompt's answers, unit vectors [answers >= 2, dimensions], those nearest the two centres; first < second.

    Two means by Lloyd's rule, begun at the least similar answers, so that no seed decides.
    """
    alike = embeddings @ embeddings.T
    np.fill_diagonal(alike, np.inf)
    first, second = np.unravel_index(np.argmin(alike), alike.shape)
    centres = embeddings[[first, second]]
    near = [int(first), int(second)]
    for _ in range(20):
        distance = ((embeddings[:, None] - centres[None]) ** 2).sum(axis=2)
        mine = distance[:, 1] < distance[:, 0]
        if mine.all() or not mine.any():
            break
        moved = np.stack([embeddings[~mine].mean(axis=0), embeddings[mine].mean(axis=0)])
        near = [
            int(np.flatnonzero(~mine)[distance[~mine, 0].argmin()]),
            int(np.flatnonzero(mine)[distance[mine, 1].argmin()]),
        ]
        if np.allclose(moved, centres):
            break
        centres = moved
    return min(near), max(near)


def _offered(pairs: Candidates, per_prompt: int) -> int:
    if not per_prompt:
        return len(pairs.prompt)
    return int(np.minimum(np.unique(pairs.prompt, return_counts=True)[1], per_prompt).sum())


def _place_in_prompt(prompt: Array) -> Array:
    """For each entry how many of its prompt stand before it."""
    by_prompt = np.argsort(prompt, kind="stable")
    ordered = prompt[by_prompt]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(prompt) else np.zeros(0, int)
    place = np.arange(len(prompt)) - np.repeat(begins, np.diff(np.append(begins, len(prompt))))
    out = np.empty(len(prompt), int)
    out[by_prompt] = place
    return out


def _rank_in_prompt(prompt: Array, value: Array) -> Array:
    """Where each value stands among its prompt's, in [0, 1): 0 the smallest. Of a prompt with one pair among all of them."""
    _, inverse, counts = np.unique(prompt, return_inverse=True, return_counts=True)
    of = prompt if (counts > 1).any() else np.zeros_like(prompt)
    if of is not prompt:
        counts, inverse = np.array([len(prompt)]), np.zeros(len(prompt), int)
    by_value = np.lexsort((np.nan_to_num(value, nan=np.inf), of))
    place = np.empty(len(of), int)
    place[by_value] = _place_in_prompt(of[by_value])
    return place / counts[inverse]
