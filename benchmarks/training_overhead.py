"""What the training scripts cost beside bare TRL: CPU time of whole processes with the same arguments, in turns, the best of each.

    python -m benchmarks.training_overhead            five rounds of both trainers; some ten minutes
    python -m benchmarks.training_overhead --quick    one round, few steps

The bare script is what TRL's documentation shows: a data set of texts, a configuration, `train()`, `save_model()`; the same model
of random weights, pairs, steps, batches, LoRA, validation and checkpoints. Both import the same libraries, so the figure is given
with and without what a process needs until its first step. Simulated pairs (tests/tiny_models.py).
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import asked_of, circumstances, interleaved, parser_of, show, spread, write

ROOT = Path(__file__).resolve().parent.parent
FULL = {"rows": 320, "steps": 40, "rounds": 5, "hidden_size": 256, "layers": 6}
QUICK = {"rows": 48, "steps": 4, "rounds": 1, "hidden_size": 32, "layers": 2}
BATCH = 8
BARE = """
import json, sys, time
from datasets import Dataset
from peft import LoraConfig
from trl import {trainer}Config, {trainer}Trainer

asked = json.loads(sys.argv[1])
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
print("READY", time.process_time(), flush=True)
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


def seconds_of(command: list[str]) -> float:
    """CPU seconds of a process and its children, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bare(kind: str, folder: Path, out: Path, steps: int) -> list[str]:
    """The command of the bare script."""
    asked = {
        "data": str(folder / "rows.jsonl"),
        "model": str(folder / "model"),
        "out": str(out),
        "steps": steps,
        "every": -(-steps // 4),
        "warmup": round(0.1 * steps),
    }
    return [sys.executable, "-c", BARE.format(batch=BATCH, **KINDS[kind]), json.dumps(asked)]


def ours(kind: str, folder: Path, out: Path, steps: int) -> list[str]:
    """The command of our script with the same arguments."""
    knobs = {
        "model": str(folder / "model"),
        "data": str(folder / "rows.jsonl"),
        "out": str(out),
        "lora_rank": 8,
        "lora_alpha": 16,
        "learning_rate": 1e-3,
        "batch": BATCH,
        "micro_batch": BATCH,
        "max_steps": steps,
        **({"stop_margin": 0.0} if kind == "policy" else {}),
    }
    path = folder / f"{out.name}.json"
    path.write_text(json.dumps(knobs))
    return [sys.executable, "-m", f"concord.training.{kind}", str(path)]


def measured(size: dict[str, int], folder: Path) -> dict[str, Any]:
    """CPU seconds of both, by trainer; and what share of ours bare TRL needs."""
    made(folder, size)
    number = iter(range(10**6))
    out: dict[str, Any] = {}
    for kind in KINDS:
        ways = {
            name: (
                lambda way=way, kind=kind: seconds_of(way(kind, folder, folder / f"out-{next(number)}", size["steps"]))
            )
            for name, way in (("bare", bare), ("ours", ours))
        }
        found = interleaved(ways, size["rounds"])
        # What a process spends before its first step is mostly imports; the same with one step alone is taken off.
        begun = {
            name: min(
                seconds_of(way(kind, folder, folder / f"out-{next(number)}", 1)) for _ in range(min(size["rounds"], 2))
            )
            for name, way in (("bare", bare), ("ours", ours))
        }
        best = {name: min(values) for name, values in found.items()}
        out[kind] = {
            "cpu_seconds": {name: spread(values) for name, values in found.items()},
            "one_step_alone": begun,
            "bare_divided_by_ours": best["bare"] / best["ours"],
            "steps_alone": (best["bare"] - begun["bare"]) / max(best["ours"] - begun["ours"], 1e-9),
        }
    return out


def main() -> None:
    asked = asked_of(parser_of(__doc__, "one round, few steps"))
    size = QUICK if asked.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        found = measured(size, Path(folder))
    for kind, said in found.items():
        show(f"{kind}: CPU seconds of a whole process", said["cpu_seconds"], "s")
        print(
            f"  bare divided by ours, the best of each: {said['bare_divided_by_ours']:.3f}; steps alone {said['steps_alone']:.3f}"
        )
    if asked.json:
        write(asked.json, {**circumstances({**size, "batch": BATCH}), **found})


if __name__ == "__main__":
    main()
