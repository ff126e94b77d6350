"""How much of a GPU scoring and reward training use: FLOP/s against the device's peak, peak memory, and whether it lasts.

    python -m benchmarks.gpu [--shapes 0.6B 8B] [--soak-s 600] [--json [FILE]]     one GPU; under eight minutes and the soak
    python -m benchmarks.gpu --quick                                              a tiny shape, on whatever device there is

Models of random weights in the shapes of Qwen3 (time does not hang on what weights say), bf16 on a GPU, float32 on a CPU; texts as
long as HH's responses with their prompts, tokens drawn at random. Work is counted as 2 FLOP a weight and token forward, 4 more
backward where weights are trained and 2 where they are frozen under LoRA, plus attention; embedding rows are looked up and do not
count; padding is no work, so it lowers the figure. Peak: what the device's data sheet says of dense products, and beside
it what a product of two large matrices reaches here. Wanted: scoring at 50 % of the sheet's peak, training at 40 %.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import asked_of, circumstances, parser_of, write
from benchmarks.pack import rows
from concord.training.utilisation import peak

# About so many characters of HH's text are a token.
CHARACTERS = 4.2
VOCABULARY, MOST = 151_936, 1_024


@dataclass(frozen=True)
class Shape:
    """A model of Qwen3's kind."""

    width: int
    layers: int
    heads: int
    key_heads: int
    head: int
    inner: int
    lora: bool  # how it is trained: LoRA, or all weights
    texts: int
    steps: int
    batch: int  # pairs of a step on the device at once

    @property
    def weights(self) -> int:
        """Those that every token is multiplied with."""
        attention = self.width * self.head * (2 * self.heads + 2 * self.key_heads)
        return self.layers * (attention + 3 * self.width * self.inner)

    def flop(self, lengths: list[int], backward: int = 0) -> float:
        """Of these sequences; `backward`: times the forward's that it costs more."""
        attention = 2 * self.layers * self.heads * self.head  # causal: half of the square, twice (scores and values)
        return sum((1 + backward) * (2 * self.weights * one + attention * one**2) for one in lengths)


SHAPES = {
    "0.6B": Shape(1024, 28, 16, 8, 128, 3072, False, 8_000, 12, 32),
    "8B": Shape(4096, 36, 32, 8, 128, 12288, True, 2_000, 8, 16),
    "tiny": Shape(64, 2, 4, 2, 16, 128, True, 40, 2, 2),
}


