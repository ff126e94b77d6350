"""Batches as TRL makes them, with more numbers for each pair."""

from collections.abc import Callable, Sequence
from typing import Any

import torch


class Collator:
    """TRL's collator `inner`, and the columns `names` of each pair as float32 [pairs]."""

    def __init__(self, inner: Callable[[list[dict[str, Any]]], dict[str, Any]], names: Sequence[str]) -> None:
        self._inner, self._names = inner, names

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Examples with tokens and these columns; a batch of both."""
        own = {name: torch.tensor([one[name] for one in examples], dtype=torch.float32) for name in self._names}
        return self._inner(examples) | own
