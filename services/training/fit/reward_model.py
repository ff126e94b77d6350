"""A reward model by TRL's RewardTrainer: a lesson has a weight and, in place of a certain label, a probability.

TRL's loss is -log sigmoid(d), d the chosen's reward less the rejected's. Here, with target p, weight w and wanted margin m:
mean of w (-log sigmoid(d - m) + (1 - p)(d - m)), which with p = w = 1 and m = 0 is the same. `compute_loss` is all that is
overridden; the tests hold loss and gradient to the formula.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, set_seed
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from concord.kit.errors import InvalidInput
from concord.training import model_folder
from concord.training.fit import common, fsdp
from concord.training.fit.collator import Collator
from concord.training.fit.loss import weighted_loss
from concord.training.lessons import Lesson, Lessons, Material, lessons
from concord.training.progress import Progress, Stop, is_first
from concord.training.reward import Knobs

KIND = "reward-model"
OWN_PAD = "<|pad|>"
# By these names a tokenizer keeps tokens that mean nothing.
_SPARE = ("<|finetune_right_pad_id|>", "<|endoftext|>", "<pad>", "[PAD]", "<unk>", "[UNK]")
_USE = """from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForSequenceClassification.from_pretrained("FOLDER", num_labels=1)
model.config.pad_token_id = tokenizer.pad_token_id
chat = [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]
inputs = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
reward = model(**inputs).logits[0, 0]"""
MADE = common.Made(KIND, _USE, AutoPeftModelForSequenceClassification, {"num_labels": 1})


class Weighted(RewardTrainer):
    """RewardTrainer whose batches carry a target, a weight and a margin for each pair."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        own = {name: inputs.pop(name) for name in ("p_chosen", "weight", "apart")}
        # TRL's own loss is not used; its metrics are.
        _, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        chosen, rejected = torch.chunk(outputs.logits.squeeze(-1), 2)
        loss = weighted_loss(chosen - rejected - own["apart"], own["p_chosen"], own["weight"])
        if self.args.center_rewards_coefficient is not None:
            loss = loss + self.args.center_rewards_coefficient * torch.mean((chosen + rejected) ** 2)
        return (loss, outputs) if return_outputs else loss


def train(knobs: Knobs, held: Material, folder: Path, what: Mapping[str, Any], stop: Stop, progress: Progress) -> bool:
    """Trains to the end and writes the model's folder; False: stopped before, to be gone on with."""
    common.quiet()
    fsdp.check(knobs)
    set_seed(knobs.seed)
    tokenizer = common.tokenizer_of(knobs.model)
    config = common.loaded(lambda: AutoConfig.from_pretrained(knobs.model), knobs.model)
    pad = own_pad(tokenizer, config.get_text_config().vocab_size, knobs.pad_token)
    if pad == tokenizer.eos_token:
        progress.say("note", said="the end token pads as well: the reward of a text is read at the token before it")
    found = lessons(held, knobs, tokenizer)

    def trainer() -> Weighted:
        steps = common.steps_of(knobs, len(found.learn))
        return made(knobs, tokenizer, found, common.arguments(knobs, folder / model_folder.CHECKPOINTS, steps))

    sizes = len(found.learn), len(found.held)
    kept = common.trained(trainer, knobs, folder / model_folder.CHECKPOINTS, sizes, 0.0, stop, progress)
    if kept is None:
        return False
    if is_first():
        common.finish(MADE, knobs, held, found, kept, folder, what, progress)
    return True


def made(knobs: Knobs, tokenizer: Any, found: Lessons, arguments: dict[str, Any]) -> Weighted:
    """The trainer, ready to train."""
    columns = lambda lesson: _columns(lesson, knobs.margin)  # noqa: E731
    set_seed(knobs.seed)
    model = _model(knobs)
    names = ("p_chosen", "weight", "apart")
    arguments = {**arguments, **fsdp.arguments(knobs, model)}
    return Weighted(
        model=model,
        args=RewardConfig(max_length=None, center_rewards_coefficient=knobs.center or None, **arguments),
        data_collator=Collator(DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id), names),
        train_dataset=common.dataset(found.learn, columns),
        eval_dataset=common.dataset(found.held, columns) if found.held else None,
        processing_class=tokenizer,
        peft_config=None if isinstance(model, PeftModel) else common.lora(knobs, "SEQ_CLS", ["score"]),
    )


def _columns(lesson: Lesson, margin: float) -> dict[str, Any]:
    return {
        "chosen_ids": lesson.prompt + lesson.chosen,
        "rejected_ids": lesson.prompt + lesson.rejected,
        "p_chosen": lesson.p_chosen,
        "weight": lesson.weight,
        "apart": margin * lesson.sure,
    }


def _model(knobs: Knobs) -> Any:
    """The model with one output; from an earlier round's weights where the knobs say so."""
    start = knobs.warm_start or knobs.model
    load = {"num_labels": 1, "dtype": common.dtype(knobs)}
    adapter = Path(start) / model_folder.ADAPTER
    if adapter.exists() and knobs.lora_rank:
        base = json.loads(adapter.read_text())["base_model_name_or_path"]
        if base != knobs.model:
            raise InvalidInput(
                f"warm_start: {start} is LoRA on {base}, and model is {knobs.model}: both must be the same"
            )
        return common.loaded(
            lambda: AutoPeftModelForSequenceClassification.from_pretrained(start, is_trainable=True, **load), start
        )
    return common.loaded(lambda: AutoModelForSequenceClassification.from_pretrained(start, **load), start)


def own_pad(tokenizer: Any, rows: int, wanted: str) -> str:
    """Sets and returns the padding token: never the end token where that can be helped, or a reward is read before it.

    `rows`: of the model's embedding, which is never resized, so that adapters load on the model as it is.
    """
    vocabulary, end = tokenizer.get_vocab(), tokenizer.eos_token
    if wanted and wanted not in vocabulary:
        raise InvalidInput(f"pad_token: {wanted!r} is no token of this model")
    own = (tokenizer.pad_token, *_SPARE, tokenizer.unk_token)
    found = wanted or next((name for name in own if name and name in vocabulary and name != end), "")
    if not found and len(tokenizer) < rows:
        found = OWN_PAD
    tokenizer.add_special_tokens({"pad_token": found or end})
    tokenizer.padding_side = "right"
    return str(tokenizer.pad_token)
