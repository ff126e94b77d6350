"""A run's columns, put together from its shards: features of its pairs, and what the judge said of them. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from concord.v1.events_pb2 import ShardLabeled, StageManifest
from concord.v1.pairs_pb2 import Choice, PairShard

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Columns:
    """Feature differences of all pairs of a run."""

    x: Array  # float16 [pairs, dimensions], first − second
    group: Array  # uint64 [pairs]
    domain: Array  # int64 [pairs], see `domain_number`


def domain_number(name: str) -> int:
    """A domain's number: the same in every shard and every run."""
    return crc32(name.encode())


def shard_arrays(shard: PairShard, x: Array) -> dict[str, Array]:
    """What one shard's features blob holds."""
    return {
        "x": x.astype(np.float16),
        "group": np.array([pair.group for pair in shard.pairs], np.uint64),
        "domain": np.array([domain_number(pair.domain) for pair in shard.pairs], np.int64),
    }


def columns_of(features: StageManifest, read: Callable[[str], Mapping[str, Array]]) -> Columns:
    """All shards' columns in order; `read(uri)` gives one shard's arrays."""
    parts = [read(event.shard_featurised.features_uri) for event in features.events]
    x, group, domain = (np.concatenate([part[name] for part in parts]) for name in ("x", "group", "domain"))
    return Columns(x, group, domain)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the judge said, as in ShardLabeled; all shapes [pairs]. A pair that no shard labels has no usable verdict."""

    choice: Array  # int8, a Choice; 0: no usable verdict, or not judged
    p_first: Array  # P(first is better); 0.5 where there is no verdict
    confidence: Array  # P(the label is right) as the judge gave it; -1 none
    order_flipped: Array  # int8: 1 the verdict changes with the order, 0 it does not, -1 asked in one order
    own_disagree: Array  # share of the same LLM's other verdicts against the label; -1 none
    length_difference: Array  # log characters of the first minus the second

    @property
    def label(self) -> Array:
        """int8: 1 the first, -1 the second is better, 0 no usable verdict."""
        return (self.choice == Choice.CHOICE_FIRST).astype(np.int8) - (self.choice == Choice.CHOICE_SECOND)


def verdicts_of(labeled: Iterable[ShardLabeled], pairs: int) -> Verdicts:
    """All shards' verdicts by the pair's index; where several have said something of one pair, the last."""
    said = Verdicts(
        choice=np.zeros(pairs, np.int8),
        p_first=np.full(pairs, 0.5),
        confidence=np.full(pairs, -1.0),
        order_flipped=np.full(pairs, -1, np.int8),
        own_disagree=np.full(pairs, -1.0),
        length_difference=np.zeros(pairs),
    )
    for shard in labeled:
        at = np.array(shard.pair_index, np.int64)
        said.choice[at], said.p_first[at], said.confidence[at] = shard.choice, shard.p_first, shard.confidence
        said.order_flipped[at], said.own_disagree[at] = shard.order_flipped, shard.own_disagree
        said.length_difference[at] = shard.length_difference
    return said


def judge_targets(labels: StageManifest, pairs: int) -> tuple[Array, Array]:
    """P(first is better) as 0 or 1 and the weights, both [pairs]; weight 0 where the judge gave nothing usable."""
    label = verdicts_of((event.shard_labeled for event in labels.events), pairs).label
    return (1 + label.astype(float)) / 2, np.abs(label).astype(float)
