"""A reward model of the small real model on a file as RewardBench has it, by the two commands that a user types.

    make small-model; python -m benchmarks.reward_bench            some minutes of one core
    python -m benchmarks.reward_bench --quick                      a tiny model of random weights

`python -m concord.training.reward` learns LoRA from HH pairs with people's labels; `python -m concord.scoring.bench` says how often
it is right on pairs that nobody learned from, in 18 subsets: HH's four held-out splits, and pairs of many models' answers (LLMBar,
HHH, PandaLM, Tulu), up to 24 of each that have room. One seed, and few pairs: what a file of that form gives, and no measure of
what the method can do.
"""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import dpo_arms
from benchmarks.dpo_arms import Size
from benchmarks.label_sources import decided
from benchmarks.pack import rows
from concord.scoring import bench

FULL = Size(learn=128, held=24, pool=6_000, max_length=192)
QUICK = Size(learn=16, held=4, pool=160, max_length=128)


def reported(start: str, size: Size) -> list[dict]:
    """Rows of a file as RewardBench has it, `size.held` of each source at most."""
    judged = [row for row in rows("judged_pairs") if row["human_majority"] in (0, 1) and len(row["responses"]) == 2]
    judged.sort(key=lambda row: row["id"][::-1])
    every = [*decided("hh_test", size.pool), *judged]
    pairs = [dpo_arms.of_hh(row) for row in every]
    found: dict[str, list[dict]] = {}
    for at in dpo_arms.fitting(start, pairs, size.max_length):
        kept = found.setdefault(every[at]["source"], [])
        if len(kept) < size.held:
            kept.append({**_row(pairs[at]), "subset": every[at]["source"]})
    return [row for name in sorted(found) for row in found[name]]


def _row(one: dpo_arms.Pair) -> dict:
    chosen, rejected = (one.first, one.second) if one.first_wins else (one.second, one.first)
    return {"prompt": one.prompt, "chosen": chosen, "rejected": rejected}


def measured(start: str, size: Size, folder: Path) -> dict:
    """Trains, scores, and gives what the second command says."""
    every = [dpo_arms.of_hh(row) for row in decided("hh_train", size.pool)]
    learn = [every[at] for at in dpo_arms.fitting(start, every, size.max_length)[: size.learn]]
    held = reported(start, size)
    for name, lines in (("learn", map(_row, learn)), ("rewardbench", held)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    knobs = {"lora_rank": dpo_arms.RANK, "lora_alpha": 2 * dpo_arms.RANK, "learning_rate": dpo_arms.RATE}
    knobs |= {"batch": dpo_arms.BATCH, "max_length": size.max_length, "epochs": 1, "evaluations": 2}
    spec = {"model": start, "data": "learn.jsonl", "out": "reward", **knobs}
    (folder / "reward.yaml").write_text(json.dumps(spec), encoding="utf-8")
    _called(folder, "concord.training.reward", "reward.yaml")
    said = _called(folder, "concord.scoring.bench", "reward", "rewardbench.jsonl", "--json")
    return {"learned": len(learn), "pairs": len(held), "bench": json.loads(said)}


def _called(folder: Path, *command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def said(found: dict) -> None:
    """What came, on standard output."""
    print(f"learned from {found['learned']} pairs", *bench.lines(found["bench"]), sep="\n")


if __name__ == "__main__":
    dpo_arms.run(__doc__, measured, said, FULL, QUICK)
