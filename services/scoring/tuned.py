"""Scoring with a fine-tuned reward model: what `concord.training.reward` left, read by `concord.scoring.transformer`."""

import json
import threading
from pathlib import Path

from concord.kit.errors import Corrupt
from concord.reward import texts
from concord.reward.models import manifest_of
from concord.scoring.models import Array, Margins, Shown
from concord.scoring.transformer import Transformer


def opened(content: bytes, folder: Path | None) -> Margins:
    """The model, ready to score; a prompt is cut as it was when the model was taught."""
    if folder is None:
        raise Corrupt("a fine-tuned reward model without files")
    settings = json.loads(manifest_of(content).settings or "{}")
    model, alone = Transformer(str(folder), max_length=settings.get("max_length", 1_024)), threading.Lock()

    def score(shown: Shown) -> Array:
        prompts, first, second = zip(*map(texts.read, shown.pairs()), strict=True)
        # One call at a time is what the device has room for.
        with alone:
            reward = model.rewards(prompts * 2, first + second)
        return reward[: len(prompts)] - reward[len(prompts) :]

    return score