def lengths_of(count: int) -> list[tuple[int, list[int]]]:
    """(tokens of a prompt, tokens of its answers) of HH's pairs, so many texts in all."""
    found = []
    for row in islice((row for row in rows("hh_test") if len(row["responses"]) == 2), (count + 1) // 2):
        prompt = sum(len(turn["content"]) + 12 for turn in row["prompt"])
        tokens = [max(1, round(len(one["text"]) / CHARACTERS)) for one in row["responses"]]
        longest = max(tokens)
        found.append(
            (min(round(prompt / CHARACTERS) + 1, max(1, MOST - longest)), [min(one, MOST - 1) for one in tokens])
        )
    return found


def groups_of(count: int, vocabulary: int) -> list[list[list[int]]]:
    """Sequences of random tokens in groups that share their prompt."""
    draw = np.random.default_rng(0)
    made = lambda size: draw.integers(4, vocabulary, size).tolist()  # noqa: E731
    out = []
    for prompt, answers in lengths_of(count):
        begun = made(prompt)
        out.append([begun + made(size) for size in answers])
    return out


@contextmanager
def model_folder(shape: Shape, vocabulary: int) -> Iterator[Path]:
    """The model and a tokenizer of numbers, in memory's file system where there is one."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForSequenceClassification

    place = Path("/dev/shm")  # 16 GB of random weights need no disk
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as name:
        folder = Path(name)
        config = Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_heads,
            head_dim=shape.head,
            intermediate_size=shape.inner,
            num_labels=1,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
        on_gpu = torch.cuda.is_available()
        torch.manual_seed(0)
        with torch.device("cuda" if on_gpu else "cpu"):
            model = Qwen3ForSequenceClassification(config)
        model.to(torch.bfloat16 if on_gpu else torch.float32).save_pretrained(folder)
        words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
        PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)
        del model
        _emptied()
        yield folder


def _emptied() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def timed(action: Callable[[], object]) -> float:
    """Seconds until the device has done it."""
    import torch

    began = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def peaks(quick: bool) -> dict[str, float | str]:
    """The device, its sheet's TFLOP/s (0: not known), and what a large product reaches."""
    import torch

    gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if gpu else "CPU"
    size = 512 if quick or not gpu else 8_192
    one = torch.randn(size, size, device="cuda" if gpu else "cpu", dtype=torch.bfloat16 if gpu else torch.float32)
    run = lambda: [one @ one for _ in range(8)]  # noqa: E731
    timed(run)
    best = min(timed(run) for _ in range(5))
    sheet = (peak(name) or 0.0) / 1e12
    return {"device": name, "sheet_tflops": sheet, "product_tflops": 8 * 2 * size**3 / best / 1e12}


def scoring(shape: Shape, folder: Path, vocabulary: int, soak_s: float) -> dict[str, Any]:
    """TFLOP/s of whole passes over the texts, warm, and how the last passes of the soak compare with its first."""
    from concord.scoring.transformer import Transformer

    scorer = Transformer(str(folder), max_length=MOST)
    groups = groups_of(shape.texts, vocabulary)
    whole = [len(one) for group in groups for one in group]
    scorer.rewards_of(groups[: len(groups) // 4])
    seconds = [timed(lambda: scorer.rewards_of(groups)) for _ in range(3)]
    best = min(seconds)
    found = {
        "texts": len(whole),
        "tokens": sum(whole),
        "form": scorer.form,
        "texts_s": len(whole) / best,
        "tokens_s": sum(whole) / best,
        # A prompt that is computed once is no work saved from the figure: all texts count whole.
        "tflops": shape.flop(whole) / best / 1e12,
        "seconds": sorted(seconds),
    }
    if soak_s:
        until, passes = time.monotonic() + soak_s, list[float]()
        while time.monotonic() < until:
            passes.append(timed(lambda: scorer.rewards_of(groups)))
        tenth = max(1, len(passes) // 10)
        found["soak"] = {"passes": len(passes), "slower": float(np.mean(passes[-tenth:]) / np.mean(passes[:tenth]))}
    return found | {"peak_gb": _peak_gb()}


def training(shape: Shape, folder: Path, vocabulary: int) -> dict[str, Any]:
    """TFLOP/s of steps of the reward trainer as the script makes it, the first step not counted."""
    from transformers import AutoTokenizer, TrainerCallback

    from concord.training.fit import common, reward_model
    from concord.training.lessons import Lesson, Lessons
    from concord.training.reward import Knobs

    _emptied()
    steps = shape.steps + 1
    with tempfile.TemporaryDirectory() as out:
        knobs = Knobs(
            str(folder),
            "",
            out,
            lora_rank=32 if shape.lora else 0,
            batch=shape.batch,
            micro_batch=shape.batch,
            max_steps=steps,
        )
        groups = [group for group in groups_of(2 * steps * shape.batch, vocabulary) if len(group) == 2]
        lessons = [Lesson([], one, other, 0.9, 1.0, 0.8) for one, other in groups]
        tokenizer = AutoTokenizer.from_pretrained(folder)
        arguments = {**common.arguments(knobs, Path(out), steps), "save_strategy": "no", "logging_steps": steps}
        arguments.pop("metric_for_best_model")
        trainer = reward_model.made(knobs, tokenizer, Lessons(lessons, []), arguments)
        marks = list[float]()

        class Clock(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                timed(lambda: None)
                marks.append(time.perf_counter())

        trainer.add_callback(Clock())
        trainer.train()
    seconds = marks[-1] - marks[0]
    whole = [len(one) for group in groups for one in group]
    # Of all texts the steps after the first see about their share: which ones is the sampler's matter.
    share = (len(marks) - 1) * shape.batch * 2 / len(whole)
    work = shape.flop(whole, backward=1 if shape.lora else 2) * share
    return {
        "how": "LoRA" if shape.lora else "all weights",
        "steps": len(marks) - 1,
        "pairs_s": (len(marks) - 1) * shape.batch / seconds,
        "tokens_s": sum(whole) * share / seconds,
        "tflops": work / seconds / 1e12,
        "peak_gb": _peak_gb(),
    }


def _peak_gb() -> float:
    import torch

    return torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0


def measured(name: str, vocabulary: int, soak_s: float) -> dict[str, Any]:
    """Scoring and training of one shape."""
    shape = SHAPES[name]
    with model_folder(shape, vocabulary) as folder:
        scored = scoring(shape, folder, vocabulary, soak_s)
        return {"weights": shape.weights, "scoring": scored, "training": training(shape, folder, vocabulary)}


def main() -> None:
    parser = parser_of(__doc__, "a tiny shape and no soak")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["0.6B", "8B"])
    parser.add_argument("--soak-s", type=float, default=0.0, help="how long the first shape goes on scoring")
    asked = asked_of(parser)
    peak = peaks(asked.quick)
    names = ["tiny"] if asked.quick else asked.shapes
    vocabulary = 512 if asked.quick else VOCABULARY
    found = {
        name: measured(name, vocabulary, 0.0 if asked.quick or at else asked.soak_s) for at, name in enumerate(names)
    }
    print(f"{peak['device']}: sheet {peak['sheet_tflops']:.0f}, a large product {peak['product_tflops']:.2f} TFLOP/s")
    of = float(peak["sheet_tflops"]) or float(peak["product_tflops"])
    for name, both in found.items():
        for what in ("scoring", "training"):
            one = both[what]
            print(
                f"{name:<6}{what:<10}{one['tflops']:>10.3f} TFLOP/s{100 * one['tflops'] / of:>7.1f} %{one['peak_gb']:>8.1f} GB"
            )
    if asked.json:
        write(asked.json, circumstances({"most_tokens": MOST}) | {"peak": peak, "shapes": found})


if __name__ == "__main__":
    main()
