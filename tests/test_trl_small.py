"""A small real model through the whole loop: what the judge likes is learned, and the text stays one."""

from pathlib import Path

import pytest

from benchmarks import whole_loop
from concord.training.model_folder import MANIFEST

pytestmark = pytest.mark.trl
ROOT = Path(__file__).parent.parent
MODEL = ROOT / ".tools" / "small-model"
LORA = "lora_rank=8,lora_alpha=16,learning_rate=2e-3,batch=2,micro_batch=2,max_length=64,evaluations=1"
SIZE = whole_loop.Size(
    pairs=32, held=0.5, reward_knobs=f"{LORA},max_steps=3", policy_knobs=f"{LORA},max_steps=6,stop_margin=0", tokens=16
)


def test_a_small_real_model_learns_what_the_judge_likes_and_its_text_stays_fluent(tmp_path, monkeypatch):
    if not (MODEL / "tokenizer_config.json").exists():
        pytest.skip("no small model here: `make small-model`")
    # Another test computes beside this one.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    found = whole_loop.loop(MODEL, tmp_path, SIZE)
    likely, perplexity = found["log_probability"], found["perplexity"]
    assert likely["policy"] - likely["start"] > 3, "nats, of what was planted, on prompts that were held out"
    # Of a text that fell apart the start would say hundreds.
    assert perplexity["policy"] < 2 * perplexity["start"]
    assert {path.parent.name for path in (tmp_path / "run").glob(f"*/{MANIFEST}")} == {"policy", "reward-model"}
    told = found["policy"]
    kept = next(one for one in told["points"] if one["kept"])
    assert told["asked"] == kept["prompts"] == 16 and kept["reward_margin"] is not None
    for rate in (told["contest"]["judge"], told["reward"]):
        assert rate["low"] <= rate["rate"] <= rate["high"]
