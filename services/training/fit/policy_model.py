"""A policy by TRL's DPOTrainer: every pair has a weight and, in place of a certain label, a probability.

TRL has one `label_smoothing` for all pairs, and its `sigmoid` loss ignores even that. Here, with d = beta times the difference
of the two log-ratios to the reference, target p and weight w: mean of w (-log sigmoid(d) + (1 - p) d), which is TRL's sigmoid
loss where p = w = 1. What is overridden is named in `Weighted`; the tests hold loss and gradient to the formula.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import load_from_disk
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, set_seed
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from concord.kit.errors import InvalidInput
from concord.training import answers, model_folder
from concord.training.fit import common, fsdp
from concord.training.fit.collator import Collator
from concord.training.fit.course import Kept
from concord.training.fit.loss import weighted_loss
from concord.training.knobs import Run
from concord.training.lessons import Lesson, Lessons, Material, lessons
from concord.training.policy import Knobs
from concord.training.progress import Progress, Stop, is_first

KIND = "policy"
SFT = "sft"
ANSWERS = "answers.jsonl"
OWN = ("p_chosen", "weight")
USE = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForCausalLM.from_pretrained("FOLDER")
chat = [{"role": "user", "content": "…"}]
inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=200)[0]))"""
MADE = common.Made(KIND, USE, AutoPeftModelForCausalLM)


class Weighted(DPOTrainer):
    """DPOTrainer whose rows come as tokens, and whose batches carry a target and a weight for each pair."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """Of TRL 1.16. The rows are tokens already, cut by our own rule: TRL leaves out long prompts without a word."""
        return dataset

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """TRL hands every key of a batch to the model."""
        return super().compute_ref_log_probs(model, {name: held for name, held in inputs.items() if name not in OWN})

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        assert not return_outputs, "the policy has no outputs to return: its logits are never made"
        mask = inputs["completion_mask"]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=inputs["input_ids"].masked_fill(mask == 0, -100),
            fused_lm_head=True,
            use_cache=False,
            **({"output_router_logits": True} if self.aux_loss_enabled else {}),
        )
        chosen, rejected = outputs.log_probs[:, 1 - mask.size(1) :].sum(1).chunk(2)
        rewards = (
            self.beta * (chosen - inputs["ref_chosen_logps"]),
            self.beta * (rejected - inputs["ref_rejected_logps"]),
        )
        loss = weighted_loss(rewards[0] - rewards[1], inputs["p_chosen"], inputs["weight"])
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
        self._measure(rewards[0].detach(), rewards[1].detach(), inputs["attention_mask"])
        return loss

    def _measure(self, chosen: torch.Tensor, rejected: torch.Tensor, attended: torch.Tensor) -> None:
        """By the names that TRL gives them."""
        mode = "train" if self.model.training else "eval"
        both = self.accelerator.gather_for_metrics(torch.stack([chosen, rejected], dim=1))
        apart = both[:, 0] - both[:, 1]
        kept = self._metrics[mode]
        kept["rewards/chosen"].append(both[:, 0].mean().item())
        kept["rewards/rejected"].append(both[:, 1].mean().item())
        kept["rewards/margins"].append(apart.mean().item())
        kept["rewards/accuracies"].append((apart > 0).float().mean().item())
        if mode == "train":
            self._total_train_tokens += self.accelerator.gather_for_metrics(attended.sum()).sum().item()
        kept["num_tokens"] = [self._total_train_tokens]


def train(knobs: Knobs, held: Material, folder: Path, what: Mapping[str, Any], stop: Stop, progress: Progress) -> bool:
    """Trains to the end and writes the model's folder; False: stopped before, to be gone on with."""
    common.quiet()
    fsdp.check(knobs)
    if knobs.answers and not held.test:
        raise InvalidInput(
            f"answers: {knobs.answers}, but no prompt is left to be answered: more prompts are needed, or a higher `test`"
        )
    set_seed(knobs.seed)
    tokenizer = common.tokenizer_of(knobs.model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    found = lessons(held, knobs, tokenizer)
    start = _supervised(knobs, tokenizer, found, folder, stop, progress) if knobs.sft_epochs else knobs.model
    if start is None:
        return False

    def trainer() -> Weighted:
        steps = common.steps_of(knobs, len(found.learn))
        said = common.arguments(knobs, folder / model_folder.CHECKPOINTS, steps)
        # Those that are to answer have to stand at the end, beside the best one.
        return made(knobs, start, tokenizer, found, {**said, "save_total_limit": max(2, knobs.answers_at + 1)})

    sizes = len(found.learn), len(found.held)
    kept = common.trained(trainer, knobs, folder / model_folder.CHECKPOINTS, sizes, knobs.stop_margin, stop, progress)
    if kept is None:
        return False
    if is_first():
        also = lambda: not knobs.answers or _answered(knobs, held, kept, folder, stop, progress)  # noqa: E731
        return common.finish(MADE, knobs, held, found, kept, folder, what, progress, also=also)
    return True


def _answered(knobs: Knobs, held: Material, kept: Kept, folder: Path, stop: Stop, progress: Progress) -> bool:
    """Has the policy, its start and the checkpoints that are asked for answer the prompts of the test; False: stopped before."""
    asks = answers.Knobs(
        str(folder),
        str(folder / ANSWERS),
        knobs.model,
        max_new_tokens=knobs.answer_tokens,
        max_length=knobs.max_length,
        precision=knobs.precision,
        seed=knobs.seed,
    )
    asked = answers.different(one.prompt for one in held.test)[: knobs.answers]
    others = {folder / f"answers-{step}.jsonl": str(path) for step, path in kept.others(knobs.answers_at).items()}
    return answers.written(asks, asked, knobs.model, stop, progress, others) is not None


def made(knobs: Knobs, start: str, tokenizer: Any, found: Lessons, arguments: dict[str, Any]) -> Weighted:
    """The trainer, ready to train: the reference's log-probabilities are known when this returns."""
    rows = Path(arguments["output_dir"]) / "rows"
    set_seed(knobs.seed)
    model = model_of(start, knobs)
    arguments = {**arguments, **fsdp.arguments(knobs, model)}
    return Weighted(
        model=model,
        args=DPOConfig(beta=knobs.beta, max_length=None, precompute_ref_log_probs=True, **arguments),
        data_collator=Collator(DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id), OWN),
        train_dataset=_on_disk(rows / "learn", found.learn),
        eval_dataset=_on_disk(rows / "held", found.held) if found.held else None,
        processing_class=tokenizer,
        peft_config=common.lora(knobs, "CAUSAL_LM"),
    )


