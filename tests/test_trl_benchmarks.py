"""The benchmarks that need torch, in their quick form: they run, and measure what they say."""

import numpy as np
import pytest

from tests.data import data_path

pytestmark = pytest.mark.trl


@pytest.fixture
def pack(monkeypatch):
    monkeypatch.setenv("CONCORD_DATA", str(data_path("hh_train.jsonl.gz").parent))


def test_scoring_is_measured_beside_a_plain_loop_that_gives_the_same_rewards(tmp_path, pack):
    from benchmarks import torch_scoring

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


def test_dpo_by_four_sources_of_labels_is_measured_on_the_same_pairs(pack, tmp_path):
    from benchmarks import dpo_arms, label_sources

    found = label_sources.measured(str(dpo_arms.tiny(tmp_path / "tiny")), label_sources.QUICK, tmp_path)
    right = found["labels_right"]
    assert right["all people"] == 1 and right["judge"] == pytest.approx(0.75, abs=0.01)
    assert right["judge + random people"] > right["judge"]
    assert found["learned"] == label_sources.QUICK.learn
    assert {one["of"] for one in found["accuracy"]["arms"].values()} == {label_sources.QUICK.held}
    assert set(found["accuracy"]["differences"]) == {
        "ours less judge",
        "ours less judge + random people",
        "ours less all people",
        "all people less judge",
    }
    label_sources.said(found)


def test_dpo_on_pairs_chosen_by_how_they_differ_is_measured_with_as_many_of_each(pack, tmp_path):
    from benchmarks import dpo_arms, selection_dpo

    found = selection_dpo.measured(str(dpo_arms.tiny(tmp_path / "tiny")), selection_dpo.QUICK, tmp_path)
    assert set(found["pairs"].values()) == {selection_dpo.QUICK.learn}
    near = found["mean_cosine"]
    assert near["easy"] < near["random"] < near["hard"] and near["drop-similar"] < near["hard"]
    selection_dpo.said(found)


def test_a_judge_that_loves_style_is_measured_alone_and_with_answers_checked_first(pack, tmp_path):
    from benchmarks import dpo_arms, hrlaif

    found = hrlaif.measured(str(dpo_arms.tiny(tmp_path / "tiny")), hrlaif.QUICK, tmp_path)
    assert found["labels_right"] == {hrlaif.ALONE: 0.5, hrlaif.CHECKED: 1.0}
    assert set(found["satisfaction"]["arms"]) == {*hrlaif.ARMS, hrlaif.START}
    assert all(0 <= one["is"] <= 1 for one in found["win_rate"]["arms"].values())
    way = found["on_the_way"]
    assert [one["arm"] for one in way] == [arm for arm in hrlaif.ARMS for _ in range(hrlaif.STAGES)]
    for arm in hrlaif.ARMS:
        last = [one for one in way if one["arm"] == arm][-1]
        assert last["win_rate"] == pytest.approx(found["win_rate"]["arms"][arm]["is"])
    hrlaif.said(found)


def test_reward_models_of_every_kind_are_measured_on_the_same_held_out_pairs(pack, tmp_path):
    from benchmarks import dpo_arms, reward_accuracy

    found = reward_accuracy.measured(str(dpo_arms.tiny(tmp_path / "tiny")), reward_accuracy.QUICK, tmp_path)
    for one in found["sets"].values():
        assert set(one["arms"]) == set(reward_accuracy.ARMS) and one["learned"] == reward_accuracy.QUICK.learn
        assert all(arm["of"] == reward_accuracy.QUICK.held and 0 <= arm["is"] <= 1 for arm in one["arms"].values())
        assert len(one["differences"]) == len(reward_accuracy.ARMS) - 1
        for arm, figures in one["bench"].items():
            assert figures["all"]["right"] == pytest.approx(one["arms"][arm]["is"])
            assert sum(subset["of"] for subset in figures["subsets"].values()) == reward_accuracy.QUICK.held
    reward_accuracy.said(found)


