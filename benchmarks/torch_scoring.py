"""Rewards by a transformer beside a plain transformers loop, on responses of HH as they are: CPU time, in turns.

    python -m benchmarks.torch_scoring            30 pairs, three rounds; two minutes of one core
    python -m benchmarks.torch_scoring --quick    12 pairs, a tiny model, one round

Both on one thread in float32, on a Llama of random weights and SmolLM2-135M's width with fewer layers (time does not hang on what
weights say), tokens by a BPE that learned on HH's training responses. The plain loop: batches of 8 texts in the order of the
input, padded to the longest, as one writes it. Ours: `concord.scoring.transformer`, with prompts shared (`trees`) and without
(`rows`). Beside them the light tier's features and head on the same pairs. All give the same rewards, or there are no figures.
"""

import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import asked_of, circumstances, interleaved, parser_of, ratio, show, spread, write
from benchmarks.pack import rows

FULL = {"pairs": 30, "rounds": 3, "hidden_size": 576, "num_hidden_layers": 4, "heads": 9, "vocabulary": 8_000}
QUICK = {"pairs": 12, "rounds": 1, "hidden_size": 64, "num_hidden_layers": 2, "heads": 4, "vocabulary": 2_000}
BATCH = 8
MAX_LENGTH = 1_024
TOLERANCE = 1e-4


def texts_of(count: int) -> tuple[list[str], list[str]]:
    """Prompts and responses of so many pairs of HH's test split, the two of a pair behind one another."""
    prompts, answers = [], []
    for row in islice((row for row in rows("hh_test") if len(row["responses"]) == 2), count):
        prompt = "".join(f"\n\n{turn['role'].title()}: {turn['content']}" for turn in row["prompt"]) + "\n\nAssistant: "
        for response in row["responses"]:
            prompts.append(prompt)
            answers.append(response["text"])
    return prompts, answers


def save_tokenizer(folder: Path, vocabulary: int) -> None:
    """A BPE that learned on HH's training responses; 0 pads, 1 is the end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    learner = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(
        (one["text"] for row in islice(rows("hh_train"), 2_000) for one in row["responses"]), learner
    )
    PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)


def made(folder: Path, size: dict[str, int]) -> None:
    """Model and tokenizer in a folder."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    save_tokenizer(folder, size["vocabulary"])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size["vocabulary"],
        hidden_size=size["hidden_size"],
        intermediate_size=size["hidden_size"] * 8 // 3,
        num_hidden_layers=size["num_hidden_layers"],
        num_attention_heads=size["heads"],
        num_key_value_heads=max(size["heads"] // 3, 1) if size["heads"] % 3 == 0 else size["heads"],
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        num_labels=1,
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)


def plain(folder: Path) -> Callable[[list[str], list[str]], np.ndarray]:
    """The loop that one writes with transformers alone."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def rewards(prompts: list[str], answers: list[str]) -> np.ndarray:
        whole = [prompt + answer + words.eos_token for prompt, answer in zip(prompts, answers, strict=True)]
        found = []
        for at in range(0, len(whole), BATCH):
            batch = words(
                whole[at : at + BATCH], padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
            )
            with torch.inference_mode():
                found.append(model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0])
        return torch.cat(found).numpy()

    return rewards


def light(prompts: list[str], answers: list[str]) -> Callable[[], object]:
    """The light tier's rewards of the same pairs; its basis is fitted before."""
    from concord.reward import features

    basis = features.fit(answers, 256, 0)
    weights = np.random.default_rng(0).standard_normal(basis.dimensions).astype(np.float32)
    return lambda: features.differences(basis, answers[::2], answers[1::2]).astype(np.float32) @ weights


def cpu_seconds(action: Callable[[], object]) -> float:
    """Of this process, all threads."""
    began = time.process_time()
    action()
    return time.process_time() - began


def tokens_of(scorer: Any, prompts: list[str], answers: list[str]) -> dict[str, int]:
    """Tokens that each way computes, padding included."""
    from concord.reward.encoding import cut, encoded
    from concord.scoring.batches import batches, grouped, trees

    asked, _ = grouped(prompts, answers)
    held = [cut(one, MAX_LENGTH) for one in encoded(scorer._tokenizer, asked)]
    groups = [[one.prompt + answer for answer in one.answers] for one in held]
    flat = [len(one) for group in groups for one in group]
    shared = [one.tokens for one in trees(groups, max(scorer._tokens, MAX_LENGTH))]
    area = lambda lengths: sum(len(at) * max(lengths[i] for i in at) for at in batches(lengths, scorer._tokens))  # noqa: E731
    in_order = sum(len(flat[at : at + BATCH]) * max(flat[at : at + BATCH]) for at in range(0, len(flat), BATCH))
    return {"of the texts": sum(flat), "plain": in_order, "rows": area(flat), "trees": area(shared)}


def measured(size: dict[str, int], folder: Path) -> dict[str, Any]:
    """The figures; ends the program where the ways do not agree."""
    from concord.scoring.transformer import Transformer

    made(folder, size)
    prompts, answers = texts_of(size["pairs"])
    loop = plain(folder)
    ours = {form: Transformer(str(folder), ("cpu",), MAX_LENGTH, form=form) for form in ("rows", "trees")}
    first = loop(prompts[:40], answers[:40])
    apart = max(float(np.abs(one.rewards(prompts[:40], answers[:40]) - first).max()) for one in ours.values())
    if apart > TOLERANCE:
        raise SystemExit(f"rewards differ by {apart:.1e}: nothing is measured")
    ways = {
        "plain": lambda: loop(prompts, answers),
        **{form: (lambda one=one: one.rewards(prompts, answers)) for form, one in ours.items()},
        "light": light(prompts, answers),
    }
    found = interleaved({name: (lambda do=do: cpu_seconds(do)) for name, do in ways.items()}, size["rounds"])
    return {
        "texts": len(prompts),
        "rewards_apart": apart,
        "tokens": tokens_of(ours["trees"], prompts, answers),
        "cpu_seconds": {name: spread(values) for name, values in found.items()},
        "plain_divided_by": {form: ratio(found["plain"], found[form]) for form in ("rows", "trees", "light")},
    }


def main() -> None:
    asked = asked_of(parser_of(__doc__, "12 pairs, a tiny model, one round"))
    import torch

    torch.set_num_threads(1)
    size = QUICK if asked.quick else FULL
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        found = measured(size, Path(folder))
    show(f"CPU seconds for {found['texts']} texts", found["cpu_seconds"], "s")
    show("the plain loop's divided by ours", found["plain_divided_by"], "times")
    print("tokens with padding:", ", ".join(f"{name} {count:,}" for name, count in found["tokens"].items()))
    if asked.json:
        write(asked.json, {**circumstances({**size, "batch": BATCH, "max_length": MAX_LENGTH}), **found})


if __name__ == "__main__":
    main()
