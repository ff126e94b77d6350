"""What the training scripts cost beside bare TRL: CPU time with the same arguments, in turns, the best of each.

    python -m benchmarks.training_overhead            five rounds of both trainers; three minutes of a core
    python -m benchmarks.training_overhead --quick    one round, few steps

The bare script is what TRL's documentation shows: a data set of texts, a configuration, `train()`, `save_model()`; the same model
of random weights, pairs, steps, batches, LoRA, validation and checkpoints. Both run in one process that has imported everything
before: imports, which take ten seconds and more of either, would hide what is asked. Simulated pairs (tests/tiny_models.py).
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import asked_of, circumstances, interleaved, parser_of, show, spread, write

FULL = {"rows": 160, "steps": 16, "rounds": 5, "hidden_size": 128, "layers": 4}
QUICK = {"rows": 48, "steps": 4, "rounds": 1, "hidden_size": 32, "layers": 2}
BATCH = 8
BARE = """
import json
from datasets import Dataset
from peft import LoraConfig
from trl import {trainer}Config, {trainer}Trainer

rows = [json.loads(line) for line in open(asked["data"])]
keep = ("prompt", "chosen", "rejected")
data = Dataset.from_list([{{name: row[name] for name in keep}} for row in rows]).train_test_split(0.1, seed=0)
trainer = {trainer}Trainer(
    model=asked["model"],
    args={trainer}Config(
        output_dir=asked["out"], max_length=1024, seed=0, report_to="none", disable_tqdm=True, bf16=False,
        gradient_checkpointing=False, per_device_train_batch_size={batch}, per_device_eval_batch_size={batch},
        learning_rate=1e-3, max_steps=asked["steps"], logging_steps=1, eval_strategy="steps", save_strategy="steps",
        eval_steps=asked["every"], save_steps=asked["every"], save_total_limit=2, load_best_model_at_end=True,
        metric_for_best_model="eval_loss", lr_scheduler_type="cosine", warmup_steps=asked["warmup"], {more}
    ),
    train_dataset=data["train"],
    eval_dataset=data["test"],
    peft_config=LoraConfig(task_type="{task}", r=8, lora_alpha=16, target_modules="all-linear", modules_to_save={saved}),
)
trainer.train()
trainer.save_model(asked["out"])
"""
KINDS = {
    "reward": {"trainer": "Reward", "task": "SEQ_CLS", "saved": '["score"]', "more": ""},
    "policy": {"trainer": "DPO", "task": "CAUSAL_LM", "saved": "None", "more": "precompute_ref_log_probs=True"},
}


def made(folder: Path, size: dict[str, int]) -> None:
    """Model and rows."""
    from tests import tiny_models

    tiny_models.SIZES |= {"hidden_size": size["hidden_size"], "num_hidden_layers": size["layers"]}
    tiny_models.saved(folder / "model", "llama")
    tiny_models.written(folder / "rows.jsonl", tiny_models.rows(size["rows"], sure=1.0))


def bare(kind: str, folder: Path, out: Path, steps: int) -> Callable[[], object]:
    """The bare script, ready to run."""
    asked = {
        "data": str(folder / "rows.jsonl"),
        "model": str(folder / "model"),
        "out": str(out),
        "steps": steps,
        "every": -(-steps // 4),
        "warmup": round(0.1 * steps),
    }
    text = compile(BARE.format(batch=BATCH, **KINDS[kind]), f"bare {kind}", "exec")
    return lambda: exec(text, {"asked": asked})


def ours(kind: str, folder: Path, out: Path, steps: int) -> Callable[[], object]:
    """Our script with the same arguments, ready to run."""
    from tests.training_script import here, spec_of

    knobs = {
        "model": str(folder / "model"),
        "data": str(folder / "rows.jsonl"),
        "lora_rank": 8,
        "lora_alpha": 16,
        "learning_rate": 1e-3,
        "batch": BATCH,
        "micro_batch": BATCH,
        "max_steps": steps,
        **({"stop_margin": 0.0} if kind == "policy" else {}),
    }
    path = spec_of(out, **knobs)
    return lambda: here(kind, path)


def cpu_seconds(action: Callable[[], object]) -> float:
    """Of this process; what it prints goes nowhere."""
    with open(os.devnull, "w") as nowhere:
        said, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), nowhere, nowhere
        try:
            began = time.process_time()
            action()
            return time.process_time() - began
        finally:
            sys.stdout, sys.stderr = said


def measured(size: dict[str, int], folder: Path) -> dict[str, Any]:
    """CPU seconds of both, by trainer; and what share of ours bare TRL needs."""
    made(folder, size)
    number = iter(range(10**6))
    out: dict[str, Any] = {}
    for kind in KINDS:
        ways = {"bare": bare, "ours": ours}
        # Once before, so that nobody pays for what is imported late.
        for way in ways.values():
            cpu_seconds(way(kind, folder, folder / f"out-{next(number)}", 1))
        found = interleaved(
            {
                name: (
                    lambda way=way, kind=kind: cpu_seconds(
                        way(kind, folder, folder / f"out-{next(number)}", size["steps"])
                    )
                )
                for name, way in ways.items()
            },
            size["rounds"],
        )
        out[kind] = {
            "cpu_seconds": {name: spread(values) for name, values in found.items()},
            "bare_divided_by_ours": min(found["bare"]) / min(found["ours"]),
        }
    return out


def main() -> None:
    asked = asked_of(parser_of(__doc__, "one round, few steps"))
    size = QUICK if asked.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        found = measured(size, Path(folder))
    for kind, said in found.items():
        show(f"{kind}: CPU seconds", said["cpu_seconds"], "s")
        print(f"  bare divided by ours, the best of each: {said['bare_divided_by_ours']:.3f}")
    if asked.json:
        write(asked.json, {**circumstances({**size, "batch": BATCH}), **found})


if __name__ == "__main__":
    main()
