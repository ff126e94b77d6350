"""RLOO against the scoring service, a real one over gRPC with the light reward model that the pairs taught."""

import json

import numpy as np
import pytest

from concord.kit.arrays import pack
from concord.kit.blobs import FileBlobs
from concord.kit.rpc import serve
from concord.preference.request_bounds import check
from concord.reward import features, head
from concord.scoring.service import Scoring, servicer
from tests.tiny_models import rows, saved, written
from tests.training_script import events, here, spec_of

pytestmark = pytest.mark.trl


@pytest.fixture
def service(tmp_path):
    """(address, model's URI, basis' URI) of a service that likes the planted good words."""
    held, blobs = rows(400), FileBlobs(tmp_path / "blobs")
    chosen, rejected = ([row[name][0]["content"] for row in held] for name in ("chosen", "rejected"))
    basis = features.fit(chosen + rejected, 64, 0)
    x = features.differences(basis, chosen + rejected, rejected + chosen)
    taught = head.fit_head(x, np.repeat([1.0, 0.0], 400), np.ones(800), np.zeros(800, np.int64), ridge=1.0)
    server, port, _ = serve([servicer(Scoring(blobs))], "127.0.0.1:0", check=check)
    yield f"127.0.0.1:{port}", blobs.put(pack(taught.arrays())), blobs.put(pack(basis.arrays()))
    server.stop(None).wait()


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_twenty_steps_raise_a_planted_reward_through_the_scoring_service(service, method, tmp_path):
    address, model, basis = service
    saved(tmp_path / "start", "llama")
    written(tmp_path / "rows.jsonl", [{"prompt": row["prompt"]} for row in rows(40)])
    out = tmp_path / "policy"
    knobs = {
        "model": str(tmp_path / "start"),
        "data": str(tmp_path / "rows.jsonl"),
        "scoring": address,
        "reward_model": model,
        "basis": basis,
        "method": method,
        "samples": 8,
        "batch": 32,
        "micro_batch": 32,
        "max_new_tokens": 8,
        "lora_rank": 0,
        "learning_rate": 5e-3,
        "max_steps": 20,
    }
    assert here("online", spec_of(out, **knobs))
    reward = [one["reward"] for one in events(out, "step")]
    assert len(reward) == 20 and np.mean(reward[-3:]) > np.mean(reward[:3]) + 0.5, reward
    assert json.loads((out / "manifest.json").read_text())["curves"]["loss"][-1]["reward"] == pytest.approx(
        reward[-1], abs=1e-5
    )
