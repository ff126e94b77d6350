"""A run's columns, put together from its shards: features of its pairs, and what the judge said of them. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from concord.v1.events_pb2 import ShardLabeled, ShardScored, StageManifest
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


def scores(scored: Iterable[ShardScored], column: str, pairs: int) -> Array:
    """One column of ShardScored over the whole run, float [pairs]; 0 where no shard has the pair."""
    found = np.zeros(pairs)
    for shard in scored:
        said = getattr(shard, column)
        found[shard.first_index : shard.first_index + len(said)] = said
    return found


def verdict_column(labeled: Iterable[ShardLabeled], column: str, pairs: int, missing: float) -> Array:
    """One column of ShardLabeled, a number a pair, over the whole run: float [pairs], `missing` where no shard has the pair.

    Where several shards have it, as after the pilot, the last one counts.
    """
    said = np.full(pairs, missing, float)
    for shard in labeled:
        # A column of what was not asked for is empty.
        write(said, shard.pair_index, getattr(shard, column), missing)
    return said


def write(said: Array, indexes: Sequence[int], values: Sequence[float], missing: float) -> None:
    """Writes a column of a fact into `said`, [pairs]: `missing` at the indexes that it has no value for; others than those of
    `said` are passed over."""
    at = np.array(indexes, np.int64)
    told = np.full(len(at), missing, float)
    told[: len(values)] = values[: len(at)]
    said[at[at < len(said)]] = told[at < len(said)]


def rubric_against(labeled: Iterable[ShardLabeled], pairs: int) -> Array:
    """How far the scores of each answer alone speak against the label, [pairs] in [0, 1]: 0.5 where they are equal; -1 none."""
    shards = list(labeled)
    first, second = (verdict_column(shards, column, pairs, 0) for column in ("rubric_first", "rubric_second"))
    label = judge_labels(shards, pairs)
    # Two points are much, and more hardly say more.
    against = (1 - np.tanh((first - second) * label / 2)) / 2
    return np.where((first > 0) & (second > 0) & (label != 0), against, -1.0)


def signal_columns(labeled: Iterable[ShardLabeled], pairs: int) -> dict[str, Array]:
    """Name → share of the judge's further verdicts against the label, [pairs]; -1 none. By name, of all shards."""
    columns: dict[str, Array] = {}
    for shard in labeled:
        for column in shard.signals:
            said = columns.setdefault(column.signal, np.full(pairs, -1.0))
            write(said, shard.pair_index, column.against, -1.0)
    return dict(sorted(columns.items()))


def helper_columns(labeled: Iterable[ShardLabeled], pairs: int) -> dict[str, Array]:
    """Helper → share of its verdicts against the label, [pairs]; -1 none. By name."""
    columns: dict[str, Array] = {}
    for shard in labeled:
        for helper in shard.helpers:
            said = columns.setdefault(helper.judge, np.full(pairs, -1.0))
            write(said, shard.pair_index, helper.disagree, -1.0)
    return dict(sorted(columns.items()))


def judge_labels(labeled: Iterable[ShardLabeled], pairs: int) -> Array:
    """int8 [pairs]: 1 the judge calls the first better, -1 the second, 0 no usable verdict."""
    choice = verdict_column(labeled, "choice", pairs, Choice.CHOICE_UNSPECIFIED)
    return (choice == Choice.CHOICE_FIRST).astype(np.int8) - (choice == Choice.CHOICE_SECOND)


def judge_targets(labels: StageManifest, pairs: int) -> tuple[Array, Array]:
    """P(first is better) as 0 or 1 and the weights, both [pairs]; weight 0 where the judge gave nothing usable."""
    label = judge_labels((event.shard_labeled for event in labels.events), pairs).astype(float)
    return (1 + label) / 2, np.abs(label)
