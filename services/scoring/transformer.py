"""Rewards and embeddings by a transformer: what `concord.training.reward` trained, or any of transformers' models.

Each answer is scored once, however many pairs it stands in, and what the answers to a prompt begin with is computed once. Three
forms give the same numbers, to the tolerance that the tests state:

| form | what | where |
| --- | --- | --- |
| `trees` | a prompt and all its answers in one sequence, each answer blind to the others | causal models under SDPA |
| `packed` | sequences behind one another without padding | where flash attention is installed |
| `rows` | sequences of like length, padded | all others, encoders too |
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification, PeftModel
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.utils import is_flash_attn_2_available

from concord.kit.errors import InvalidInput
from concord.reward.encoding import Words, cut, encoded
from concord.scoring.ahead import ahead
from concord.scoring.batches import Ids, Tree, batches, grouped, parts, tree, trees

Array = np.ndarray
# Tokens of a batch with its padding. A CPU has no use for more.
TOKENS = {"cpu": 2_048, "cuda": 32_768}
# Portions of texts that stand ready as tokens, sorted by their length, while the devices work; and characters of a portion.
AHEAD = 2
PORTION = 1_000_000
FLASH = "flash_attention_2"
# How far two forms may be apart in a model of float32; more, and a form is not that model's.
FORM_TOLERANCE = 1e-3
_TRIED = ([5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 12, 13], [5, 6, 7, 8, 14])


class Transformer:
    """A model on one or more devices, each of which holds a copy."""

    def __init__(
        self,
        folder: str,
        devices: Sequence[str] = (),
        max_length: int = 1_024,
        tokens: int = 0,
        form: str = "",
        dtype: torch.dtype | None = None,
        portion: int = PORTION,
        most_ready: int = AHEAD,
    ) -> None:
        """`folder`: a model's, an adapter's, or a name on the hub. Empty `devices`: every GPU, else the CPU. `tokens` of a
        batch, 0: as the device wants it. `form`: the best that the model takes. Texts are made ready in portions of so many
        characters, at most `most_ready` of them ahead. Raises InvalidInput where it cannot be loaded.
        """
        self.devices = tuple(devices) or _devices()
        self._max_length, kind = max_length, torch.device(self.devices[0]).type
        self._portion, self._most_ready = portion, most_ready
        self._tokens = tokens or TOKENS.get(kind, TOKENS["cuda"])
        flash = kind == "cuda" and is_flash_attn_2_available()
        weights = dtype or (torch.bfloat16 if kind == "cuda" else torch.float32)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
            load, flash = _attending(folder, {"dtype": weights}, flash)
            self._models = [_model(folder, load).to(device).eval() for device in self.devices]
        except (OSError, ValueError, LookupError) as error:
            raise InvalidInput(f"{folder} is no model that can be loaded: {str(error).splitlines()[0][:300]}") from None
        self.has_head = hasattr(self._models[0], "num_labels")
        if self.has_head and self._models[0].num_labels != 1:
            raise InvalidInput(f"{folder} has {self._models[0].num_labels} outputs: a reward model has one")
        self._causal = hasattr(self._models[0], "score")
        self._tokenizer.padding_side = "right"
        self.form = form or self._best_form(flash)

    def rewards(self, prompts: Sequence[Words], answers: Sequence[Words]) -> Array:
        """The reward of each answer to the prompt beside it, float32 [texts]; higher is better. Texts or messages."""
        if not self.has_head:
            raise InvalidInput("this model has no head that gives a reward: it embeds texts alone")
        asked, number = grouped(prompts, answers)
        sizes = [sum(map(_size, (one.prompt, *one.answers))) for one in asked]

        def ready() -> Iterator[_Portion]:
            first = 0
            for part in parts(sizes, self._portion):
                tokens = [cut(one, self._max_length) for one in encoded(self._tokenizer, asked[part])]
                groups = [[one.prompt + answer or [self._pad] for answer in one.answers] for one in tokens]
                yield self._sorted(groups, first)
                first += sum(map(len, groups))

        return self._rewarded(ready(), sum(len(one.answers) for one in asked))[number]

    def rewards_of(self, groups: Sequence[Sequence[Ids]]) -> Array:
        """The same of sequences of tokens, in groups that share a beginning: float32 [sequences], group by group."""
        return self._rewarded([self._sorted(groups, 0)], sum(map(len, groups)))

    def _sorted(self, groups: Sequence[Sequence[Ids]], first: int) -> "_Portion":
        """The groups' trees, in batches of like length; `first`: the number of their first sequence."""
        if self.form == "trees":
            whole = trees(groups, max(self._tokens, self._max_length), first)
        else:
            flat = [sequence for group in groups for sequence in group]
            whole = [tree([sequence], first + at) for at, sequence in enumerate(flat)]
        return _Portion(whole, batches([one.tokens for one in whole], self._tokens))

    def _rewarded(self, portions: Iterable["_Portion"], count: int) -> Array:
        out = np.zeros(count, np.float32)
        for portion, at, found in self._each(portions, lambda model, one, at: _rewards(self, model, one.whole, at)):
            out[[place for number in at for place in portion.whole[number].places]] = found
        return out

    def embeddings(self, texts: Sequence[str]) -> Array:
        """The mean of the last hidden layer over each text's own tokens, float32 [texts, width]; not of length 1."""
        different = {text: at for at, text in enumerate(dict.fromkeys(texts))}
        clean = [text.encode("utf-8", "replace").decode() for text in different]

        def ready() -> Iterator[_Portion]:
            first = 0
            for part in parts(list(map(len, clean)), self._portion):
                said = self._tokenizer(clean[part])["input_ids"]
                ids = [held[: self._max_length] or [self._pad] for held in said]
                yield _Portion(
                    [tree([one], first + at) for at, one in enumerate(ids)], batches(list(map(len, ids)), self._tokens)
                )
                first += len(ids)

        width = self._models[0].config.get_text_config().hidden_size
        out = np.zeros((len(clean), width), np.float32)
        for portion, at, found in self._each(ready(), lambda model, one, at: _means(self, model, one.whole, at)):
            out[[portion.whole[number].places[0] for number in at]] = found
        return out[[different[text] for text in texts]]

    @property
    def _pad(self) -> int:
        """A token for what nobody reads."""
        return int(
            next(one for one in (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id, 0) if one is not None)
        )

    def _each(
        self, portions: Iterable["_Portion"], do: Callable[[Any, "_Portion", list[int]], Array]
    ) -> list[tuple["_Portion", list[int], Array]]:
        """(portion, numbers of its trees, what `do` says of them) for each batch; a device that is free takes the next one."""
        ready = ahead(portions, self._most_ready)
        work, turn = ((portion, at) for portion in ready for at in portion.batches), threading.Lock()
        done: list[tuple[_Portion, list[int], Array]] = []

        def take(model: Any) -> None:
            while True:
                with turn:
                    if (next_ := next(work, None)) is None:
                        return
                done.append((*next_, do(model, *next_)))

        try:
            if len(self._models) == 1:
                take(self._models[0])
            else:
                with ThreadPoolExecutor(len(self._models)) as pool:
                    list(pool.map(take, self._models))
        finally:
            ready.close()
        return done

    def _best_form(self, flash: bool) -> str:
        """What this model takes: a form counts where it gives what `rows` give."""
        wanted = "packed" if flash else "trees"
        if not self.has_head and not flash:
            return "rows"
        if self.has_head and not self._causal:
            return "rows"
        model, said = self._models[0], self.rewards_of if self.has_head else self._means_of
        ids = [[token % model.config.get_text_config().vocab_size for token in one] for one in _TRIED]
        self.form = "rows"
        plain = said([ids])
        self.form = wanted
        slack = FORM_TOLERANCE if model.dtype == torch.float32 else 0.1
        return wanted if np.allclose(said([ids]), plain, atol=slack, rtol=slack) else "rows"

    def _means_of(self, groups: Sequence[Sequence[Ids]]) -> Array:
        """Embeddings of these sequences, in one batch."""
        whole = [tree([sequence], at) for at, sequence in enumerate(sequence for group in groups for sequence in group)]
        return _means(self, self._models[0], whole, list(range(len(whole))))


