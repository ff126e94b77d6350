"""Trains a policy against a reward model that a service holds: `python -m concord.training.online spec.yaml [knob=value …]`.

RLOO or GRPO: the policy answers prompts, ScoringService scores all answers of a step in one call, and better ones become more
likely. It needs the extra `torch` and a service that can be reached. Exit codes as of `concord.training.policy`.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concord.training import knobs as common
from concord.training import script
from concord.training.lessons import prompts


@dataclass(frozen=True)
class Knobs:
    """Everything that may be set, and what it is where nothing is said. Relative paths are from where the command runs."""

    model: str  # the model to begin with, which is the reference too: a folder, or its name on the hub
    data: str  # rows with `prompt`, .jsonl or .jsonl.gz; what else a row has is not read
    out: str  # the folder for the model; an unfinished training of the same spec there is gone on with
    scoring: str  # HOST:PORT of ScoringService
    reward_model: str  # FinalTrained.model_uri of a run
    basis: str = ""  # FeaturesFitted.basis_uri of the run, where its reward model is the light one

    method: str = "rloo"  # or grpo
    samples: int = 4  # answers to each prompt, each compared with the others
    max_new_tokens: int = 256
    max_length: int = 1024  # tokens of a prompt; longer ones are counted and left out
    temperature: float = 1.0
    beta: float = 0.05  # how dear it is to leave the reference
    patience_s: float = 600.0  # how long a service that does not answer is waited for

    lora_rank: int = 32  # 0: all weights are trained
    lora_alpha: int = 64
    lora_targets: str = "all-linear"  # or names with commas between, such as q_proj,v_proj
    epochs: float = 1.0
    max_steps: int = 200  # above 0: in place of epochs
    learning_rate: float = 1e-5
    warmup: float = 0.0  # share of the steps in which the rate rises
    batch: int = 32  # answers of one step, over all devices
    micro_batch: int = 8  # answers on one device at a time
    evaluations: int = 4  # parts of the training after which a checkpoint is left
    checkpoint_s: float = 600.0  # seconds from one checkpoint to the next

    precision: str = "auto"  # bfloat16 where the device has it, else float32
    gradient_checkpointing: bool = False  # a fifth slower, for less memory
    merged: bool = False  # a copy with LoRA's weights merged into the model's, in out/merged
    certificate: str = ""  # the run's report.json, whose certificate the card repeats
    seed: int = 0
    devices: int = 1  # more than one: the same command under `torchrun --nproc-per-node`


RANGES: Mapping[str, tuple[float, float]] = {
    **{name: held for name, held in common.RANGES.items() if name in Knobs.__dataclass_fields__},
    "samples": (2, 1_024),
    "max_new_tokens": (1, 1e6),
    "temperature": (0.01, 10),
    "beta": (0, 100),
    "patience_s": (0, 1e6),
}
CHOICES: Mapping[str, tuple[str, ...]] = {"precision": common.CHOICES["precision"], "method": ("rloo", "grpo")}
SCRIPT = script.Script(Knobs, RANGES, CHOICES, prompts, "online_model")


def main(arguments: Sequence[str]) -> int:
    """Trains as the arguments say; the exit code."""
    return script.run(arguments, __doc__, SCRIPT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
