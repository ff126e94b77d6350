"""What a reward model of each kind knows of people's preferences: on HH and on pairs of many models' answers.

    make small-model; python -m benchmarks.reward_accuracy            half an hour of one quiet core, with the small real model
    python -m benchmarks.reward_accuracy --quick                      a tiny model of random weights; a minute

Learned from the same 120 pairs with people's labels: the light tier's head on its own features; a linear head on the small
model's mean of the last layer over each answer (its ridge chosen by folds of the 120); the small model fine-tuned by LoRA as
`concord.training.reward` does it. Beside them "longer wins", which learns nothing, and the light head on all pairs that there
are. Measured on 150 further pairs: how often the preferred answer has the higher reward; intervals (95 %) are the bootstrap
over them, differences are pair by pair. HH: its own splits. Judged pairs (PandaLM, LLMBar, MT-Bench and others): halves by a
hash of the prompt, with what `concord.scoring.bench` says of each source. One seed.
"""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import dpo_arms
from benchmarks.dpo_arms import Pair, Size
from benchmarks.label_sources import decided
from benchmarks.pack import rows
from benchmarks.selection import is_reported
from concord.reward import features, head, logistic
from concord.scoring import bench

Array = np.ndarray
FULL = Size(learn=120, held=150, pool=6_000, max_length=128)
QUICK = Size(learn=16, held=16, pool=160, max_length=128)
LONGER, LIGHT, LIGHT_ALL, FEATURES, LORA = ARMS = (
    "longer wins",
    "light head",
    "light head, all pairs",
    "small model's features",
    "LoRA reward model",
)
RIDGES = (10.0, 30.0, 100.0, 300.0, 1_000.0)
FOLDS = 5
SEED = 0
# Pairs → reward(first) - reward(second); float [pairs].
Margins = Callable[[list[Pair]], Array]


def sets(size: Size) -> dict[str, tuple[list[dict], list[dict]]]:
    """Name → rows to learn from, rows to measure on; no prompt is in both."""
    judged = [row for row in rows("judged_pairs") if row["human_majority"] in (0, 1) and len(row["responses"]) == 2]
    judged.sort(key=lambda row: row["id"][::-1])  # so that what is taken first is of all sources
    return {
        "HH": (decided("hh_train", size.pool), decided("hh_test", size.pool)),
        "judged pairs": (
            [row for row in judged if not is_reported(row)][: size.pool],
            [row for row in judged if is_reported(row)],
        ),
    }


def truth_of(pairs: list[Pair]) -> Array:
    """1 where the first is better, else 0."""
    return np.array([one.first_wins for one in pairs], float)


def longer(pairs: list[Pair]) -> Array:
    """By length alone."""
    return np.array([len(one.texts[0]) - len(one.texts[1]) for one in pairs], float)


def light(learn: list[Pair]) -> Margins:
    """The light tier's head, as a run trains it, on these pairs."""
    first, second = ([one.texts[side] for one in learn] for side in (0, 1))
    basis, nowhere = features.fit([*first, *second], 256, 0), lambda pairs: np.zeros(len(pairs), int)
    x = features.differences(basis, first, second)
    made = head.fit_head(x, truth_of(learn), np.ones(len(learn)), nowhere(learn))

    def margins(pairs: list[Pair]) -> Array:
        first, second = ([one.texts[side] for one in pairs] for side in (0, 1))
        return head.margins(made, features.differences(basis, first, second), nowhere(pairs))

    return margins


def on_features(start: str, learn: list[Pair]) -> Margins:
    """A linear head on the start model's embeddings of each answer alone."""
    from concord.scoring.transformer import Transformer

    model = Transformer(start)

    def differences(pairs: list[Pair]) -> Array:
        vectors = model.embeddings([one.texts[side] for side in (0, 1) for one in pairs]).astype(float)
        return vectors[: len(pairs)] - vectors[len(pairs) :]

    x = differences(learn)
    # Differences have no middle of their own: turned round they must give the opposite.
    scale = np.maximum(np.sqrt((x**2).mean(axis=0)), 1e-9)
    weights = _head(x / scale, truth_of(learn))
    return lambda pairs: differences(pairs) / scale @ weights


def _head(x: Array, target: Array) -> Array:
    """Weights by the ridge that does best on folds of these pairs."""
    fold = np.arange(len(x)) % FOLDS

    def right(ridge: float) -> float:
        held = [_fit(x[fold != k], target[fold != k], ridge) @ x[fold == k].T for k in range(FOLDS)]
        return float(np.mean([((m > 0) == (target[fold == k] > 0)).mean() for k, m in enumerate(held)]))

    return _fit(x, target, max(RIDGES, key=right))


