"""Truths for simulations on HH texts: small reward networks taught by the raw human labels: `python -m benchmarks.teachers`.

Each truth is the sign of a network's margin; none can be put exactly by a linear student. sm3, sm8 and sm15 are means of
three networks of 32 tanh units after 3, 8 and 15 passes, on MiniLM's components, surface statistics, the prompt and the
domain. Needs torch and the vectors of `benchmarks.encode`; makes `teachers.npz` beside them.
"""

import numpy as np

from benchmarks.encode import NAMES, cache, last_turn, vectors
from benchmarks.pack import rows
from concord.reward.features import surface_statistics

Array = np.ndarray
PASSES = {"sm3": 3, "sm8": 8, "sm15": 15}
NETWORKS, UNITS, BATCH = 3, 32, 128


def components(vectors_: Array, count: int) -> Array:
    """The leading principal components, the first with a standard deviation of 1; float32 [rows, count]."""
    centred = vectors_ - vectors_.mean(axis=0)
    _, _, right = np.linalg.svd(centred.T @ centred)
    made = centred @ right[:count].T
    return (made / made[:, 0].std()).astype(np.float32)


def taught(x: Array, first_wins: Array, passes: int) -> Array:
    """Rewards float32 [2 x pairs]: all first responses, then all second ones. x has the same rows."""
    import torch
    from torch import nn

    pairs, rewards = len(first_wins), np.zeros(len(x), np.float32)
    first, second, target = (
        torch.tensor(x[:pairs]),
        torch.tensor(x[pairs:]),
        torch.tensor(first_wins.astype(np.float32)),
    )
    for seed in range(NETWORKS):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(x.shape[1], UNITS), nn.Tanh(), nn.Linear(UNITS, 1))
        optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=3e-2)
        for _ in range(passes):
            order = torch.randperm(pairs)
            for at in range(0, pairs, BATCH):
                some = order[at : at + BATCH]
                margin = (network(first[some]) - network(second[some])).squeeze(1)
                loss = nn.functional.binary_cross_entropy_with_logits(margin, target[some])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            rewards += torch.cat([network(first), network(second)]).squeeze(1).numpy() / NETWORKS
    return rewards


def main() -> None:
    """Teaches the networks and keeps their rewards for every response, in the order of `hh.Responses`."""
    import torch

    torch.set_num_threads(1)
    kept = [row for name in NAMES for row in rows(name) if row["human_majority"] in (0, 1)]
    texts = [row["responses"][side]["text"] for side in (0, 1) for row in kept]
    statistics = surface_statistics(texts)
    statistics = (statistics - statistics.mean(axis=0)) / statistics.std(axis=0)
    prompt = components(vectors([last_turn(row) for row in kept]), 8)
    domain = np.array([1.0 if "harmless" in row["source"] else -1.0 for row in kept], np.float32)[:, None]
    x = np.hstack([3 * components(vectors(texts), 48), statistics, np.tile(prompt, (2, 1)), np.tile(domain, (2, 1))])
    first_wins = np.array([row["human_majority"] == 0 for row in kept])
    made = {name: taught(x.astype(np.float32), first_wins, passes) for name, passes in PASSES.items()}
    for name, rewards in made.items():
        right = (rewards[: len(kept)] > rewards[len(kept) :]) == first_wins
        print(f"{name}: agrees with {right.mean():.1%} of the raw labels")
    np.savez(cache() / "teachers.npz", **made)


if __name__ == "__main__":
    main()
