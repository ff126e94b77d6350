"""What a trained model is, and what trains it and scores with it: one table, by kind. Pure.

The light model's artefact is an .npz as it stands. Every other one is a ModelManifest, whose kind is an entry here. What needs
torch is named and not imported: whoever scores with such a model imports it then.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from concord.v1.events_pb2 import ModelManifest

LIGHT, REWARD, POLICY, REMOTE = "light", "reward-model", "policy", "remote"
# How every .npz begins; no ModelManifest can, whose first byte is that of its kind.
_NPZ = b"PK\x03\x04"


@dataclass(frozen=True)
class ModelKind:
    """One kind of model."""

    # The program that trains it, as `python -m`; empty: the training service itself does.
    trains: str = ""
    # "module:function", which opens it for scoring; empty: nothing scores with it.
    scores: str = ""
    # The extra of `pip install` that both need, and the library in it by which one sees whether it is there.
    extra: str = ""
    needs: str = ""
    # Pairs on one device at a time where nobody says otherwise; halved once where they have no room.
    micro_batch: int = 0


Kinds = Mapping[str, ModelKind]
KINDS: Kinds = {
    LIGHT: ModelKind(scores="concord.scoring.light:opened"),
    REWARD: ModelKind("concord.training.reward", "concord.scoring.tuned:opened", "torch", "trl", micro_batch=4),
    POLICY: ModelKind("concord.training.policy", extra="torch", needs="trl", micro_batch=2),
    # Somebody else's, behind an address: its manifest names it, and no file.
    REMOTE: ModelKind(scores="concord.scoring.remote:opened"),
}


def manifest_of(content: bytes, kinds: Kinds = KINDS) -> ModelManifest:
    """What the model in this blob is; of the light one the kind alone. Raises ValueError for what is none of this version."""
    if content.startswith(_NPZ):
        return ModelManifest(kind=LIGHT)
    try:
        manifest = ModelManifest.FromString(content)
    except DecodeError as error:
        raise ValueError(f"neither a light model nor a manifest of one: {error}") from None
    if manifest.kind not in kinds:
        raise ValueError(f"a model of kind {manifest.kind[:60]!r}; this version knows {', '.join(kinds)}")
    return manifest
