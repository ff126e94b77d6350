"""A run's feature columns, put together from its shards. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from concord.v1.events_pb2 import StageManifest
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


def judge_targets(labels: StageManifest, pairs: int) -> tuple[Array, Array]:
    """P(first is better) as 0 or 1 and the weights, both [pairs]; weight 0 where the judge gave nothing usable."""
    p_first, weight = np.full(pairs, 0.5), np.zeros(pairs)
    for event in labels.events:
        at, choice = np.array(event.shard_labeled.pair_index, np.int64), np.array(event.shard_labeled.choice)
        p_first[at] = np.where(choice == Choice.CHOICE_FIRST, 1.0, np.where(choice == Choice.CHOICE_SECOND, 0.0, 0.5))
        weight[at] = np.isin(choice, (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND))
    return p_first, weight
