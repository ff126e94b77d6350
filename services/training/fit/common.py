"""What both trainers share around TRL: arguments, LoRA, the tokenizer, one training to its end, and the model's files."""

import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import AutoTokenizer, PrinterCallback, Trainer
from transformers.utils import logging as transformers_logging

from concord.kit.errors import InvalidInput
from concord.training import model_folder, utilisation
from concord.training.fit.course import Course, Kept
from concord.training.knobs import Run, accumulation, steps_of
from concord.training.lessons import Lesson, Lessons, Material
from concord.training.progress import Progress, Stop

LIBRARIES = ("concord-preference", "torch", "transformers", "trl", "peft", "accelerate", "tokenizers", "safetensors")
# Of a checkpoint, what is no part of the model.
_OF_THE_TRAINING = (
    "optimizer.*",
    "scheduler.*",
    "scaler.*",
    "rng_state*",
    "trainer_state.json",
    "training_args.bin",
    "README.md",
)


def versions() -> dict[str, str]:
    """The libraries that a result hangs on, and Python."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def is_bfloat16(knobs: Run) -> bool:
    """Whether the arithmetic is in bfloat16; by itself only where the device has it: on a CPU it is eight times slower."""
    has = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return knobs.precision == "bfloat16" or (knobs.precision == "auto" and has)


def arguments(knobs: Run, folder: Path, steps: int) -> dict[str, Any]:
    """TrainingArguments that TRL's configurations share. When to validate and keep is the course's alone."""
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": knobs.micro_batch,
        "per_device_eval_batch_size": knobs.micro_batch,
        "gradient_accumulation_steps": accumulation(knobs),
        "learning_rate": knobs.learning_rate,
        "warmup_steps": round(knobs.warmup * steps),
        "lr_scheduler_type": "cosine",
        "bf16": is_bfloat16(knobs),
        "gradient_checkpointing": knobs.gradient_checkpointing,
        "seed": knobs.seed,
        "data_seed": knobs.seed,
        "logging_steps": max(steps // 200, 1),
        "save_strategy": "steps",
        "save_steps": 10**9,
        "save_total_limit": 2,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        # Without GPUs several processes are joined only if this is said; else each would train by itself.
        "use_cpu": knobs.devices > 1 and not torch.cuda.is_available(),
        "report_to": "none",
        "disable_tqdm": True,
    }


def dtype(knobs: Run) -> torch.dtype:
    """Of the weights as they are loaded: frozen ones under LoRA may be bfloat16, those that are trained stay float32.

    Where they are shared out all are float32, for a block is of one kind; the arithmetic is bfloat16 all the same.
    """
    return (
        torch.bfloat16
        if knobs.lora_rank and is_bfloat16(knobs) and not getattr(knobs, "fsdp", False)
        else torch.float32
    )


def lora(knobs: Run, task: str, saved: Sequence[str] = ()) -> LoraConfig | None:
    """LoRA as the knobs say; `saved`: modules that are trained and saved whole. None: all weights are trained."""
    if not knobs.lora_rank:
        return None
    names = knobs.lora_targets
    return LoraConfig(
        task_type=task,
        r=knobs.lora_rank,
        lora_alpha=knobs.lora_alpha,
        target_modules=names if names == "all-linear" else [name.strip() for name in names.split(",")],
        modules_to_save=list(saved) or None,
    )


def tokenizer_of(model: str) -> Any:
    """The model's tokenizer."""
    return loaded(lambda: AutoTokenizer.from_pretrained(model), model)


