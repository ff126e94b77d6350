"""The benchmarks that need torch, in their quick form: they run, and measure what they say."""

import numpy as np
import pytest

from tests.data import data_path

pytestmark = pytest.mark.trl


def test_scoring_is_measured_beside_a_plain_loop_that_gives_the_same_rewards(tmp_path, monkeypatch):
    from benchmarks import torch_scoring

    monkeypatch.setenv("CONCORD_DATA", str(data_path("hh_train.jsonl.gz").parent))
    found = torch_scoring.measured(torch_scoring.QUICK, tmp_path)
    assert found["rewards_apart"] < torch_scoring.TOLERANCE
    assert found["tokens"]["trees"] < found["tokens"]["rows"] <= found["tokens"]["plain"]
    assert found["tokens"]["of the texts"] <= found["tokens"]["rows"]


@pytest.mark.parametrize("error", [0.2, 0.4])
def test_the_planted_judge_errs_as_often_as_is_said_and_the_posterior_less(error):
    from benchmarks.planted_pairs import pairs_of

    pairs = pairs_of(600, error, 0)
    assert pairs.wrong == pytest.approx(error, abs=0.01)
    assert ((pairs.p_first > 0.5) != pairs.truth).mean() < error
    other = pairs_of(600, error, 0, part=1)
    assert not np.array_equal(pairs.truth, other.truth)


@pytest.mark.parametrize("arm", ["plain", "robust", "ours, soft"])
def test_an_arm_of_noise_aware_dpo_is_trained_and_measured(arm):
    from benchmarks.noise_aware_dpo import accuracy

    found = accuracy(0.2, arm, 0, 64, 32, 1e-3)
    assert 0 <= found["accuracy"] <= 1 and found["judge_wrong"] == pytest.approx(0.2, abs=0.05)


def test_the_scripts_are_measured_beside_bare_trl(tmp_path):
    from benchmarks import training_overhead

    found = training_overhead.measured(training_overhead.QUICK, tmp_path)
    for kind in training_overhead.KINDS:
        assert found[kind]["cpu_seconds"]["ours"]["median"] > 0 and found[kind]["bare_divided_by_ours"] > 0
    assert list(tmp_path.glob("out-*/adapter_model.safetensors"))


def test_what_is_measured_on_a_gpu_runs_as_it_is_in_a_tiny_shape(monkeypatch):
    from benchmarks import gpu

    monkeypatch.setenv("CONCORD_DATA", str(data_path("hh_train.jsonl.gz").parent))
    found = gpu.measured("tiny", 512, 0.2)
    assert (
        found["scoring"]["texts"] == 40 and found["scoring"]["tflops"] > 0 and found["scoring"]["soak"]["passes"] >= 1
    )
    assert found["training"]["steps"] == gpu.SHAPES["tiny"].steps and found["training"]["tflops"] > 0
    # 28 layers of Qwen3-0.6B's sizes have 440 million weights beside the embedding's.
    assert gpu.SHAPES["0.6B"].weights == pytest.approx(440e6, rel=0.01) and gpu.SHAPES["8B"].weights == pytest.approx(
        6.95e9, rel=0.01
    )
