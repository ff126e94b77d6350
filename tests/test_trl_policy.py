"""Policies by the script, on tiny models made here: the loss, what is learned, when it ends, and that a kill changes no byte."""

import json

import numpy as np
import pytest

from tests.tiny_models import rows, saved, tokenizer, written
from tests.training_script import events, here, spec_of, started, until, weights

pytestmark = pytest.mark.trl
FAST = {
    "max_length": 64,
    "lora_rank": 4,
    "lora_alpha": 8,
    "learning_rate": 2e-2,
    "batch": 8,
    "micro_batch": 8,
    "epochs": 3.0,
    "stop_margin": 0.0,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with models and 160 rows."""
    folder = tmp_path_factory.mktemp("world")
    for family in ("llama", "qwen3", "gpt2"):
        # Wider than usual: what LoRA leaves as it is must be able to tell words apart.
        saved(folder / family, family, width=0.2)
    written(folder / "rows.jsonl", rows(160))
    return folder


def spec(world, out, family="llama", **more):
    return spec_of(out, model=str(world / family), data=str(world / "rows.jsonl"), **{**FAST, **more})


def log_probabilities(folder, held) -> np.ndarray:
    """log P(answer | prompt) of chosen and rejected by plain transformers, one text at a time: float [rows, 2]."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    out = []
    for row in held:
        begun = words.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
        for name in ("chosen", "rejected"):
            ids = torch.tensor([words.apply_chat_template(row["prompt"] + row[name])["input_ids"]])
            with torch.no_grad():
                said = model(ids).logits[0, :-1].log_softmax(-1)
            out.append(said.gather(1, ids[0, 1:, None])[len(begun) - 1 :].sum().item())
    return np.array(out).reshape(-1, 2)


@pytest.mark.parametrize("rank", [0, 4])
def test_loss_and_gradient_are_the_formulas_and_trls_own_where_labels_are_certain(world, rank, tmp_path):
    import torch
    from trl import DPOTrainer

    from concord.training.fit import common, policy_model
    from concord.training.lessons import Lesson, Lessons
    from concord.training.policy import Knobs

    knobs = Knobs(
        str(world / "llama"), "", str(tmp_path), lora_rank=rank, micro_batch=4, batch=4, max_steps=1, beta=0.5
    )
    some = [Lesson([7, 8, 9], [10 + n, 3], [12, 13 + n, 14, 3], 1.0, 1.0, 1.0) for n in range(4)]
    trainer = policy_model.made(
        knobs, knobs.model, tokenizer(), Lessons(some, []), common.arguments(knobs, tmp_path, 1)
    )
    batch = trainer.data_collator([trainer.train_dataset[at] for at in range(4)])
    # Away from the reference, where every pair's loss is another.
    with torch.no_grad():
        for one in trainer.model.parameters():
            if one.requires_grad:
                one += 0.05 * torch.randn(one.shape, generator=torch.Generator().manual_seed(1))

    def of(labels, plain: bool):
        trainer.model.zero_grad()
        held = dict(batch, p_chosen=torch.tensor(labels[0]), weight=torch.tensor(labels[1]))
        if plain:
            held = {name: one for name, one in held.items() if name not in policy_model.OWN}
        loss = (DPOTrainer if plain else policy_model.Weighted).compute_loss(trainer, trainer.model, held)
        loss.backward()
        return loss.item(), {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}

    certain = [1.0] * 4, [1.0] * 4
    (wanted, plain), (loss, ours) = of(certain, True), of(certain, False)
    assert loss == pytest.approx(wanted, abs=1e-5)
    for name in plain:
        assert torch.allclose(ours[name], plain[name], atol=2e-5), name
    # By finite differences of the formula in d, pair by pair: the gradient is linear in what each pair contributes.
    labels = [0.9, 0.6, 1.0, 0.3], [1.0, 2.0, 0.5, 1.5]
    _, mixed = of(labels, False)
    ones = [
        of(
            (
                [labels[0][at] if i == at else 1.0 for i in range(4)],
                [labels[1][at] if i == at else 0.0 for i in range(4)],
            ),
            False,
        )[1]
        for at in range(4)
    ]
    for name in mixed:
        assert torch.allclose(mixed[name], sum(one[name] for one in ones), atol=2e-5), name


@pytest.mark.parametrize(
    ("family", "more"),
    [("llama", {"merged": True}), ("qwen3", {"lora_rank": 0, "learning_rate": 2e-3}), ("gpt2", {"sft_epochs": 1.0})],
)
def test_a_planted_preference_is_learned_and_plain_transformers_reads_the_folder(world, family, more, tmp_path):
    out = tmp_path / "policy"
    assert here("policy", spec(world, out, family, **more))
    unseen = rows(30, seed=9)
    start = log_probabilities(out / "sft" if "sft_epochs" in more else world / family, unseen)
    apart = (log_probabilities(out, unseen) - start) @ [1, -1]
    assert (apart > 0).mean() > 0.65 and apart.mean() > 1
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["kind"] == "policy" and manifest["validation"]["accuracy"] > 0.65
    assert manifest["curves"]["loss"] and len(manifest["curves"]["validation"]) == 4
    if "merged" in more:
        assert np.abs(log_probabilities(out / "merged", unseen[:4]) - log_probabilities(out, unseen[:4])).max() < 1e-3


def test_it_ends_once_held_out_rewards_lie_far_enough_apart(world, tmp_path):
    out = tmp_path / "policy"
    assert here("policy", spec(world, out, stop_margin=0.2, evaluations=20, epochs=3.0))
    found = [one["margin"] for one in events(out, "validation")]
    assert found[-1] >= 0.2 and all(margin < 0.2 for margin in found[:-1]) and len(found) < 15


def test_a_kill_changes_no_byte_of_what_comes_out(world, tmp_path):
    """With supervised training before it, and an early end."""
    more = {"sft_epochs": 1.0, "stop_margin": 0.3, "evaluations": 10}
    peace, war = tmp_path / "peace", tmp_path / "war"
    assert here("policy", spec(world, peace, **more))
    path = spec(world, war, checkpoint_s=0.0, **more)
    process = started("policy", path)
    # Supervised training begins, and DPO after it.
    until(process, "begin")
    until(process, "begin")
    until(process, "checkpoint", 4)
    process.kill()
    process.wait()
    assert here("policy", path)
    assert weights(war) == weights(peace)


def test_the_reference_is_computed_once_however_often_one_begins(world, tmp_path):
    from concord.training.fit import common, policy_model
    from concord.training.lessons import Lesson, Lessons
    from concord.training.policy import Knobs

    knobs = Knobs(str(world / "llama"), "", str(tmp_path), lora_rank=4, micro_batch=4, batch=4, max_steps=1)
    found = Lessons([Lesson([7, 8, 9], [10 + n, 3], [12, 3], 1.0, 1.0, 1.0) for n in range(4)], [])
    made = lambda: policy_model.made(knobs, knobs.model, tokenizer(), found, common.arguments(knobs, tmp_path, 1))  # noqa: E731
    first = made().train_dataset["ref_chosen_logps"]
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "rows" / "learn").iterdir()}
    again = made().train_dataset["ref_chosen_logps"]
    assert list(first) == list(again)
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "rows" / "learn").iterdir()}


