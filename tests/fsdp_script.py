"""What two processes do in tests/test_trl_fsdp.py, each with the same models: a step of the optimizer alone on a whole batch, and a
step on half of it with the weights shared out. The first says, a JSON object a line, how far apart the weights are then."""

import json
from copy import deepcopy

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from concord.training.fit.fsdp import layers_of
from concord.training.fit.loss import weighted_loss
from tests.tiny_models import FAMILIES, SIZES, model_of

PAIRS, TOKENS = 8, 12


def stepped(model: torch.nn.Module, ids: torch.Tensor, target: torch.Tensor) -> None:
    """One step on these pairs: `ids` [pairs, 2, tokens], the chosen one first; `target` [pairs]."""
    # With the usual eps a gradient of nothing but rounding would move a weight as far as any.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-4)
    rewards = model(input_ids=ids.flatten(0, 1), attention_mask=torch.ones_like(ids.flatten(0, 1))).logits.view(-1, 2)
    weighted_loss(rewards[:, 0] - rewards[:, 1], target, torch.ones_like(target)).backward()
    optimizer.step()


def main() -> None:
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    mesh = init_device_mesh("cpu", (world,))
    for family in FAMILIES:
        alone = model_of(family, head=True, width=0.2).eval()
        shared = deepcopy(alone)
        generator = torch.Generator().manual_seed(1)
        ids = torch.randint(3, SIZES["vocab_size"], (PAIRS, 2, TOKENS), generator=generator)
        target = torch.rand(PAIRS, generator=generator)
        # Before they are shared out, which renames them.
        layers = layers_of(shared)
        blocks = [module for module in shared.modules() if type(module).__name__ in layers]
        for module in (*blocks, shared):
            fully_shard(module, mesh=mesh)
        before = {name: held.detach().clone() for name, held in alone.named_parameters()}
        stepped(alone, ids, target)
        mine = slice(rank * PAIRS // world, (rank + 1) * PAIRS // world)
        stepped(shared, ids[mine], target[mine])
        apart, moved, own, of = 0.0, 0.0, 0, 0
        weights = dict(alone.named_parameters())
        for name, held in shared.named_parameters():
            assert isinstance(held, DTensor), name
            own, of = own + held.to_local().numel(), of + held.numel()
            apart = max(apart, (held.full_tensor() - weights[name]).abs().max().item())
            moved = max(moved, (weights[name] - before[name]).abs().max().item())
        if rank == 0:
            said = {"family": family, "apart": apart, "moved": moved, "share": own / of, "blocks": len(blocks)}
            print(json.dumps({**said, "layers": layers}), flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
