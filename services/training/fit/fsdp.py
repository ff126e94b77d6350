"""Weights, gradients and the optimizer's state shared out over several GPUs: FSDP as torch's `fully_shard`, by accelerate.

Each block of the model is gathered when it is needed and let go again, so that a model need not fit on one device. On CPUs
accelerate makes plain data parallelism of it without a word (1.15), so there it is refused; what it does with these blocks is
tested by `fully_shard` itself on a CPU's mesh (tests/test_trl_fsdp.py). It was not run on GPUs.
"""

from typing import Any

import torch
from torch import nn

from concord.kit.errors import InvalidInput
from concord.training.knobs import Run


def layers_of(model: nn.Module) -> list[str]:
    """Class names of the blocks that the model is a row of: each is gathered by itself."""
    rows = [held for held in model.modules() if isinstance(held, nn.ModuleList) and len(held) > 1]
    sizes = [sum(parameter.numel() for parameter in row.parameters()) for row in rows]
    if not rows:
        return []
    return sorted({type(block).__name__ for block in rows[sizes.index(max(sizes))]})


def check(knobs: Run) -> None:
    """Refuses it where it would do nothing. Raises InvalidInput."""
    if knobs.fsdp and knobs.devices < 2:
        raise InvalidInput("fsdp: weights are shared out over several devices; say devices=… as well, or leave it out")
    if knobs.fsdp and not torch.cuda.is_available():
        raise InvalidInput("fsdp: no GPU is here; on CPUs several devices each hold the whole model: leave it out")


def arguments(knobs: Run, model: nn.Module) -> dict[str, Any]:
    """What TrainingArguments are told; nothing where the knobs do not ask for it."""
    if not knobs.fsdp:
        return {}
    config = {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": layers_of(model),
        "reshard_after_forward": True,
        # One file of whole weights, which loads anywhere and on any number of devices.
        "state_dict_type": "FULL_STATE_DICT",
        "cpu_ram_efficient_loading": False,
        "activation_checkpointing": knobs.gradient_checkpointing,
    }
    return {"fsdp": True, "fsdp_config": config, "gradient_checkpointing": False}
