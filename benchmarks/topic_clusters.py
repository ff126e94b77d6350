"""A second attempt at topics whose labels were flipped: clusters of prompts instead of words; and what the best of tests could see.

    python -m benchmarks.topic_clusters [--seeds N] [--quick] [--json [FILE]]

Labels as in `poisoned_labels.py` (2,000 pairs of HH, a topic is the pairs with one word, 5 to 15 %). Prompts are clustered by their
words (20 latent dimensions, k-means); of each cluster of 20 pairs or more it is asked whether labels are contradicted by the reward
model that has not seen them more than elsewhere, by how often (share) and by how much (rank); clusters with a false discovery rate
of 10 % are named. Named right: of the cluster's pairs twice as many are of the topic as of all. `known`: the same test on the
topic's very pairs, as if somebody had said which they are; below it no clustering can come. --quick: two seeds.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks import poisoned_labels
from benchmarks.measure import asked_of, circumstances, parser_of, write
from benchmarks.poisoned_labels import POISONS, Array, Planted

KINDS = ("none", "a topic of 5 to 15 %, a quarter flipped", "a topic of 5 to 15 %, half flipped")
CLUSTERS, DIMENSIONS, ROUNDS, LEAST, DISCOVERIES = (10, 25), 20, 25, 20, 0.1
LEVELS = (0.03, 0.003)


def clusters(marks: Sequence[frozenset[str]], count: int, draw: np.random.Generator) -> Array:
    """Each prompt's cluster, by its words weighted by their rarity: int [prompts]."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import svds

    borne: dict[str, int] = {}
    for one in marks:
        for mark in one:
            borne[mark] = borne.get(mark, 0) + 1
    known = {mark: at for at, mark in enumerate(sorted(m for m, c in borne.items() if 10 <= c <= 0.4 * len(marks)))}
    held = np.zeros((len(marks), len(known)))
    for row, one in enumerate(marks):
        held[row, [known[mark] for mark in one if mark in known]] = 1
    held *= np.log(len(marks) / held.sum(0))
    left, values, _ = svds(csr_matrix(held), k=DIMENSIONS, v0=np.ones(min(held.shape)))
    place = _unit(left * values)
    middle = place[draw.choice(len(place), count, replace=False)]
    for _ in range(ROUNDS):
        own = (place @ middle.T).argmax(1)
        middle = _unit(np.array([place[own == at].sum(0) for at in range(count)]))
    return own


def _unit(rows: Array) -> Array:
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9)


def share(run: Planted, inside: Array) -> float:
    """P that labels inside are contradicted so much more often, were there nothing."""
    against = run.against > 0
    every = against.mean()
    return _above(against[inside].mean() - against[~inside].mean(), every * (1 - every), inside)


def rank(run: Planted, inside: Array) -> float:
    """The same by how much they are: Wilcoxon's."""
    place = run.against.argsort().argsort() / len(run.against)
    return _above(place[inside].mean() - place[~inside].mean(), 1 / 12, inside)


def _above(difference: float, variance: float, inside: Array) -> float:
    """P of at least this difference of means."""
    spread = np.sqrt(variance * (1 / inside.sum() + 1 / (~inside).sum()))
    return 1 - NormalDist().cdf(float(difference / spread))


def discovered(chances: Sequence[float]) -> list[int]:
    """Benjamini and Hochberg's."""
    order = np.argsort(chances)
    held = [at for at, one in enumerate(order) if chances[one] <= DISCOVERIES * (at + 1) / len(order)]
    return [int(one) for one in order[: held[-1] + 1]] if held else []


def of_kind(kind: str, seeds: Sequence[int]) -> dict[str, Any]:
    """By way and number of clusters: how often the topic is named, and others; and the P of those who know the topic."""
    found: dict[str, list[bool]] = {}
    for seed in seeds:
        run = poisoned_labels.planted(poisoned_labels.hh(), POISONS[kind], seed)
        topic = np.array([run.mark in one for one in run.marks]) if run.mark else np.zeros(len(run.marks), bool)
        for way in (share, rank):
            for level in LEVELS if run.mark else ():
                found.setdefault(f"known, {way.__name__}, P < {level}", []).append(way(run, topic) < level)
            for count in CLUSTERS:
                own = clusters(run.marks, count, np.random.default_rng([seed, 9]))
                sizes = [int((own == at).sum()) for at in range(count)]
                chances = [way(run, own == at) if sizes[at] >= LEAST else 1.0 for at in range(count)]
                right = [topic[own == at].mean() >= 2 * topic.mean() > 0 for at in discovered(chances)]
                name = f"{count} clusters, {way.__name__}"
                found.setdefault(f"{name}: named", []).append(any(right))
                found.setdefault(f"{name}: others", []).append(not all(right))
    return {name: sum(said) / len(said) for name, said in found.items()}


def main() -> None:
    parser = parser_of(__doc__, "two seeds")
    parser.add_argument("--seeds", type=int, default=40)
    asked = asked_of(parser)
    seeds = [1, 3] if asked.quick else range(1, 2 * asked.seeds, 2)
    figures = circumstances({"seeds": len(seeds)}) | {"kinds": {kind: of_kind(kind, seeds) for kind in KINDS}}
    for kind, rows in figures["kinds"].items():
        print(kind, *(f"  {name:36} {said:.0%}" for name, said in rows.items()), sep="\n")
    if asked.json:
        write(asked.json, figures)


if __name__ == "__main__":
    main()