def test_a_reward_model_is_measured_by_subset_on_pairs_that_it_did_not_learn_from(pack, tmp_path):
    from benchmarks import dpo_arms, reward_bench

    found = reward_bench.measured(str(dpo_arms.tiny(tmp_path / "tiny")), reward_bench.QUICK, tmp_path)
    subsets = found["bench"]["subsets"]
    assert found["learned"] == reward_bench.QUICK.learn and len(subsets) > 4
    assert all(0 < one["of"] <= reward_bench.QUICK.held for one in subsets.values())
    assert sum(one["of"] for one in subsets.values()) == found["bench"]["all"]["of"] == found["pairs"]
    reward_bench.said(found)


def test_a_policy_is_trained_against_the_scoring_service_from_another_process(pack, tmp_path):
    from benchmarks import dpo_arms, online

    found = online.measured(str(dpo_arms.tiny(tmp_path / "tiny")), online.QUICK, tmp_path)
    assert len(found["reward"]) == online.QUICK.held and found["raised"]["low"] <= found["raised"]["mean"]
    online.told(found)


def test_the_warning_and_the_cure_are_told_from_what_judge_and_checks_say():
    from benchmarks import hrlaif

    asked = [(2, 3), (4, 5), (6, 7)]
    plain = [f"{a} plus {b} is {a + b}." for a, b in asked]
    fine_wrong = [f"What a wonderful question! {a} plus {b} is {a + b + 1}. I hope this helps!" for a, b in asked]
    said = {hrlaif.ALONE: fine_wrong, hrlaif.CHECKED: plain, hrlaif.START: plain}
    found = hrlaif.figures(said, asked)
    assert found["win_rate"]["arms"][hrlaif.ALONE]["is"] == 1 and found["win_rate"]["arms"][hrlaif.CHECKED]["is"] == 0.5
    assert found["satisfaction"]["arms"][hrlaif.ALONE]["is"] == 0 and found["satisfaction"]["arms"]["start"]["is"] == 1
    assert found["warning"] and found["cure"]


def test_the_reference_is_the_start_s_own_log_probability_and_a_label_turned_round_turns_the_lesson(tmp_path, pack):
    import torch
    from transformers import AutoModelForCausalLM

    from benchmarks import dpo_arms

    start = str(dpo_arms.tiny(tmp_path / "tiny"))
    pairs = [dpo_arms.Pair("Ask: ", f"yes {n} it is", "no", n % 2 == 0) for n in range(6)]
    known = dpo_arms.known(start, pairs, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(start).eval()
    one = known.tokens[3]
    for side, answer in enumerate(one.answers):
        ids = torch.tensor([one.prompt + answer])
        with torch.no_grad():
            said = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
        assert known.reference[3, side] == pytest.approx(float(said[len(one.prompt) - 1 :].sum()), abs=1e-3)
    kept, turned = (dpo_arms._row(known, dpo_arms.Label(3, p)) for p in (0.8, 0.2))
    assert kept["p_chosen"] == turned["p_chosen"] == 0.8 and kept["chosen_ids"] == turned["rejected_ids"]
    assert kept["ref_chosen_logps"] == turned["ref_rejected_logps"]


def test_what_is_measured_on_a_gpu_runs_as_it_is_in_a_tiny_shape(pack):
    from benchmarks import gpu

    found = gpu.measured("tiny", 512, 0.2)
    assert (
        found["scoring"]["texts"] == 40 and found["scoring"]["tflops"] > 0 and found["scoring"]["soak"]["passes"] >= 1
    )
    assert found["training"]["steps"] == gpu.SHAPES["tiny"].steps and found["training"]["tflops"] > 0
    # 28 layers of Qwen3-0.6B's sizes have 440 million weights beside the embedding's.
    assert gpu.SHAPES["0.6B"].weights == pytest.approx(440e6, rel=0.01) and gpu.SHAPES["8B"].weights == pytest.approx(
        6.95e9, rel=0.01
    )
