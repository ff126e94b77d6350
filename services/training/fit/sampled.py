"""Answers of a transformer to prompts, sampled in batches of like length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM

from concord.reward.encoding import prompt_tokens
from concord.training import model_folder
from concord.training.answers import Knobs, Question
from concord.training.fit import common
from concord.training.progress import Progress, Stop


def answers(
    knobs: Knobs, models: Sequence[str], asked: Sequence[Question], stop: Stop, progress: Progress
) -> list[tuple[Question, tuple[str, ...]]] | None:
    """Each prompt that is not too long, with one answer of each model; None: stopped before."""
    common.quiet()
    tokenizers = [_tokenizer(name) for name in models]
    # Each model has its own words for the same prompt.
    tokens = [prompt_tokens(each, [one.prompt for one in asked]) for each in tokenizers]
    kept = [
        at for at, both in enumerate(zip(*tokens, strict=True)) if all(0 < len(ids) <= knobs.max_length for ids in both)
    ]
    progress.say("begin", steps=len(models) * len(kept), left_out=len(asked) - len(kept))
    said: list[list[str]] = []
    stop.at_once = False
    for name, tokenizer, ids in zip(models, tokenizers, tokens, strict=True):
        model, found = _model(name, knobs), dict[int, str]()
        # Of like length, so that little is padded.
        order = sorted(kept, key=lambda at, ids=ids: len(ids[at]))  # type: ignore[misc]
        for begin in range(0, len(order), knobs.batch):
            if stop.asked:
                progress.say("stopped", step=len(said) * len(kept) + begin)
                return None
            some = order[begin : begin + knobs.batch]
            torch.manual_seed(knobs.seed + begin)
            found |= dict(zip(some, _generated(model, tokenizer, [ids[at] for at in some], knobs), strict=True))
            progress.say("step", step=len(said) * len(kept) + len(found), of=len(models) * len(kept))
        said.append([found[at] for at in kept])
    return [(asked[at], both) for at, both in zip(kept, zip(*said, strict=True), strict=True)]


def _tokenizer(name: str) -> Any:
    found = common.tokenizer_of(name)
    found.pad_token = found.pad_token or found.eos_token
    return found


def _model(name: str, knobs: Knobs) -> Any:
    kind = AutoPeftModelForCausalLM if (Path(name) / model_folder.ADAPTER).exists() else AutoModelForCausalLM
    dtype = torch.bfloat16 if common.is_bfloat16(knobs) else torch.float32
    model = common.loaded(lambda: kind.from_pretrained(name, dtype=dtype), name)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


@torch.no_grad()
def _generated(model: Any, tokenizer: Any, prompts: Sequence[list[int]], knobs: Knobs) -> list[str]:
    """One answer to each, without what stops it."""
    longest, device = max(map(len, prompts)), next(model.parameters()).device
    # Padded before the prompt: what is generated goes on behind its last token.
    ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(one)) + one for one in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts], device=device)
    sampling = {"do_sample": True, "temperature": knobs.temperature, "top_k": 0, "top_p": 1.0}
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=knobs.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        **(sampling if knobs.temperature else {"do_sample": False}),
    )
    return [text.strip() for text in tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)]
