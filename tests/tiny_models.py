"""Tiny random models of four families, a tokenizer that knows their few words, and pairs with a planted preference."""

import json
import random
from pathlib import Path

TURN = "<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
TEMPLATE = (
    f"{{% for message in messages %}}{TURN}{{% endfor %}}{{% if add_generation_prompt %}}<|assistant|>{{% endif %}}"
)
GOOD = ("kind", "clear", "right", "sound")
BAD = ("rude", "vague", "wrong", "loose")
PLAIN = tuple(f"w{number}" for number in range(60))
SPECIAL = ("<pad>", "<unk>", "</s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>")
FAMILIES = ("llama", "qwen3", "gpt2", "deberta")
SIZES = {"vocab_size": len(SPECIAL) + len(GOOD) + len(BAD) + len(PLAIN) + 1, "hidden_size": 32, "num_hidden_layers": 2}


def tokenizer(template: bool = True, pad: bool = True):
    """One token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: at for at, word in enumerate((*SPECIAL, *GOOD, *BAD, *PLAIN))}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = {"pad_token": "<pad>"} if pad else {}
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=TEMPLATE if template else None,
        **marks,
    )
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL[3:])})
    return made


def model_of(family: str, head: bool = False, seed: int = 0, width: float = 0.02):
    """A random model, with one output where `head` says so; DeBERTa has no other form. `width`: the sd of its weights."""
    import torch
    from transformers import (
        DebertaV2Config,
        DebertaV2ForSequenceClassification,
        GPT2Config,
        GPT2ForSequenceClassification,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        LlamaForSequenceClassification,
        Qwen3Config,
        Qwen3ForCausalLM,
        Qwen3ForSequenceClassification,
    )

    torch.manual_seed(seed)
    marks = {"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": None, "num_labels": 1, "initializer_range": width}
    wide = {"intermediate_size": 64, "num_attention_heads": 2}
    heads = {"num_key_value_heads": 2, "max_position_embeddings": 256}
    gpt2 = {"vocab_size": SIZES["vocab_size"], "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256}
    kinds = {
        "llama": (LlamaForCausalLM, LlamaForSequenceClassification, LlamaConfig(**SIZES, **wide, **heads, **marks)),
        "qwen3": (
            Qwen3ForCausalLM,
            Qwen3ForSequenceClassification,
            Qwen3Config(**SIZES, **wide, **heads, **marks, head_dim=16),
        ),
        "gpt2": (GPT2LMHeadModel, GPT2ForSequenceClassification, GPT2Config(**gpt2, **marks)),
        "deberta": (None, DebertaV2ForSequenceClassification, DebertaV2Config(**SIZES, **wide, **marks)),
    }
    plain, headed, config = kinds[family]
    return (headed if head or plain is None else plain)(config)


def saved(folder: Path, family: str, head: bool = False, width: float = 0.02, **of_tokenizer) -> Path:
    """The model and its tokenizer in a folder."""
    model_of(family, head, width=width).save_pretrained(folder)
    tokenizer(**of_tokenizer).save_pretrained(folder)
    return folder


def rows(count: int, seed: int = 0, chat: bool = True, sure: float = 0.95) -> list[dict]:
    """Pairs whose better answer has a good word where the other has a bad one."""
    draw = random.Random(seed)
    out = []
    for number in range(count):
        prompt = " ".join(draw.choices(PLAIN, k=draw.randint(3, 9)))
        around = [" ".join(draw.choices(PLAIN, k=draw.randint(1, 6))) for _ in range(2)]
        chosen, rejected = (f"{around[0]} {draw.choice(words)} {around[1]}" for words in (GOOD, BAD))
        texts = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        if chat:
            roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
            texts = {name: [{"role": roles[name], "content": text}] for name, text in texts.items()}
        out.append({**texts, "p_chosen": sure, "weight": 1.0, "source": "judge", "pair_id": f"p{number}"})
    return out


def written(path: Path, held: list[dict]) -> Path:
    """The rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in held))
    return path