def test_policy_and_start_answer_held_out_prompts_where_that_is_asked_for(world, tmp_path):
    from concord.kit.errors import InvalidInput

    asked = {"max_steps": 2, "answers": 5, "answer_tokens": 4}
    assert here("policy", spec(world, tmp_path / "out", **asked))
    path = tmp_path / "out" / "answers.jsonl"
    said = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(said) == 5 and all({one["model"] for one in row["responses"]} == {"policy", "start"} for row in said)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert path.name in {one["path"] for one in manifest["files"]}
    taught = {json.dumps(row["prompt"]) for row in rows(160)}
    assert {json.dumps(row["prompt"]) for row in said} <= taught
    assert manifest["pairs"]["test"] >= 5
    few = written(tmp_path / "few.jsonl", rows(1))
    with pytest.raises(InvalidInput, match="no prompt is left to be answered"):
        here("policy", spec_of(tmp_path / "none", model=str(world / "llama"), data=str(few), **{**FAST, **asked}))


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_tokens_work_is_counted_from_the_weights_that_it_is_multiplied_with(kind, tmp_path):
    import peft
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    from concord.training.fit.common import lora, token_flop
    from concord.training.policy import Knobs

    folder = saved(tmp_path / kind, kind)
    policy = AutoModelForCausalLM.from_pretrained(folder)
    rows = policy.get_input_embeddings().weight.numel()
    every = sum(one.numel() for one in policy.parameters())
    counted = every if policy.config.tie_word_embeddings else every - rows
    assert token_flop(policy) == 6 * counted
    reward = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    assert token_flop(reward) == 6 * (sum(one.numel() for one in reward.parameters()) - rows)
    small = peft.get_peft_model(policy, lora(Knobs("m", "d", "o", lora_rank=4), "CAUSAL_LM"))
    learned = sum(one.numel() for one in small.parameters() if one.requires_grad)
    assert 0 < learned < counted and token_flop(small) == 4 * (counted + learned) + 2 * learned