@dataclass(frozen=True)
class _Portion:
    """Some of the texts as tokens, in batches: numbers of trees, the longest first."""

    whole: list[Tree]
    batches: list[list[int]]


def _size(words: Words) -> int:
    """Characters, as far as they tell how long it takes."""
    return len(words) if isinstance(words, str) else sum(len(str(turn.get("content"))) for turn in words)


def _attending(folder: str, load: dict[str, Any], flash: bool) -> tuple[dict[str, Any], bool]:
    """How the model is loaded, and whether with flash attention: some models take none."""
    if flash:
        with suppress(ValueError, ImportError):
            with torch.device("meta"):
                AutoModel.from_config(AutoConfig.from_pretrained(_base_of(folder)), attn_implementation=FLASH, **load)
            return {**load, "attn_implementation": FLASH}, True
    return load, False


def _base_of(folder: str) -> str:
    """Where the configuration of an adapter's model is; a model's own is with it."""
    adapter = Path(folder) / "adapter_config.json"
    if not adapter.exists():
        return folder
    base = str(json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path"))
    within = Path(folder, base)
    return str(within) if within.is_dir() else base


def _devices() -> tuple[str, ...]:
    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count())) or ("cpu",)


def _model(folder: str, load: dict[str, Any]) -> Any:
    """The model with its head, where it has one, LoRA merged into its weights; else its backbone."""
    adapter = Path(folder) / "adapter_config.json"
    if adapter.exists():
        said = json.loads(adapter.read_text(encoding="utf-8"))
        has_head = said.get("task_type") == "SEQ_CLS"
        merged = _merged(folder, str(said.get("base_model_name_or_path")), has_head, load)
        return merged if has_head else _backbone(merged)
    kinds = AutoConfig.from_pretrained(folder).architectures or ()
    if any(kind.endswith("ForSequenceClassification") for kind in kinds):
        return AutoModelForSequenceClassification.from_pretrained(folder, **load)
    return AutoModel.from_pretrained(folder, **load)


