"""Policies by DPO, one an arm, that differ in their labels or pairs alone: what label_sources, selection_dpo and hrlaif share.

All arms begin as one model and have the same number of pairs, steps and rate of learning; the start's log-probabilities are
computed once for all. What is measured on one held-out pair or prompt is measured there for every arm, so that arms are compared
pair by pair; intervals (95 %) are the bootstrap over them. One seed: what another order of the pairs would change is not in them.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import asked_of, circumstances, parser_of, write
from benchmarks.pack import ROOT
from concord.reward.encoding import Asked, Encoded, Words, encoded

Array = np.ndarray
SMALL_MODEL = ROOT / ".tools" / "small-model"
DRAWS = 2_000
# As in earlier trials of the small model on other pairs; not tuned on what is reported.
RATE, BATCH, BETA, RANK = 1e-3, 4, 0.1, 8
MICRO_BATCH = 4
FIXED = {"rate": RATE, "batch": BATCH, "beta": BETA, "lora_rank": RANK}


@dataclass(frozen=True)
class Size:
    """How much one benchmark learns from and measures on."""

    learn: int  # pairs of an arm
    held: int  # pairs, or prompts, that nobody learned from
    pool: int  # pairs that are labelled, or that one chooses among
    max_length: int = 192  # tokens of a prompt with its longer answer; longer pairs are passed over
    epochs: float = 1.0
    tokens: int = 32  # of an answer that is sampled


@dataclass(frozen=True)
class Pair:
    """A prompt, two answers to it, and which one people prefer."""

    prompt: Words
    first: Words
    second: Words
    first_wins: bool

    @property
    def texts(self) -> tuple[str, str]:
        """Both answers as texts."""
        return _text(self.first), _text(self.second)


@dataclass(frozen=True)
class Label:
    """What an arm takes a pair for."""

    at: int  # of the pairs
    p_first: float  # P(the first is better), in [0, 1]


@dataclass(frozen=True, eq=False)
class Known:
    """Pairs as the start model reads them, and what it thinks of both answers."""

    start: str
    tokens: Sequence[Encoded]
    reference: Array  # float [pairs, 2], log-probability of each answer


def _text(words: Words) -> str:
    return words if isinstance(words, str) else "\n".join(str(turn["content"]) for turn in words)


def of_hh(row: Mapping[str, Any]) -> Pair:
    """A decided row of the pack, as messages."""
    first, second = ([{"role": "assistant", "content": one["text"]}] for one in row["responses"])
    return Pair(row["prompt"], first, second, row["human_majority"] == 0)


def fitting(start: str, pairs: Sequence[Pair], max_length: int) -> list[int]:
    """The places of those whose every token has room, and whose answers both say something."""
    tokens = encoded(_tokenizer(start), [Asked(one.prompt, (one.first, one.second)) for one in pairs])
    return [at for at, one in enumerate(tokens) if one.longest <= max_length and all(one.answers)]


@cache
def _tokenizer(start: str) -> Any:
    from concord.training.fit import common

    found = common.tokenizer_of(start)
    found.pad_token = found.pad_token or found.eos_token
    return found


def known(start: str, pairs: Sequence[Pair], folder: Path) -> Known:
    """The pairs with the start's log-probabilities, by TRL's own computation."""
    tokens = encoded(_tokenizer(start), [Asked(one.prompt, (one.first, one.second)) for one in pairs])
    without = Known(start, tokens, np.zeros((len(pairs), 2)))
    rows = [_row(without, Label(at, 1.0), False) for at in range(len(pairs))]
    trainer = _trainer(start, folder / "reference", rows, [], 0, 1)
    made = trainer.train_dataset
    return Known(start, tokens, np.array([list(made["ref_chosen_logps"]), list(made["ref_rejected_logps"])]).T)


def _row(of: Known, label: Label, with_reference: bool = True) -> dict[str, Any]:
    """The pair with the preferred answer as the chosen one."""
    one, turned = of.tokens[label.at], label.p_first < 0.5
    chosen, rejected = one.answers[::-1] if turned else one.answers
    row = {"prompt_ids": one.prompt, "chosen_ids": chosen, "rejected_ids": rejected, "weight": 1.0}
    row |= {"p_chosen": max(label.p_first, 1 - label.p_first)}
    if with_reference:
        both = of.reference[label.at][::-1] if turned else of.reference[label.at]
        row |= {"ref_chosen_logps": float(both[0]), "ref_rejected_logps": float(both[1])}
    return row


def _trainer(
    start: str, folder: Path, learn: list[dict], held: list[dict], seed: int, epochs: float, keep: int = 0
) -> Any:
    """TRL's trainer with our loss; rows that bring the reference's log-probabilities keep them."""
    from datasets import Dataset
    from transformers import set_seed
    from trl import DPOConfig

    from concord.training.fit import common, policy_model
    from concord.training.policy import Knobs

    class Arm(policy_model.Weighted):
        """Keeps what each held-out pair came to."""

        apart: list[float] | None = None

        def _precompute_ref_logps(self, dataset: Any, *more: Any) -> Any:
            """Of TRL 1.16."""
            done = "ref_chosen_logps" in dataset.column_names
            return dataset if done else super()._precompute_ref_logps(dataset, *more)

        def _measure(self, chosen: Any, rejected: Any, attended: Any) -> None:
            super()._measure(chosen, rejected, attended)
            if self.apart is not None and not self.model.training:
                self.apart += (chosen - rejected).tolist()

    asked = {"learning_rate": RATE, "beta": BETA, "batch": BATCH, "micro_batch": MICRO_BATCH}
    knobs = Knobs(start, "", str(folder), lora_rank=RANK, lora_alpha=2 * RANK, epochs=epochs, seed=seed, **asked)
    steps = common.steps_of(knobs, len(learn))
    kept = {"save_steps": -(-steps // keep), "save_only_model": True} if keep else {"save_strategy": "no"}
    settings = common.arguments(knobs, folder, steps) | {"save_total_limit": None} | kept
    tokenizer = _tokenizer(start)
    set_seed(seed)
    trainer = Arm(
        model=policy_model.model_of(start, knobs),
        args=DPOConfig(beta=BETA, max_length=None, precompute_ref_log_probs=True, **settings),
        data_collator=policy_model.Collator(
            policy_model.DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id), policy_model.OWN
        ),
        train_dataset=Dataset.from_list(learn),
        eval_dataset=Dataset.from_list(held) if held else None,
        processing_class=tokenizer,
        peft_config=common.lora(knobs, "CAUSAL_LM"),
    )
    trainer.remove_callback(common.PrinterCallback)
    return trainer


def margins(
    of: Known, labels: Sequence[Label], held: Sequence[int], folder: Path, size: Size, seed: int = 0, keep: int = 0
) -> Array:
    """Trains an arm; its implicit reward of the first less that of the second answer, float [held].

    `keep`: so many states of the policy, evenly spaced and the last one among them, are left in `folder/checkpoint-STEP`.
    """
    learn = [_row(of, label) for label in labels]
    tests = [_row(of, Label(at, 1.0)) for at in held]
    trainer = _trainer(of.start, folder, learn, tests, seed, size.epochs, keep)
    trainer.train()
    trainer.apart = []
    trainer.evaluate()
    return np.array(trainer.apart)


def paired(values: Mapping[str, Array], of: Sequence[tuple[str, str]], draws: int = DRAWS) -> dict[str, dict]:
    """Means of the arms, and of the differences `of` (one, other), each with its interval; all values are of the same units.

    "arms": name → is, low, high; "differences": "one less other" → the same.
    """
    count = len(next(iter(values.values())))
    weights = np.random.default_rng([count, draws]).multinomial(count, np.full(count, 1 / count), draws) / count

    def told(value: Array) -> dict[str, float]:
        low, high = np.quantile(weights @ value, (0.025, 0.975))
        return {"is": float(value.mean()), "low": float(low), "high": float(high), "of": count}

    numbers = {name: np.asarray(value, float) for name, value in values.items()}
    return {
        "arms": {name: told(value) for name, value in numbers.items()},
        "differences": {f"{one} less {other}": told(numbers[one] - numbers[other]) for one, other in of},
    }


def show(title: str, found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Arms and differences as they came, on standard output."""
    print(f"\n{title}")
    for name, one in found["arms"].items():
        print(f"  {name:34} {one['is']:.3f}  [{one['low']:.3f}, {one['high']:.3f}]  of {one['of']}")
    for name, one in found["differences"].items():
        print(f"  {name:34} {one['is']:+.3f}  [{one['low']:+.3f}, {one['high']:+.3f}]")