def _fit(x: Array, target: Array, ridge: float) -> Array:
    return logistic.fit(x, target, np.ones(len(x)), np.zeros(x.shape[1]), np.full(x.shape[1], ridge))


def by_lora(start: str, learn: list[Pair], folder: Path, size: Size) -> Margins:
    """The start model fine-tuned on these pairs, by the training script's own code."""
    from concord.scoring.transformer import Transformer
    from concord.training import model_folder, reward, script
    from concord.training.progress import Progress, Stop

    folder.mkdir(parents=True)
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(_row(one)) + "\n" for one in learn), encoding="utf-8")
    out = folder / "model"
    lora = {"lora_rank": dpo_arms.RANK, "lora_alpha": 2 * dpo_arms.RANK, "learning_rate": dpo_arms.RATE}
    knobs = reward.Knobs(
        start, str(data), str(out), batch=dpo_arms.BATCH, epochs=size.epochs, max_length=size.max_length, **lora
    )
    knobs = replace(knobs, evaluations=2, seed=SEED)
    held = reward.SCRIPT.read(knobs)
    what = script.identity(knobs, held, reward.SCRIPT.trainer)
    model_folder.begin(out, what)
    progress = Progress(out / model_folder.PROGRESS, io.StringIO())
    assert script.trainer_of(reward.SCRIPT.trainer).train(knobs, held, out, what, Stop(), progress)
    model = Transformer(str(out), max_length=size.max_length)

    def margins(pairs: list[Pair]) -> Array:
        prompts = [one.prompt for one in pairs]
        rewards = model.rewards(prompts * 2, [one.first for one in pairs] + [one.second for one in pairs])
        return rewards[: len(pairs)] - rewards[len(pairs) :]

    return margins


def _row(one: Pair) -> dict:
    chosen, rejected = (one.first, one.second) if one.first_wins else (one.second, one.first)
    return {"prompt": one.prompt, "chosen": chosen, "rejected": rejected}


def measured(start: str, size: Size, folder: Path) -> dict:
    """By set of pairs: how often each reward model is right."""
    out = {}
    for name, (source, reported) in sets(size).items():
        every, tests = ([dpo_arms.of_hh(row) for row in side] for side in (source, reported))
        learn = [every[at] for at in dpo_arms.fitting(start, every, size.max_length)[: size.learn]]
        places = dpo_arms.fitting(start, tests, size.max_length)[: size.held]
        held = [tests[at] for at in places]
        made: dict[str, Margins] = {
            LONGER: longer,
            LIGHT: light(learn),
            LIGHT_ALL: light(every),
            FEATURES: on_features(start, learn),
            LORA: by_lora(start, learn, folder / name.replace(" ", "-"), size),
        }
        wins = truth_of(held)
        margins = {arm: model(held) for arm, model in made.items()}
        right = {arm: _right(margin, wins) for arm, margin in margins.items()}
        others = [(arm, LIGHT) for arm in ARMS if arm != LIGHT]
        out[name] = {"learned": len(learn), "all_pairs": len(every), **dpo_arms.paired(right, others)}
        subsets = [reported[at]["source"] for at in places]
        out[name]["bench"] = {arm: _bench(margins[arm], wins, subsets) for arm in (LIGHT, LIGHT_ALL, LORA)}
    return {"sets": out}


def _bench(margin: Array, wins: Array, subsets: list[str]) -> dict:
    """What `concord.scoring.bench` says of these margins: by subset, and how far they may be taken for probabilities."""
    items = [bench.Item(subset, "", ("",), ("",)) for subset in subsets]
    return bench.figures(np.where(wins > 0.5, margin, -margin), items)


def _right(margin: Array, wins: Array) -> Array:
    """1 right, 0 wrong, .5 where both have the same reward."""
    return np.where(margin == 0, 0.5, (margin > 0) == (wins > 0.5)).astype(float)


def said(found: dict) -> None:
    """What came, on standard output."""
    for name, one in found["sets"].items():
        dpo_arms.show(
            f"{name}: right on held-out pairs, learned from {one['learned']} (all: {one['all_pairs']:,})", one
        )
        for arm, figures in one["bench"].items():
            print("", f"{arm}, as concord.scoring.bench has it", *bench.lines(figures), sep="\n  ")


if __name__ == "__main__":
    dpo_arms.run(__doc__, measured, said, FULL, QUICK)
