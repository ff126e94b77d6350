"""DPO under known label noise: each pair smoothed by our posterior, beside plain DPO and TRL's `robust`, which has one number.

    python -m benchmarks.noise_aware_dpo            20 and 40 % of the judge's labels wrong, five seeds
    python -m benchmarks.noise_aware_dpo --quick    one seed, fewer pairs

Simulated: made-up words, a tiny Llama of random weights (benchmarks/planted_pairs.py). Every arm has the same pairs, steps and
rate of learning, and knows the answers of people (a tenth of the pairs); `robust` is told the true error of what it learns from,
which nobody knows in practice. Measured: how often the implicit reward of the policy prefers the truly better response on pairs
that nobody labelled. The rate of learning was chosen for plain DPO, on seeds that are not reported.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import asked_of, circumstances, parser_of, write
from benchmarks.planted_pairs import PEOPLE_ASKED, WORDS, Pairs, pairs_of

ERRORS = (0.2, 0.4)
ARMS = ("plain", "robust", "ours, soft")
PAIRS, HELD, SEEDS = 800, 384, 5
BETA, RATE, BATCH, EPOCHS = 0.1, 3e-3, 32, 3
END = WORDS


def lessons_of(pairs: Pairs, arm: str) -> list[Any]:
    """The pairs as an arm learns from them: ours turn a pair round where the posterior does."""
    from concord.training.lessons import Lesson

    p_first = np.where(pairs.label, 1.0, 0.0) if arm in ("plain", "robust") else pairs.p_first
    found = []
    for prompt, first, second, p in zip(pairs.prompt, pairs.first, pairs.second, p_first, strict=True):
        chosen, rejected = (first, second) if p >= 0.5 else (second, first)
        found.append(Lesson(prompt, [*chosen, END], [*rejected, END], max(p, 1 - p), 1.0, abs(2 * p - 1)))
    return found


def model_folder(folder: Path, seed: int) -> Path:
    """A Llama of two layers whose tokens are the words and an end."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=WORDS + 2,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        eos_token_id=END,
        pad_token_id=WORDS + 1,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    names = {**{f"w{number}": number for number in range(WORDS)}, "</s>": END, "<pad>": WORDS + 1}
    words = Tokenizer(models.WordLevel(names, unk_token="<pad>"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", pad_token="<pad>").save_pretrained(folder)
    return folder


def accuracy(error: float, arm: str, seed: int, pairs: int, held: int, rate: float) -> dict[str, float]:
    """Of one training: how often the policy's implicit reward prefers the better of pairs that nobody labelled."""
    from transformers import AutoTokenizer

    from concord.training.fit import common
    from concord.training.lessons import Lessons
    from concord.training.policy import Knobs

    learn, unseen = pairs_of(pairs, error, seed), pairs_of(held, error, seed, part=1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        start = str(model_folder(folder / "start", seed))
        knobs = Knobs(
            start,
            "",
            place,
            beta=BETA,
            lora_rank=0,
            learning_rate=rate,
            batch=BATCH,
            micro_batch=BATCH,
            seed=seed,
            epochs=float(EPOCHS),
        )
        settings = common.arguments(knobs, folder / "out", common.steps_of(knobs, pairs)) | {"save_strategy": "no"}
        known = Lessons(lessons_of(learn, arm), truth_of(unseen))
        trainer = made(arm, knobs, AutoTokenizer.from_pretrained(start), known, settings, learn)
        trainer.remove_callback(common.PrinterCallback)
        trainer.train()
        found = trainer.evaluate()
    return {
        "accuracy": found["eval_rewards/accuracies"],
        "margin": found["eval_rewards/margins"],
        "judge_wrong": learn.wrong,
        "posterior_wrong": float(((learn.p_first > 0.5) != learn.truth).mean()),
    }


def made(arm: str, knobs: Any, tokenizer: Any, known: Any, settings: dict[str, Any], learn: Pairs) -> Any:
    """The arm's trainer; that of `robust` is TRL's own, with its own loss."""
    from concord.training.fit import policy_model

    if arm != "robust":
        return policy_model.made(knobs, knobs.model, tokenizer, known, settings)
    from transformers import AutoModelForCausalLM, set_seed
    from trl import DPOConfig, DPOTrainer

    class Robust(policy_model.Weighted):
        """Rows as tokens, and TRL's loss."""

        def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
            return DPOTrainer.compute_loss(
                self,
                model,
                {name: held for name, held in inputs.items() if name not in policy_model.OWN},
                *more,
                **named,
            )

    set_seed(knobs.seed)
    smoothing = float((learn.label != learn.truth).mean())
    rows = Path(settings["output_dir"]) / "rows"
    return Robust(
        model=AutoModelForCausalLM.from_pretrained(knobs.model),
        args=DPOConfig(
            beta=knobs.beta,
            max_length=None,
            precompute_ref_log_probs=True,
            loss_type="robust",
            label_smoothing=smoothing,
            **settings,
        ),
        data_collator=policy_model.Collator(
            policy_model.DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id), policy_model.OWN
        ),
        train_dataset=policy_model._on_disk(rows / "learn", known.learn),
        eval_dataset=policy_model._on_disk(rows / "held", known.held),
        processing_class=tokenizer,
    )


def truth_of(pairs: Pairs) -> list[Any]:
    """The pairs as they truly are."""
    from concord.training.lessons import Lesson

    found = []
    for prompt, first, second, is_first in zip(pairs.prompt, pairs.first, pairs.second, pairs.truth, strict=True):
        chosen, rejected = (first, second) if is_first else (second, first)
        found.append(Lesson(prompt, [*chosen, END], [*rejected, END], 1.0, 1.0, 1.0))
    return found


def summary(cells: list[dict]) -> dict[str, Any]:
    """By error: each arm's mean accuracy and sd over seeds, and ours less each other arm, seed by seed."""
    out: dict[str, Any] = {}
    for error in dict.fromkeys(cell["error"] for cell in cells):
        by = {arm: [c["accuracy"] for c in cells if c["error"] == error and c["arm"] == arm] for arm in ARMS}
        ours = np.array(by["ours, soft"])
        out[f"{error:.0%} wrong"] = {
            "arms": {arm: _spread(values) for arm, values in by.items()},
            "ours_less": {arm: _spread(ours - np.array(by[arm])) for arm in ARMS[:2]},
        }
    return out


def _spread(values: Any) -> dict[str, float]:
    held = np.asarray(values, float)
    sd = float(held.std(ddof=1)) if len(held) > 1 else 0.0
    return {
        "mean": float(held.mean()),
        "sd": sd,
        "low": float(held.min()),
        "high": float(held.max()),
        "seeds": len(held),
    }


def cells_of(seeds: range, pairs: int, held: int, rate: float, arms: tuple[str, ...]) -> Iterator[dict]:
    """A row for each training."""
    for seed in seeds:
        for error in ERRORS:
            for arm in arms:
                yield {"error": error, "arm": arm, "seed": seed, **accuracy(error, arm, seed, pairs, held, rate)}


def main() -> None:
    parser = parser_of(__doc__, "one seed, 300 pairs; a minute")
    parser.add_argument(
        "--rates", type=float, nargs="+", help="plain DPO alone at these rates, on seeds that are not reported"
    )
    asked = asked_of(parser)
    from concord.training.fit import common

    common.quiet()
    pairs, held, seeds = (300, 192, range(1)) if asked.quick else (PAIRS, HELD, range(SEEDS))
    if asked.rates:
        for rate in asked.rates:
            for cell in cells_of(range(100, 102), pairs, held, rate, ("plain",)):
                print(rate, json.dumps(cell), flush=True)
        return
    cells = []
    for cell in cells_of(seeds, pairs, held, RATE, ARMS):
        cells.append(cell)
        print(f"{cell['error']:.0%} wrong, seed {cell['seed']}, {cell['arm']:15s} {cell['accuracy']:.3f}", flush=True)
    found = summary(cells)
    for name, rows in found.items():
        print(f"\n{name}: held-out accuracy of the implicit reward, mean ± sd over {len(seeds)} seeds")
        for arm, said in rows["arms"].items():
            print(f"  {arm:16s} {said['mean']:.3f} ± {said['sd']:.3f}")
        for arm, said in rows["ours_less"].items():
            print(f"  ours, soft less {arm:8s} {said['mean']:+.3f} [{said['low']:+.3f}, {said['high']:+.3f}]")
    if asked.json:
        settings = {
            "pairs": pairs,
            "held_out": held,
            "people": PEOPLE_ASKED,
            "beta": BETA,
            "rate": RATE,
            "epochs": EPOCHS,
        }
        write(asked.json, {**circumstances(settings), "summary": found, "cells": cells})


if __name__ == "__main__":
    main()
