"""Trains a reward model by hand: `python -m concord.training.reward spec.yaml [knob=value …]`.

The spec is YAML or JSON, a knob a line; docs/models.md has one. It needs the extra `torch`. Exit codes: 0 the model stands in
`out`; 2 the spec or the data cannot be; 75 stopped by SIGTERM or ^C: the same command goes on.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concord.training import knobs as common
from concord.training import script
from concord.training.lessons import material


@dataclass(frozen=True)
class Knobs:
    """Everything that may be set, and what it is where nothing is said. Relative paths are from where the command runs."""

    model: str  # the model to begin with: a folder, or its name on the hub
    data: str  # rows of a dataset.jsonl or of an export, .jsonl or .jsonl.gz
    out: str  # the folder for the model; an unfinished training of the same spec there is gone on with

    labels: str = "soft"  # p_chosen as the target; `weighted`: by how sure it is, |2p - 1|; `hard`: as certain
    margin: float = 0.0  # rewards of a sure pair are to lie so far apart before it teaches nothing more; times 2p - 1
    people_weight: float = 0.0  # how often a person's row counts; 0: as the rows say
    harmful: bool = False  # rows marked as harmful teach as well
    validation: float = 0.1  # share held out, whole prompts at a time; 0: none, and the last checkpoint is the model
    validation_most: int = 512  # pairs held out at most
    max_length: int = 1024  # tokens of a prompt with one answer
    too_long: str = "cut"  # in the middle; `leave_out`: counted in the manifest and left out

    lora_rank: int = 32  # 0: all weights are trained
    lora_alpha: int = 64
    lora_targets: str = "all-linear"  # or names with commas between, such as q_proj,v_proj
    warm_start: str = ""  # the folder of an earlier model of the same kind to go on from
    epochs: float = 2.0
    max_steps: int = 0  # above 0: in place of epochs
    learning_rate: float = 1e-4  # for LoRA; all weights want a tenth of it
    warmup: float = 0.1  # share of the steps in which the rate rises
    batch: int = 32  # pairs of one step, over all devices
    micro_batch: int = 4  # pairs on one device at a time
    center: float = 0.0  # pulls the mean reward of a pair towards 0; .01 is usual
    evaluations: int = 4  # of the held-out pairs, evenly over the training; the best one's model is kept
    checkpoint_s: float = 600.0  # seconds from one checkpoint to the next; each evaluation leaves one as well

    precision: str = "auto"  # bfloat16 where the device has it, else float32
    gradient_checkpointing: bool = False  # a fifth slower, for less memory
    pad_token: str = ""  # empty: the tokenizer's, unless that is its end token: then another that means nothing
    merged: bool = False  # a copy with LoRA's weights merged into the model's, in out/merged
    certificate: str = ""  # the run's report.json, whose certificate the card repeats
    seed: int = 0
    devices: int = 1  # more than one: the same command under `torchrun --nproc-per-node`
    fsdp: bool = False  # weights shared out over these devices, GPUs, in place of a whole copy on each


RANGES: Mapping[str, tuple[float, float]] = {**common.RANGES, "margin": (0, 100), "center": (0, 10)}
SCRIPT = script.Script(Knobs, RANGES, common.CHOICES, material, "reward_model")


def main(arguments: Sequence[str]) -> int:
    """Trains as the arguments say; the exit code."""
    return script.run(arguments, __doc__, SCRIPT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
