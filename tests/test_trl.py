"""TRL's own trainers on a run's export as it is: a tiny model made here, real optimizer steps on the CPU, no network.

They need torch: `make test-trl` runs them in a virtual environment of their own, `make test` leaves them out.
"""

import math
from pathlib import Path

import pytest

from concord import sample
from tests.test_cli import concord, finished_rows

pytestmark = pytest.mark.trl

TURN = "<|{{ message['role'] }}|>{{ message['content'] }}</s>"
TEMPLATE = (
    f"{{% for message in messages %}}{TURN}{{% endfor %}}{{% if add_generation_prompt %}}<|assistant|>{{% endif %}}"
)
STEPS = 4
FORMATS = ["trl", "trl-conversational", "parquet", "hf"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished run of the sample; its dataset's decided rows."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, [row for row in finished_rows(folder) if row["label"] != "tie"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a Llama of two layers and a byte-level BPE tokenizer that knows the sample's texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet, special = pre_tokenizers.ByteLevel.alphabet(), ["<pad>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(sample.jsonl().splitlines()[:150], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", eos_token="</s>", chat_template=TEMPLATE
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def loaded(finished, tmp_path):
    """A function that gives an export as `datasets.load_dataset` reads it."""
    from datasets import load_dataset

    def load(format_: str):
        path = export(finished[0], format_)
        cache = {"split": "train", "cache_dir": str(tmp_path / "cache")}
        if path.is_dir():
            return load_dataset(str(path), **cache)
        return load_dataset("parquet" if format_ == "parquet" else "json", data_files=str(path), **cache)

    return load


def export(folder: Path, format_: str) -> Path:
    done = concord(folder, "export", "last", "--format", format_)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip()


def settings(folder: Path) -> dict:
    """What a small training on the CPU needs; all else is TRL's own default."""
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "max_steps": STEPS,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def trained(trainer) -> list[float]:
    """Trains; the loss of each step. Every weight must have moved."""
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    still = [name for name, weight in trainer.model.named_parameters() if weight.equal(before[name])]
    assert not still, still
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_nothing_here_may_ask_the_hub():
    from huggingface_hub import constants

    assert constants.HF_HUB_OFFLINE, "set HF_HUB_OFFLINE=1, as `make test-trl` does"


@pytest.mark.parametrize("format_", FORMATS)
def test_the_reward_trainer_learns_from_the_export_as_it_is(finished, model, loaded, format_, tmp_path):
    from trl import RewardConfig, RewardTrainer

    dataset = loaded(format_)
    assert {"pair_id", "p_chosen", "weight", "source"} < set(dataset.column_names)
    trainer = RewardTrainer(model=str(model), args=RewardConfig(**settings(tmp_path)), train_dataset=dataset)
    read = trainer.processing_class.batch_decode
    for side in ("chosen", "rejected"):
        texts = read(list(trainer.train_dataset[f"{side}_ids"]))
        for text, row in zip(texts, finished[1], strict=True):
            assert row["prompt"][0]["content"] in text and text.removesuffix("</s>").endswith(row[side])
    losses = trained(trainer)
    assert len(losses) == STEPS and all(map(math.isfinite, losses))


@pytest.mark.parametrize("format_", FORMATS)
def test_the_dpo_trainer_learns_from_the_export_as_it_is(finished, model, loaded, format_, tmp_path):
    from trl import DPOConfig, DPOTrainer

    trainer = DPOTrainer(model=str(model), args=DPOConfig(**settings(tmp_path)), train_dataset=loaded(format_))
    read = trainer.processing_class.batch_decode
    columns = {name: read(list(trainer.train_dataset[f"{name}_ids"])) for name in ("prompt", "chosen", "rejected")}
    for at, row in enumerate(finished[1]):
        assert row["prompt"][0]["content"] in columns["prompt"][at]
        assert [columns[side][at].removesuffix("</s>") for side in ("chosen", "rejected")] == [
            row["chosen"],
            row["rejected"],
        ]
    losses = trained(trainer)
    # The first step compares the policy with itself.
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4)
    assert len(losses) == STEPS and all(map(math.isfinite, losses)) and losses[-1] != losses[0]
