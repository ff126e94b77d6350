"""Rewards and embeddings by a transformer do not hang on how it was computed: order, batches, forms, devices."""

import json
import random

import numpy as np
import pytest

from concord.scoring import bench
from tests.tiny_models import FAMILIES, PLAIN, rows, saved, written

pytestmark = pytest.mark.trl
# What is promised in float32; rewards of these models are about 1.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    for family in FAMILIES:
        saved(folder / family, family, head=True)
    saved(folder / "base", "llama")
    return folder


def texts(count: int) -> tuple[list, list]:
    """Prompts and answers: pairs, a list of five answers, one that stands in several pairs, texts and chats."""
    held = rows(count)
    draw = random.Random(1)
    answers = [[{"role": "assistant", "content": " ".join(draw.choices(PLAIN, k=n))}] for n in (1, 5, 30, 2, 9)]
    prompts = [row["prompt"] for row in held for _ in range(2)] + [held[0]["prompt"]] * 5 + [held[0]["prompt"]] * 3
    said = [row[name] for row in held for name in ("chosen", "rejected")] + answers + [held[0]["chosen"]] * 3
    return [*prompts, "w1 w2", "w1 w2", ""], [*said, " w3", " w4 w5", "w6"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reward_is_what_plain_transformers_says_of_the_text_alone(world, family):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from concord.scoring.transformer import Transformer

    scorer = Transformer(str(world / family))
    assert scorer.form == ("rows" if family == "deberta" else "trees")
    prompts, answers = texts(12)
    found = scorer.rewards(prompts, answers)
    words = AutoTokenizer.from_pretrained(world / family)
    model = AutoModelForSequenceClassification.from_pretrained(world / family).eval()
    for prompt, answer, reward in zip(prompts, answers, found, strict=True):
        if isinstance(prompt, str):
            ids = words(prompt + answer + "</s>", return_tensors="pt")
        else:
            ids = words.apply_chat_template(prompt + answer, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            alone = model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).logits[0, 0].item()
        assert reward == pytest.approx(alone, abs=TOLERANCE)


# An encoder is never packed.
WAYS = [{"tokens": 64}, {"form": "rows"}, {"devices": ("cpu", "cpu")}, {"form": "packed"}]


@pytest.mark.parametrize(
    ("family", "more"), [(family, way) for family in FAMILIES for way in WAYS[: 3 if family == "deberta" else 4]]
)
def test_rewards_do_not_hang_on_batches_order_form_or_devices(world, family, more):
    from concord.scoring.transformer import Transformer

    prompts, answers = texts(20)
    usual = Transformer(str(world / family)).rewards(prompts, answers)
    order = np.random.default_rng(0).permutation(len(prompts))
    other = Transformer(str(world / family), **more)
    found = other.rewards([prompts[at] for at in order], [answers[at] for at in order])
    assert np.abs(found - usual[order]).max() < TOLERANCE


@pytest.mark.parametrize("form", ["trees", "rows", "packed"])
def test_text_made_ready_while_the_device_works_gives_the_very_same_rewards(world, form):
    from concord.scoring.transformer import Transformer

    prompts, answers = texts(20)
    small = {"form": form, "portion": 60, "tokens": 128}
    in_turn, ahead = (Transformer(str(world / "qwen3"), **small, most_ready=most) for most in (0, 2))
    found = ahead.rewards(prompts, answers)
    assert np.array_equal(found, in_turn.rewards(prompts, answers))
    whole = Transformer(str(world / "qwen3"), form=form).rewards(prompts, answers)
    assert np.abs(found - whole).max() < TOLERANCE, "nor do they hang on the portions"


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_packed_sequences_have_the_embeddings_of_padded_ones(world, family):
    from concord.scoring.transformer import Transformer

    said = ["w1", "w2 w3 w4 w5 w6 w7", "", "w1", "w9 w8", " ".join(PLAIN[:40])]
    padded, packed = (Transformer(str(world / family), form=form).embeddings(said) for form in ("rows", "packed"))
    assert np.abs(padded - packed).max() < TOLERANCE


def test_each_answer_is_computed_once(world):
    from concord.scoring import transformer

    scorer = transformer.Transformer(str(world / "llama"))
    seen = []
    model = scorer._models[0]
    model.model.register_forward_pre_hook(
        lambda module, given, named: seen.append(named["input_ids"].numel()), with_kwargs=True
    )
    row = rows(1)[0]
    once = scorer.rewards([row["prompt"]] * 2, [row["chosen"], row["rejected"]])
    tokens, seen[:] = sum(seen), []
    often = scorer.rewards([row["prompt"]] * 20, [row["chosen"], row["rejected"]] * 10)
    assert sum(seen) == tokens and np.array_equal(often, np.tile(once, 10))


@pytest.mark.parametrize("name", ["base", "llama", "deberta"])
def test_embeddings_are_means_over_the_texts_own_tokens(world, name):
    import torch
    from transformers import AutoModel, AutoTokenizer

    from concord.kit.errors import InvalidInput
    from concord.scoring.transformer import Transformer

    said = ["w1", "w2 w3 w4 w5 w6 w7", "", "w1", "w9 w8"]
    scorer = Transformer(str(world / name), tokens=8)
    found = scorer.embeddings(said)
    assert np.array_equal(found[0], found[3]) and found.shape == (5, 32)
    words, model = AutoTokenizer.from_pretrained(world / name), AutoModel.from_pretrained(world / name).eval()
    for at in (0, 1, 4):
        with torch.no_grad():
            alone = model(torch.tensor([words(said[at])["input_ids"]])).last_hidden_state[0].mean(0).numpy()
        assert np.abs(found[at] - alone).max() < TOLERANCE
    assert np.abs(Transformer(str(world / name)).embeddings(said[::-1])[::-1] - found).max() < TOLERANCE
    if name == "base":
        with pytest.raises(InvalidInput, match="no head"):
            scorer.rewards(["w1"], ["w2"])


def test_what_is_no_model_is_refused_in_words(tmp_path):
    from concord.kit.errors import InvalidInput
    from concord.scoring.transformer import Transformer

    with pytest.raises(InvalidInput, match="no model that can be loaded"):
        Transformer(str(tmp_path))


def test_a_reward_model_is_measured_on_a_file_as_reward_bench_has_it(tmp_path, capsys):
    model = saved(tmp_path / "model", "llama", head=True, width=0.2)
    held = [
        {name: row[name][0]["content"] for name in ("prompt", "chosen", "rejected")} | {"subset": f"part {at % 2}"}
        for at, row in enumerate(rows(30))
    ]
    held.append({"prompt": "w1 w2", "chosen": ["kind w3"], "rejected": ["rude w3", "vague w3", "loose"]})
    assert bench.main([str(model), str(written(tmp_path / "rows.jsonl", held)), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["subsets"]) == {"part 0", "part 1", bench.EVERYTHING} and found["all"]["of"] == 31
    from concord.scoring.transformer import Transformer

    one = held[0]
    chat = [[{"role": "assistant", "content": one[name]}] for name in ("chosen", "rejected")]
    rewards = Transformer(str(model)).rewards([[{"role": "user", "content": one["prompt"]}]] * 2, chat)
    margin = bench.margins(str(model), bench.read(tmp_path / "rows.jsonl"), 1_024)[0]
    assert margin == pytest.approx(float(rewards[0] - rewards[1]), abs=1e-4)