def loaded(load: Callable[[], Any], model: str) -> Any:
    """What `load` gives; InvalidInput in words where the model is not to be had."""
    try:
        return load()
    except (OSError, ValueError, LookupError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise InvalidInput(
            f"model: {model!r} cannot be loaded: {said} A folder with config.json and weights, or a name on the hub, is expected"
        ) from None


def dataset(lessons: Sequence[Lesson], columns: Callable[[Lesson], dict[str, Any]]) -> Dataset:
    """The lessons as a data set in memory."""
    return Dataset.from_list([columns(lesson) for lesson in lessons])


def quiet() -> None:
    """Libraries' warnings stay, their chatter goes: what fails is told by the end of standard error."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    disable_progress_bars()
    transformers_logging.set_verbosity_warning()
    transformers_logging.disable_progress_bar()


def trained(
    trainer: Callable[[], Trainer],
    knobs: Run,
    checkpoints: Path,
    sizes: tuple[int, int],
    stop_margin: float,
    stop: Stop,
    progress: Progress,
    is_sampled: bool = False,
) -> Kept | None:
    """Trains from the last whole checkpoint to the end, and says what stands then; None: stopped before.

    `checkpoints`: their folder; `sizes`: pairs to learn from and held out. The trainer is made only where something is left to do.
    `is_sampled`: a step's time is that of writing texts as well, so that it says nothing of how the device is used.
    """
    steps = steps_of(knobs, sizes[0])
    kept = Kept(checkpoints, steps, stop_margin)
    progress.say("begin", steps=steps, pairs=sizes[0], held_out=sizes[1], from_step=_step(kept))
    if not kept.ended:
        made = trainer()
        _all_train_together(made, knobs)
        made.remove_callback(PrinterCallback)
        used = None if is_sampled else _used(made.model, knobs)
        made.add_callback(Course(knobs, steps, sizes[1] > 0, stop_margin, stop, progress, used))
        made.train(resume_from_checkpoint=str(kept.newest) if kept.newest else None)
        kept = Kept(checkpoints, steps, stop_margin)
    if not kept.ended:
        progress.say("stopped", step=_step(kept))
        return None
    return kept


def _used(model: Any, knobs: Run) -> float | None:
    """The share of the devices' bfloat16 peak that one token a second uses; None where that is not known or not what is used."""
    if not torch.cuda.is_available() or not is_bfloat16(knobs):
        return None
    most, flop = utilisation.peak(torch.cuda.get_device_name()), token_flop(model)
    return utilisation.mfu(1, flop, most, knobs.devices) if most and flop else None


def token_flop(model: Any) -> float | None:
    """FLOP of a token that the model learns from, by its weights; None for a mixture of experts, which uses some of them."""
    config = model.config.get_text_config()
    if any(getattr(config, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        return None
    named = list(model.parameters())
    # Rows of the embedding are looked up; where the last layer shares them they are multiplied with there.
    looked_up, last = model.get_input_embeddings().weight, model.get_output_embeddings()
    shared = last is not None and last.weight is looked_up
    used = [one for one in named if shared or one is not looked_up]
    return utilisation.token_flop(sum(map(torch.numel, used)), sum(one.numel() for one in used if one.requires_grad))


def _all_train_together(made: Trainer, knobs: Run) -> None:
    """Raises RuntimeError where processes do not share their gradients: what came out would be one of them's alone."""
    if made.args.world_size != knobs.devices:
        raise RuntimeError(
            f"devices: {knobs.devices}, but {made.args.world_size} of the processes train together; do they see GPUs alike?"
        )


def _step(kept: Kept) -> int:
    return int(kept.newest.name.rpartition("-")[2]) if kept.newest else 0


def take_files(kept: Kept, folder: Path) -> None:
    """Copies the best checkpoint's model to where the model shall stand."""
    assert kept.best is not None
    shutil.copytree(kept.best, folder, ignore=shutil.ignore_patterns(*_OF_THE_TRAINING), dirs_exist_ok=True)


def merge(kind: Any, adapter: Path, out: Path, weights: torch.dtype, **more: Any) -> None:
    """LoRA's weights merged into the model's, as a folder of its own; `kind` loads the adapter."""
    model = kind.from_pretrained(adapter, dtype=weights, **more).merge_and_unload()
    tokenizer = tokenizer_of(str(adapter))
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


@dataclass(frozen=True)
class Made:
    """What a script makes."""

    kind: str
    use: str  # a few lines of code that load it, for the card
    adapter: Any  # what of PEFT loads it where LoRA was trained
    load: Mapping[str, Any] = field(default_factory=dict)


def finish(
    made: Made,
    knobs: Run,
    held: Material,
    found: Lessons,
    kept: Kept,
    folder: Path,
    what: Mapping[str, Any],
    progress: Progress,
    weights: torch.dtype = torch.float32,
    also: Callable[[], bool] = lambda: True,
) -> bool:
    """The best checkpoint's files, merged as well where that is wanted (in `weights`), card and manifest, and the last event.

    `also`: what is made with the model before the manifest names all files; False there: stopped, to be gone on with.
    """
    take_files(kept, folder)
    if knobs.merged and knobs.lora_rank:
        merge(made.adapter, folder, folder / "merged", weights, **made.load)
    if not also():
        return False
    _write_down(made, knobs, held, found, kept, folder, what, progress)
    return True


def _write_down(
    made: Made,
    knobs: Run,
    held: Material,
    found: Lessons,
    kept: Kept,
    folder: Path,
    what: Mapping[str, Any],
    progress: Progress,
) -> None:
    last: dict[str, Any] = next((one for one in reversed(kept.validations) if one["step"] == kept.best_step), {})
    facts = {
        "base": knobs.model,
        "seed": knobs.seed,
        "versions": versions(),
        "pairs": {
            "learned": len(found.learn),
            "held_out": len(found.held),
            **({"test": len(held.test)} if held.test else {}),
            "cut": found.cut,
            "left_out": found.left_out,
        },
        "step": kept.best_step,
        "validation": last,
        "curves": {"loss": kept.losses, "validation": kept.validations},
        "certificate": held.certificate,
    }
    shown = {"made from": knobs.model, "kind": made.kind, **_shown(facts), "data, sha256": held.data_sha256}
    settings = {f"`{name}`": value for name, value in what["settings"].items() if name not in ("model", "data")}
    libraries = ", ".join(f"{name} {said}" for name, said in facts["versions"].items())
    title = f"{made.kind} on {Path(knobs.model).name}"
    card = model_folder.card(
        title, [*shown.items(), ("versions", libraries), *settings.items()], made.use, held.certificate
    )
    model_folder.finish(folder, made.kind, what, facts, card)
    progress.say("done", out=str(folder), step=kept.best_step, **{k: v for k, v in last.items() if k != "step"})


def _shown(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Pairs and figures as a reader of the card wants them."""
    pairs, last = facts["pairs"], facts["validation"]
    apart = f"{pairs['test']:,} of a test apart, " if "test" in pairs else ""
    said = (
        f"{pairs['learned']:,} learned from, {pairs['held_out']:,} held out, {apart}{pairs['cut']:,} cut in the middle"
    )
    left_out = "; ".join(f"{count:,} {reason}" for reason, count in pairs["left_out"].items())
    figures = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name != "step")
    return {
        "pairs": said,
        **({"left out": left_out} if left_out else {}),
        "step": facts["step"],
        **({"held-out pairs": figures} if figures else {}),
        "seed": facts["seed"],
    }
