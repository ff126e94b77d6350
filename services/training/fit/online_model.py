"""A policy by TRL's RLOOTrainer or GRPOTrainer, whose reward is what ScoringService says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import set_seed
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from concord.reward.encoding import prompt_tokens
from concord.training import model_folder
from concord.training.fit import common
from concord.training.fit.policy_model import MADE, model_of
from concord.training.lessons import Lessons, Material
from concord.training.online import Knobs
from concord.training.progress import STOPPED, Progress, Stop, is_first
from concord.training.remote_rewards import RemoteRewards, Words

_TRAINERS: Mapping[str, tuple[Any, Any]] = {"rloo": (RLOOTrainer, RLOOConfig), "grpo": (GRPOTrainer, GRPOConfig)}


def train(knobs: Knobs, held: Material, folder: Path, what: Mapping[str, Any], stop: Stop, progress: Progress) -> bool:
    """Trains to the end and writes the model's folder; False: stopped before, to be gone on with."""
    common.quiet()
    set_seed(knobs.seed)
    tokenizer = common.tokenizer_of(knobs.model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    asked = [one.prompt for one in held.learn]
    tokens = prompt_tokens(tokenizer, asked)
    fits = [prompt for prompt, ids in zip(asked, tokens, strict=True) if len(ids) <= knobs.max_length]
    found = Lessons(
        [], [], left_out={**held.left_out, f"above max_length ({knobs.max_length:,})": len(asked) - len(fits)}
    )
    remote = RemoteRewards(knobs.scoring, knobs.reward_model, knobs.basis, knobs.patience_s)

    def reward(prompts: Sequence[Words], completions: Sequence[Words], **_: Any) -> list[float]:
        # The service may be waited for longer than somebody who asks for an end will wait.
        if stop.asked:
            raise SystemExit(STOPPED)
        return remote.rewards(prompts, completions)

    def trainer() -> Any:
        return made(knobs, tokenizer, fits, reward, folder / model_folder.CHECKPOINTS)

    checkpoints = folder / model_folder.CHECKPOINTS
    kept = common.trained(
        trainer, knobs, checkpoints, (len(fits) * knobs.samples, 0), 0.0, stop, progress, is_sampled=True
    )
    if kept is None:
        return False
    if is_first():
        common.finish(MADE, knobs, held, found, kept, folder, what, progress, common.dtype(knobs))
    return True


def made(knobs: Knobs, tokenizer: Any, prompts: Sequence[Words], reward: Any, checkpoints: Path) -> Any:
    """The trainer, ready to train."""
    kind, config = _TRAINERS[knobs.method]
    steps = common.steps_of(knobs, len(prompts) * knobs.samples)
    set_seed(knobs.seed)
    return kind(
        model=model_of(knobs.model, knobs),
        reward_funcs=reward,
        args=config(
            num_generations=knobs.samples,
            max_completion_length=knobs.max_new_tokens,
            temperature=knobs.temperature,
            beta=knobs.beta,
            **{**common.arguments(knobs, checkpoints, steps), "metric_for_best_model": None},
        ),
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=tokenizer,
        peft_config=common.lora(knobs, "CAUSAL_LM"),
    )
