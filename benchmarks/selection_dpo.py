"""REAL's claim with DPO at its end: as many pairs, chosen by how much their two answers differ.

    make small-model; python -m benchmarks.selection_dpo            some twenty minutes of one quiet core, with the small real model
    python -m benchmarks.selection_dpo --quick                      a tiny model of random weights; a minute

Of 128 pairs of HH that the model reads at once each arm takes 32: the least similar (`easy`), the most similar (`hard`), at
`random`, and at random among the more different ones once the most similar quarter is out (`drop-similar`). Similarity is the
cosine of the start model's own mean of the last layer over each answer, as REAL has it (arXiv 2409.17169). Labels are people's.
Measured: how often the policy's implicit reward prefers what people prefer, on held-out pairs of HH's test split. No order of
the arms is required of it.
"""

from pathlib import Path

import numpy as np

from benchmarks import dpo_arms
from benchmarks.dpo_arms import Label, Pair, Size
from benchmarks.label_sources import decided
from concord.triage.dissimilarity import Candidates, choose

Array = np.ndarray
FULL = Size(learn=32, held=64, pool=128, max_length=96)
QUICK = Size(learn=12, held=12, pool=60, max_length=128)
ARMS = ("easy", "random", "hard", "drop-similar")
# The floor is the light featuriser's, and does not carry over to a model's embeddings: there the quantile alone cuts.
NO_FLOOR = -1.0
SEED = 0


def cosines(start: str, pairs: list[Pair]) -> Array:
    """Of the two answers' embeddings by the start model, float [pairs]."""
    from concord.scoring.transformer import Transformer

    first, second = ([one.texts[side] for one in pairs] for side in (0, 1))
    vectors = Transformer(start).embeddings([*first, *second])
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return (vectors[: len(pairs)] * vectors[len(pairs) :]).sum(axis=1)


def chosen(cosine: Array, pairs: list[Pair], count: int, seed: int) -> dict[str, Array]:
    """By arm, the places of its pairs; all arms have the same number."""
    length = [np.log1p(len(one.texts[0])) - np.log1p(len(one.texts[1])) for one in pairs]
    offered = Candidates(np.arange(len(pairs)), cosine, np.array(length))
    share = count / len(pairs)
    return {
        name: np.flatnonzero(choose(offered, name, seed, share=share, floor=NO_FLOOR).kept)[:count] for name in ARMS
    }


def measured(start: str, size: Size, folder: Path) -> dict:
    """Who chose what, and what the policies that it taught prefer."""
    every = [dpo_arms.of_hh(row) for row in decided("hh_train", 10 * size.pool)]
    pairs = [every[at] for at in dpo_arms.fitting(start, every, size.max_length)[: size.pool]]
    cosine = cosines(start, pairs)
    arms = chosen(cosine, pairs, size.learn, SEED)
    tests = [dpo_arms.of_hh(row) for row in decided("hh_test", 10 * size.held)]
    held = [tests[at] for at in dpo_arms.fitting(start, tests, size.max_length)[: size.held]]
    # Nothing is computed of pairs that no arm took.
    taken = np.unique(np.concatenate(list(arms.values())))
    known = dpo_arms.known(start, [pairs[at] for at in taken] + held, folder)
    places, wins = range(len(taken), len(taken) + len(held)), np.array([one.first_wins for one in held])
    right = {}
    for number, (name, own) in enumerate(arms.items()):
        labels = [Label(int(np.searchsorted(taken, at)), float(pairs[at].first_wins)) for at in own]
        margin = dpo_arms.margins(known, labels, places, folder / f"arm-{number}", size, SEED)
        right[name] = (margin > 0) == wins
    others = [(name, "random") for name in ARMS if name != "random"]
    return {
        "pairs": {name: len(own) for name, own in arms.items()},
        "mean_cosine": {name: float(cosine[own].mean()) for name, own in arms.items()},
        "accuracy": dpo_arms.paired(right, [*others, ("easy", "hard")]),
    }


def said(found: dict) -> None:
    """What came, on standard output."""
    print("pairs of each arm, and the mean cosine of their two answers")
    for name in ARMS:
        print(f"  {name:34} {found['pairs'][name]}   {found['mean_cosine'][name]:.3f}")
    dpo_arms.show("held-out pairs on which the policy's implicit reward prefers what people prefer", found["accuracy"])


if __name__ == "__main__":
    dpo_arms.run(__doc__, measured, said, FULL, QUICK)
