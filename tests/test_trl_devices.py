"""Several processes that train together, by the command that the worker gives: on a CPU, over gloo."""

import json
import os
import subprocess

import pytest

from concord.training.trainer import SPEC, command
from tests.tiny_models import rows, saved, written

pytestmark = pytest.mark.trl
KNOBS = {"batch": 8, "micro_batch": 4, "max_steps": 4, "lora_rank": 4, "max_length": 64, "learning_rate": 1e-2}


def test_two_processes_share_their_gradients_and_so_give_what_one_gives_on_the_same_batches(tmp_path):
    import numpy as np
    from safetensors.numpy import load_file

    model, data = saved(tmp_path / "tiny", "llama", width=0.2), written(tmp_path / "rows.jsonl", rows(60))
    found = []
    for devices in (1, 2):
        place = tmp_path / str(devices)
        place.mkdir()
        spec = {"model": str(model), "data": str(data), "out": "model", "devices": devices, **KNOBS}
        (place / SPEC).write_text(json.dumps(spec))
        done = subprocess.run(
            command("concord.training.reward", devices),
            cwd=place,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2_000:]
        # One of them speaks.
        assert done.stdout.count('"event": "done"') == 1
        found.append(load_file(place / "model" / "adapter_model.safetensors"))
    alone, together = found
    assert alone.keys() == together.keys()
    for name, held in alone.items():
        np.testing.assert_allclose(held, together[name], atol=2e-4, err_msg=name)
