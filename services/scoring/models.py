"""Reward models of any kind, opened for scoring by their URI."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from concord.kit.blobs import Blobs
from concord.kit.blobs.inputs import cached
from concord.kit.errors import Permanent
from concord.reward import stored
from concord.reward.models import KINDS, LIGHT, Kinds, manifest_of
from concord.v1.events_pb2 import ModelManifest
from concord.v1.pairs_pb2 import Pair

Array = np.ndarray
# Light ones of so many folds at once; of fine-tuned ones, whose weights are large, so many, and so many folders on the disk.
LIGHT_KEPT, TUNED_KEPT, FOLDERS_KEPT = 32, 4, 12


@dataclass(frozen=True)
class Shown:
    """Pairs as a model may look at them: each kind asks for what it reads, and only that is made."""

    pairs: Callable[[], Sequence[Pair]]
    # x float [pairs, dimensions], first minus second, and domain int [pairs].
    features: Callable[[], tuple[Array, Array]]


class OtherFeatures(ValueError):
    """The features that were shown are not those that the model reads."""


# Pairs → reward(first) - reward(second) in logits, float32 [pairs]; positive: the first is better.
Margins = Callable[[Shown], Array]


class Models:
    """Opened models, the last few of them kept. Thread-safe."""

    def __init__(self, blobs: Blobs, home: Path, kinds: Kinds = KINDS) -> None:
        """`home`: below it lie the folders of models that need files."""
        self._blobs, self._folder, self._kinds = blobs, home / "models", kinds
        self._bases = home / "bases"
        self._kind = cached(blobs, lambda content: manifest_of(content, kinds).kind, 4 * LIGHT_KEPT)
        self._light = cached(blobs, self._opened, LIGHT_KEPT)
        self._tuned = cached(blobs, self._opened, TUNED_KEPT)

    def opened(self, uri: str) -> Margins:
        """The model, ready to score.

        Raises ValueError or LookupError for what is no reward model of this version, Permanent where an extra is missing.
        """
        return (self._light if self._kind(uri) == LIGHT else self._tuned)(uri)

    def _opened(self, content: bytes) -> Margins:
        manifest = manifest_of(content, self._kinds)
        kind = self._kinds[manifest.kind]
        module, _, function = kind.scores.partition(":")
        if not module:
            raise ValueError(f"a model of kind {manifest.kind}, which scores nothing")
        try:
            return getattr(import_module(module), function)(content, self._files(content, manifest))
        except ModuleNotFoundError as error:
            raise Permanent(
                f"{error.name} is not installed here, which scoring with this model needs: "
                f"pip install 'concord-preference[{kind.extra}]'"
            ) from None

    def _files(self, content: bytes, manifest: ModelManifest) -> Path | None:
        """The folder of the model's files, which is made where it is missing; None for a model without."""
        if not manifest.files:
            return None
        folder = stored.fetched(self._blobs, manifest.files, self._folder, FOLDERS_KEPT)
        for one in manifest.inputs:
            if one.name == stored.BASE:
                stored.lend(self._blobs, one.uri, self._bases, folder)
        return folder
