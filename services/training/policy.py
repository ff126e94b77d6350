"""Trains a policy by hand: `python -m concord.training.policy spec.yaml [knob=value …]`.

DPO on the pairs of a dataset, after supervised training on the chosen answers where `sft_epochs` says so. The spec is YAML or
JSON, a knob a line; docs/models.md has one. It needs the extra `torch`. Exit codes: 0 the model stands in `out`; 2 the spec or
the data cannot be; 75 stopped by SIGTERM or ^C: the same command goes on.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concord.training import knobs as common
from concord.training import lessons, script
from concord.training.lessons import Material


@dataclass(frozen=True)
class Knobs:
    """Everything that may be set, and what it is where nothing is said. Relative paths are from where the command runs."""

    model: str  # the model to begin with, which is the reference too: a folder, or its name on the hub
    data: str  # rows of a dataset.jsonl or of an export, .jsonl or .jsonl.gz
    out: str  # the folder for the model; an unfinished training of the same spec there is gone on with

    labels: str = "soft"  # each pair smoothed by its own p_chosen; `weighted`: counts by |2p - 1|; `hard`: as certain
    people_weight: float = 0.0  # how often a person's row counts; 0: as the rows say
    harmful: bool = False  # rows marked as harmful teach as well
    validation: float = (
        0.1  # share held out to choose the checkpoint, whole prompts at a time; 0: none, the last one is it
    )
    validation_most: int = 512  # pairs held out at most
    max_length: int = 1024  # tokens of a prompt with one answer
    too_long: str = "cut"  # in the middle; `leave_out`: counted in the manifest and left out

    beta: float = 0.1  # how dear it is to leave the reference; the paper takes .5 for summaries
    stop_margin: float = 1.0  # ends once held-out rewards lie so far apart: small models collapse soon after; 0: never
    sft_epochs: float = 0.0  # above 0: first supervised on the chosen answers, into out/sft, the reference from then on
    sft_learning_rate: float = 2e-5
    lora_rank: int = 32  # 0: all weights are trained
    lora_alpha: int = 64
    lora_targets: str = "all-linear"  # or names with commas between, such as q_proj,v_proj
    epochs: float = 1.0
    max_steps: int = 0  # above 0: in place of epochs
    learning_rate: float = 5e-6  # for all weights 1e-6, for LoRA up to 1e-5 and more
    warmup: float = 0.1  # share of the steps in which the rate rises
    batch: int = 32  # pairs of one step, over all devices
    micro_batch: int = 2  # pairs on one device at a time
    evaluations: int = 4  # of the held-out pairs, evenly over the training; the best one's model is kept
    checkpoint_s: float = 600.0  # seconds from one checkpoint to the next; each evaluation leaves one as well

    test: float = 0.0  # share whose prompts neither teach nor choose; 0: with `answers` a tenth, else none
    answers: int = (
        0  # so many of those prompts the policy and its start then answer, into out/answers.jsonl for `concord run`
    )
    answer_tokens: int = 256  # of one such answer at most
    answers_at: int = (
        0  # so many of the last evaluations' checkpoints answer them too, into out/answers-STEP.jsonl; they are kept
    )

    precision: str = "auto"  # bfloat16 where the device has it, else float32
    gradient_checkpointing: bool = False  # a fifth slower, for less memory
    merged: bool = False  # a copy with LoRA's weights merged into the model's, in out/merged
    certificate: str = ""  # the run's report.json, whose certificate the card repeats
    seed: int = 0
    devices: int = 1  # more than one: the same command under `torchrun --nproc-per-node`
    fsdp: bool = False  # weights shared out over these devices, GPUs, in place of a whole copy on each


RANGES: Mapping[str, tuple[float, float]] = {
    **common.RANGES,
    "beta": (1e-4, 100),
    "stop_margin": (0, 1_000),
    "sft_epochs": (0, 1_000),
    "sft_learning_rate": (1e-9, 1),
    "test": (0, 0.5),
    "answers": (0, 1e6),
    "answer_tokens": (1, 1e6),
    "answers_at": (0, 1_000),
}
# Share of the pairs that are set apart for answers where nothing is said.
TEST = 0.1


def material(knobs: Knobs) -> Material:
    """What teaches, what chooses the checkpoint, and what the policy is measured on; InvalidInput as `lessons.material`."""
    return lessons.material(knobs, knobs.test or (TEST if knobs.answers else 0.0), knobs.answers)


SCRIPT = script.Script(Knobs, RANGES, common.CHOICES, material, "policy_model")


def main(arguments: Sequence[str]) -> int:
    """Trains as the arguments say; the exit code."""
    return script.run(arguments, __doc__, SCRIPT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