def _on_disk(folder: Path, rows: list[Lesson]) -> Any:
    """The rows as a data set in files: TRL keeps the reference's log-probabilities beside them, over restarts as well."""
    if is_first() and not (folder / "state.json").exists():
        common.dataset(rows, _columns).save_to_disk(folder)
    return load_from_disk(folder)


def _columns(lesson: Lesson) -> dict[str, Any]:
    return {
        "prompt_ids": lesson.prompt,
        "chosen_ids": lesson.chosen,
        "rejected_ids": lesson.rejected,
        "p_chosen": lesson.p_chosen,
        "weight": lesson.weight,
    }


def model_of(start: str, knobs: Run) -> Any:
    """The model, in the weights that it is trained in."""
    return common.loaded(lambda: AutoModelForCausalLM.from_pretrained(start, dtype=common.dtype(knobs)), start)


def _supervised(
    knobs: Knobs, tokenizer: Any, found: Lessons, folder: Path, stop: Stop, progress: Progress
) -> str | None:
    """The folder of the model after supervised training on the chosen answers; None: stopped before."""
    out, own = folder / SFT, _sft_knobs(knobs)
    if out.exists():
        return str(out)
    progress.say("note", said="supervised training on the chosen answers")
    checkpoints = folder / model_folder.CHECKPOINTS / SFT

    def trainer() -> SFTTrainer:
        steps = common.steps_of(own, len(found.learn))
        rows = lambda lessons_: common.dataset(lessons_, _supervised_columns)  # noqa: E731
        set_seed(knobs.seed)
        model = model_of(knobs.model, knobs)
        return SFTTrainer(
            model=model,
            args=SFTConfig(
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
                **{**common.arguments(own, checkpoints, steps), **fsdp.arguments(own, model)},
            ),
            train_dataset=rows(found.learn),
            eval_dataset=rows(found.held) if found.held else None,
            processing_class=tokenizer,
            peft_config=common.lora(knobs, "CAUSAL_LM"),
        )

    kept = common.trained(trainer, own, checkpoints, (len(found.learn), len(found.held)), 0.0, stop, progress)
    if kept is None:
        return None
    if is_first():
        # Under another name until it is whole.
        unfinished = folder / model_folder.CHECKPOINTS / "sft-model"
        shutil.rmtree(unfinished, ignore_errors=True)
        common.take_files(kept, unfinished)
        if knobs.lora_rank:
            common.merge(AutoPeftModelForCausalLM, unfinished, unfinished / "merged", common.dtype(knobs))
            unfinished = unfinished / "merged"
        unfinished.rename(out)
    return str(out)


def _sft_knobs(knobs: Knobs) -> Knobs:
    return replace(knobs, epochs=knobs.sft_epochs, learning_rate=knobs.sft_learning_rate, max_steps=0)


def _supervised_columns(lesson: Lesson) -> dict[str, Any]:
    return {
        "input_ids": lesson.prompt + lesson.chosen,
        "labels": [-100] * len(lesson.prompt) + lesson.chosen,
    }