@contextmanager
def start_of(model: Path | None) -> Iterator[str]:
    """The start's folder; None: a tiny Llama of random weights, whose tokens are HH's."""
    if model is not None:
        if not (model / "config.json").is_file():
            raise SystemExit(f"{model} is no model: `make small-model` makes one, or name another with --model")
        yield str(model.resolve())
        return
    with tempfile.TemporaryDirectory() as folder:
        yield str(tiny(Path(folder) / "tiny"))


def tiny(folder: Path, vocabulary: int = 1_000) -> Path:
    """A Llama of two layers with random weights, and a tokenizer that learned on HH."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from benchmarks.torch_scoring import save_tokenizer

    save_tokenizer(folder, vocabulary)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def run(
    usage: str | None,
    measured: Callable[[str, Size, Path], dict],
    said: Callable[[dict], None],
    full: Size,
    quick: Size,
    fixed: Mapping[str, Any] = FIXED,
) -> None:
    """The command line of each of them: measures, says what came, writes it down with its settings.

    `fixed`: those that nothing changes.
    """
    parser = parser_of(usage, "a tiny model of random weights and few pairs, a minute: that it runs")
    parser.add_argument("--model", type=Path, default=SMALL_MODEL, metavar="FOLDER", help="the start of every arm")
    parser.add_argument("--learn", type=int, metavar="N", help="pairs that each arm learns from; time goes with them")
    parser.add_argument("--held", type=int, metavar="N", help="pairs or prompts that it is measured on")
    asked: argparse.Namespace = asked_of(parser)
    from concord.training.fit import common

    common.quiet()
    size = quick if asked.quick else full
    size = replace(size, learn=asked.learn or size.learn, held=asked.held or size.held)
    with start_of(None if asked.quick else asked.model) as start, tempfile.TemporaryDirectory() as folder:
        found = measured(start, size, Path(folder))
    said(found)
    if asked.json:
        settings = {**vars(size), **fixed, "quick": asked.quick}
        write(asked.json, {**circumstances(settings | {"model": asked.model.name}), **found})
