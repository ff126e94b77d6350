"""Weights shared out over devices: torch's `fully_shard` on a CPU's mesh, cut at the blocks that accelerate is told of."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from concord.kit.errors import InvalidInput
from concord.training.asked import check_knobs
from concord.training.policy import Knobs
from tests.tiny_models import FAMILIES, SIZES, model_of

pytestmark = pytest.mark.trl
ROOT = Path(__file__).parent.parent
BLOCKS = {
    "llama": "LlamaDecoderLayer",
    "qwen3": "Qwen3DecoderLayer",
    "gpt2": "GPT2Block",
    "deberta": "DebertaV2Layer",
}


def test_a_step_with_the_weights_shared_out_gives_what_one_process_gives_on_the_whole_batch():
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, "-m", "tests.fsdp_script"],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [one["family"] for one in said] == list(FAMILIES)
    for one in said:
        assert one["apart"] < 1e-5 < 1e-3 < one["moved"], one
        # Each process holds its half.
        assert 0.45 < one["share"] < 0.6 and one["blocks"] == SIZES["num_hidden_layers"], one
        assert one["layers"] == [BLOCKS[one["family"]]]


def test_accelerate_is_told_of_the_same_blocks_and_of_whole_weights_in_its_files(tmp_path):
    from trl import DPOConfig

    from concord.training.fit import common, fsdp

    knobs = Knobs("m", "d", "o", devices=2, fsdp=True, gradient_checkpointing=True, max_steps=2)
    assert fsdp.arguments(replace(knobs, fsdp=False), model_of("llama")) == {}
    said = {**common.arguments(knobs, tmp_path, 2), **fsdp.arguments(knobs, model_of("llama"))}
    plugin = DPOConfig(**said).fsdp_plugin_args
    assert plugin["fsdp_version"] == 2 and plugin["state_dict_type"] == "FULL_STATE_DICT"
    assert plugin["transformer_cls_names_to_wrap"] == "LlamaDecoderLayer" and plugin["activation_checkpointing"]


@pytest.mark.parametrize(("devices", "said"), [(1, "say devices=… as well"), (2, "no GPU is here")])
def test_it_is_refused_where_it_would_do_nothing(devices, said):
    import torch

    from concord.training.fit import fsdp

    if devices > 1 and torch.cuda.is_available():
        return
    with pytest.raises(InvalidInput, match=said):
        fsdp.check(Knobs("m", "d", "o", devices=devices, fsdp=True))


def test_a_run_takes_it_as_a_knob():
    for program in ("reward", "policy"):
        check_knobs(f"concord.training.{program}", "fsdp=true,lora_rank=4", f"{program}_knobs")
