"""Scoring with the light model: no file, no device, features alone."""

from pathlib import Path

from concord.kit.arrays import unpack
from concord.reward.head import Head, margins
from concord.scoring.models import Array, Margins, OtherFeatures, Shown


def opened(content: bytes, folder: Path | None) -> Margins:
    """The model, ready to score. Raises ValueError for another format, LookupError for missing arrays."""
    head = Head.from_arrays(unpack(content))

    def score(shown: Shown) -> Array:
        x, domain = shown.features()
        if x.shape[-1] != head.weights.shape[-1]:
            raise OtherFeatures
        return margins(head, x, domain)

    return score
