"""Reward models of the stand-in trainer: what trains them and what scores with them."""

from pathlib import Path

import numpy as np

from concord.reward.models import LIGHT, POLICY, REWARD, ModelKind
from concord.scoring.models import Margins, Shown

KINDS = {
    LIGHT: ModelKind(scores="concord.scoring.light:opened"),
    REWARD: ModelKind("tests.stand_in_trainer", "tests.stand_in_models:opened", "torch", needs="json", micro_batch=4),
    POLICY: ModelKind("tests.stand_in_trainer", extra="torch", needs="json", micro_batch=2),
}


def opened(content: bytes, folder: Path | None) -> Margins:
    """Longer is better; how much so follows from the weights."""
    assert folder is not None
    state = (folder / "weights" / "model").read_text()
    scale = 1 + int(state[:4], 16) / 0xFFFF

    def score(shown: Shown) -> np.ndarray:
        return np.array(
            [scale * (len(pair.first.text) - len(pair.second.text)) / 100 for pair in shown.pairs()], np.float32
        )

    return score
