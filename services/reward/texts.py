"""A pair as a language model reads it, the same for whoever trains and whoever scores. Pure."""

import json
from collections.abc import Iterable, Iterator

import numpy as np

from concord.v1.pairs_pb2 import Pair

Array = np.ndarray
# A text, or chat messages.
Words = str | list[dict[str, str]]


def read(pair: Pair) -> tuple[Words, Words, Words]:
    """Prompt, first and second response: as messages, or as plain texts where there is no prompt."""
    if not pair.prompt:
        return "", pair.first.text, pair.second.text
    turns = [{"role": turn.role, "content": turn.content} for turn in pair.prompt]
    first, second = ([{"role": "assistant", "content": one.text}] for one in (pair.first, pair.second))
    return turns, first, second


def rows(pairs: Iterable[Pair], p_first: Array, weight: Array) -> Iterator[bytes]:
    """The lines of a trainer's data: each pair of positive weight, the better response as `chosen` with its P in [.5, 1].

    `pairs` in order, p_first [pairs] in [0, 1], weight [pairs].
    """
    for pair, p, counts in zip(pairs, p_first, weight, strict=True):
        if counts > 0:
            yield json.dumps(_row(pair, float(p), float(counts)), ensure_ascii=False).encode() + b"\n"


def _row(pair: Pair, p_first: float, weight: float) -> dict[str, object]:
    prompt, first, second = read(pair)
    chosen, rejected = (first, second) if p_first >= 0.5 else (second, first)
    return {
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "p_chosen": round(max(p_first, 1 - p_first), 6),
        "weight": round(weight, 6),
    }
