"""Reward models by the script, on tiny models made here: the loss, what is learned, and that a kill changes no byte."""

import json
import signal
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_models import FAMILIES, rows, saved, tokenizer, written
from tests.training_script import events, here, spec_of, started, until, weights

pytestmark = pytest.mark.trl
FAST = {
    "max_length": 64,
    "lora_rank": 4,
    "lora_alpha": 8,
    "learning_rate": 5e-3,
    "batch": 8,
    "micro_batch": 8,
    "epochs": 3.0,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a model of each family and 120 rows."""
    folder = tmp_path_factory.mktemp("world")
    for family in FAMILIES:
        saved(folder / family, family)
    written(folder / "rows.jsonl", rows(120))
    return folder


def spec(world: Path, out: Path, family: str = "llama", **more) -> Path:
    return spec_of(out, model=str(world / family), data=str(world / "rows.jsonl"), **{**FAST, **more})


def rewards(folder: Path, held: list[dict]) -> np.ndarray:
    """Of chosen and rejected, by plain transformers, one text at a time: float [rows, 2]."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).eval()
    model.config.pad_token_id = words.pad_token_id
    out = []
    for row in held:
        for name in ("chosen", "rejected"):
            ids = words.apply_chat_template(row["prompt"] + row[name], return_tensors="pt", return_dict=True)
            with torch.no_grad():
                out.append(model(**ids).logits[0, 0].item())
    return np.array(out).reshape(-1, 2)


@pytest.mark.parametrize("labels", [(1.0, 1.0, 0.0), (0.7, 2.0, 0.3)])
def test_loss_and_gradient_are_the_formulas(labels):
    """Against numbers worked out in float64 without torch."""
    import torch

    from concord.training.fit.loss import weighted_loss

    p, w, m = labels
    d = np.array([-40.0, -1.5, 0.0, 0.2, 3.0, 40.0])
    apart = torch.tensor(d, requires_grad=True)
    loss = weighted_loss(apart - m, torch.full((6,), p).double(), torch.full((6,), w).double())
    loss.backward()
    wanted = w * (np.logaddexp(0, -(d - m)) + (1 - p) * (d - m))
    assert loss.item() == pytest.approx(wanted.mean(), rel=1e-6)
    assert apart.grad.numpy() == pytest.approx(w * (1 / (1 + np.exp(-(d - m))) - p) / 6, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("family", FAMILIES)
def test_with_certain_labels_the_gradient_is_trls_own(world, family, tmp_path):
    """p = w = 1: every parameter's gradient as TRL's trainer gives it; and by the formula where they are not."""
    import torch
    from trl import RewardTrainer

    from concord.training.fit import common, reward_model
    from concord.training.lessons import Lesson, Lessons
    from concord.training.reward import Knobs

    knobs = Knobs(str(world / family), "", str(tmp_path), lora_rank=0, micro_batch=4, batch=4, max_steps=1)
    words = tokenizer()
    some = [Lesson([7, 8, 9], [10 + n, 3], [12, 13 + n, 14, 3], 1.0, 1.0, 1.0) for n in range(4)]
    trainer = reward_model.made(knobs, words, Lessons(some, []), common.arguments(knobs, tmp_path, 1))
    batch = trainer.data_collator([trainer.train_dataset[at] for at in range(4)])

    def gradient(p: float, w: float, plain: bool) -> dict:
        trainer.model.zero_grad()
        held = dict(batch, p_chosen=torch.full((4,), p), weight=torch.full((4,), w))
        if plain:
            held = {name: one for name, one in held.items() if name not in ("p_chosen", "weight", "apart")}
        loss = (RewardTrainer if plain else reward_model.Weighted).compute_loss(trainer, trainer.model, held)
        loss.backward()
        return {name: one.grad.clone() for name, one in trainer.model.named_parameters() if one.grad is not None}

    plain, ours, half = gradient(1.0, 1.0, True), gradient(1.0, 1.0, False), gradient(0.5, 1.0, False)
    heavy = gradient(0.5, 3.0, False)
    for name, wanted in plain.items():
        assert torch.allclose(ours[name], wanted, rtol=1e-4, atol=1e-6), name
        assert torch.allclose(heavy[name], 3 * half[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize(("family", "more"), [("llama", {}), ("qwen3", {"lora_rank": 0}), ("gpt2", {"merged": True})])
def test_a_planted_preference_is_learned_and_plain_transformers_reads_the_folder(world, family, more, tmp_path):
    out = tmp_path / "model"
    assert here("reward", spec(world, out, family, **more))
    unseen = rows(40, seed=9)
    found = rewards(out, unseen)
    assert (found[:, 0] > found[:, 1]).mean() > 0.9
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["kind"] == "reward-model" and manifest["validation"]["accuracy"] > 0.9
    assert {one["path"] for one in manifest["files"]} >= {"README.md"} and manifest["versions"]["trl"]
    assert not (out / "checkpoints").exists() and events(out, "done")
    if "merged" in more:
        assert np.abs(rewards(out / "merged", unseen[:5]) - found[:5]).max() < 1e-5


def test_an_encoder_is_trained_as_well(world, tmp_path):
    out = tmp_path / "model"
    assert here("reward", spec(world, out, "deberta", lora_rank=0, epochs=1.0))
    assert events(out, "validation") and (out / "model.safetensors").exists()


def test_a_round_may_go_on_from_the_last_ones_model(world, tmp_path):
    for first, second in (({}, {}), ({"lora_rank": 0}, {"lora_rank": 0})):
        one, other = (tmp_path / f"{name}-{len(first)}" for name in ("one", "other"))
        assert here("reward", spec(world, one, **first))
        assert here("reward", spec(world, other, **second, warm_start=str(one), max_steps=1, learning_rate=1e-9))
        begun, found = rewards(one, rows(5)), rewards(other, rows(5))
        assert np.abs(begun - found).max() < 1e-3


def test_the_same_spec_twice_gives_the_same_bytes(world, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for out in (one, other):
        assert here("reward", spec(world, out, epochs=1.0))
    assert weights(one) == weights(other) and weights(one)
    assert (one / "adapter_config.json").read_bytes() == (other / "adapter_config.json").read_bytes()


def test_a_kill_and_a_stop_change_no_byte_of_what_comes_out(world, tmp_path):
    """One training in peace; one that is killed after a checkpoint, told to stop, and ended in a third process."""
    peace, war = tmp_path / "peace", tmp_path / "war"
    assert here("reward", spec(world, peace))
    path = spec(world, war, checkpoint_s=0.0)
    process = started("reward", path)
    until(process, "checkpoint", 5)
    process.kill()
    process.wait()
    # What a kill in the middle of a save leaves.
    (war / "checkpoints" / "checkpoint-999").mkdir()
    process = started("reward", path)
    assert until(process, "begin")["from_step"] >= 5
    until(process, "step", 12)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 75, process.stderr.read()
    assert events(war, "stopped") and not (war / "manifest.json").exists()
    assert here("reward", path)
    assert weights(war) == weights(peace)
    # Nothing is left to do, and nothing is done.
    assert started("reward", path).wait() == 0


def test_the_padding_token_is_never_the_end_token_where_that_can_be_helped():
    from concord.kit.errors import InvalidInput
    from concord.training.fit.reward_model import OWN_PAD, own_pad

    assert own_pad(tokenizer(), 76, "") == "<pad>"
    plain = tokenizer(pad=False)
    assert own_pad(plain, 76, "") == "<pad>"
    assert own_pad(plain, 76, "<unk>") == "<unk>"
    with pytest.raises(InvalidInput, match="no token of this model"):
        own_pad(plain, 76, "<nothing>")
    bare = tokenizer(pad=False)
    bare.get_vocab = lambda: {"</s>": 2}
    bare.unk_token = None
    assert own_pad(bare, len(bare) + 1, "") == OWN_PAD


def test_knobs_and_manifest_say_the_same(world, tmp_path):
    from concord.training.reward import Knobs

    out = tmp_path / "model"
    assert here("reward", spec(world, out, max_steps=2, too_long="leave_out", max_length=20))
    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["settings"]) < set(Knobs.__dataclass_fields__)
    kept = manifest["pairs"]
    assert kept["learned"] + kept["held_out"] + kept["left_out"]["above max_length (20)"] == 120
    assert asdict(replace(Knobs("m", "d", "o"), max_steps=2))["max_steps"] == manifest["settings"]["max_steps"]