def _merged(folder: str, base: str, has_head: bool, load: dict[str, Any]) -> Any:
    """The model with LoRA's weights in its own; a base that lies within the folder is that one, wherever the folder lies."""
    more = {**load, **({"num_labels": 1} if has_head else {})}
    within = Path(folder, base)
    if within.is_dir() and not Path(base).is_absolute():
        kind = AutoModelForSequenceClassification if has_head else AutoModelForCausalLM
        return PeftModel.from_pretrained(kind.from_pretrained(str(within), **more), folder).merge_and_unload()
    adapted = AutoPeftModelForSequenceClassification if has_head else AutoPeftModelForCausalLM
    return adapted.from_pretrained(folder, **more).merge_and_unload()


def _backbone(model: Any) -> Any:
    return getattr(model, model.base_model_prefix, model)


@torch.inference_mode()
def _rewards(own: Transformer, model: Any, whole: list[Tree], at: list[int]) -> Array:
    """Rewards of these trees' branches, in order."""
    chosen = [whole[number] for number in at]
    if own.form == "trees":
        hidden, rows, ends = _in_trees(model, chosen, own._pad)
        return _head(model, hidden[rows, ends])
    ids = [one.trunk + one.branches[0] for one in chosen]
    if own.form == "packed":
        hidden, last = _packed(model, ids)
        return _head(model, hidden[0, last])
    padded, mask = _padded(ids, own._pad, model.device)
    if not own._causal:
        return model(input_ids=padded, attention_mask=mask).logits[:, 0].float().cpu().numpy()
    hidden = _backbone(model)(input_ids=padded, attention_mask=mask).last_hidden_state
    return _head(model, hidden[torch.arange(len(ids)), mask.sum(1) - 1])


def _head(model: Any, hidden: torch.Tensor) -> Array:
    return model.score(hidden)[:, 0].float().cpu().numpy()


def _in_trees(model: Any, whole: Sequence[Tree], pad: int) -> tuple[torch.Tensor, list[int], list[int]]:
    """Hidden states (trees, tokens, width), and for each branch its tree and the place of its last token."""
    longest = max(one.tokens for one in whole)
    ids, place, part = (np.full((len(whole), longest), fill, np.int64) for fill in (pad, 0, -1))
    rows, ends = [], []
    for row, one in enumerate(whole):
        end = len(one.trunk)
        ids[row, :end], place[row, :end], part[row, :end] = one.trunk, np.arange(end), 0
        for number, branch in enumerate(one.branches, 1):
            start, end = end, end + len(branch)
            ids[row, start:end], part[row, start:end] = branch, number
            place[row, start:end] = len(one.trunk) + np.arange(len(branch))
            rows.append(row)
            ends.append(end - 1)
    belongs = torch.from_numpy(part).to(model.device)
    sees = (belongs[:, None, :] == 0) | (belongs[:, None, :] == belongs[:, :, None])
    sees = torch.tril(sees)[:, None]  # (trees, 1, tokens, tokens); padding sees padding, so that no row is empty
    mask = torch.zeros_like(sees, dtype=model.dtype).masked_fill_(~sees, torch.finfo(model.dtype).min)
    put = {"input_ids": torch.from_numpy(ids), "position_ids": torch.from_numpy(place)}
    put = {name: held.to(model.device) for name, held in put.items()}
    return _backbone(model)(**put, attention_mask=mask, use_cache=False).last_hidden_state, rows, ends


def _packed(model: Any, ids: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (1, tokens, width) of the sequences behind one another, and the places of their last tokens."""
    flat = torch.tensor([[token for one in ids for token in one]], device=model.device)
    place = torch.cat([torch.arange(len(one)) for one in ids])[None].to(model.device)
    last = torch.tensor([len(one) for one in ids]).cumsum(0).to(model.device) - 1
    # Places that begin anew tell transformers where a sequence ends.
    return _backbone(model)(input_ids=flat, position_ids=place, use_cache=False).last_hidden_state, last


def _padded(ids: Sequence[Ids], pad: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and mask, both (sequences, longest)."""
    longest = max(map(len, ids))
    tokens = torch.tensor([one + [pad] * (longest - len(one)) for one in ids], device=device)
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids], device=device)
    return tokens, mask


@torch.inference_mode()
def _means(own: Transformer, model: Any, whole: list[Tree], at: list[int]) -> Array:
    ids = [whole[number].trunk + whole[number].branches[0] for number in at]
    if own.form == "packed":
        hidden, last = _packed(model, ids)
        text = torch.arange(len(ids), device=model.device).repeat_interleave(last.diff(prepend=last.new_tensor([-1])))
        sums = torch.zeros(len(ids), hidden.shape[-1], device=model.device).index_add_(0, text, hidden[0].float())
        return (sums / torch.bincount(text)[:, None]).cpu().numpy()
    padded, mask = _padded(ids, own._pad, model.device)
    hidden = _backbone(model)(input_ids=padded, attention_mask=mask).last_hidden_state.float()
    kept = mask[:, :, None].float()
    return ((hidden * kept).sum(1) / kept.sum(1)).cpu().numpy()
