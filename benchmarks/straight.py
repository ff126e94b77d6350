"""The floor of the loop: one process, one thread, no log, no store, no services; the same pure functions in the same order.

Nothing here keeps anything: what a run makes durable (facts, features, manifests, leases, answers) is a local variable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import planner
from concord.labeling import recorded, sample_judge
from concord.labeling.verdict_columns import shard_labeled
from concord.preference.annotations import Answers
from concord.preference.budget import pilot_size
from concord.preference.columns import Columns, judge_targets, shard_arrays
from concord.preference.methods import METHODS
from concord.preference.pilot import draw_pilot, misaligned
from concord.reward import features
from concord.runs.work import MAX_BASIS_TEXTS
from concord.triage import dataset
from concord.triage.signals import signals_of
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, ShardLabeled, Stage, StageManifest
from concord.v1.pairs_pb2 import Choice, Pair, PairShard

Array = np.ndarray
Answerer = Callable[[int, int], "Choice.ValueType | None"]


@dataclass(frozen=True)
class Made:
    """What comes out."""

    dataset_sha256: str
    dataset: bytes
    votes: int
    rounds: int


def run(pairs: Sequence[Pair], config: RunConfig, answer: Answerer) -> Made:
    """From pairs in memory to the dataset's bytes and hash."""
    size, count = config.shard_pairs, len(pairs)
    shards = [PairShard(first_index=at, pairs=pairs[at : at + size]) for at in range(0, count, size)]
    budget = config.human_budget or round(config.human_budget_share * count)
    said = _pilot(pairs, config, budget, answer) if METHODS[config.method].asks else planner.NOBODY
    labeled = [
        _label([(shard.first_index + at, pair) for at, pair in enumerate(shard.pairs)], config) for shard in shards
    ]
    columns = _features(pairs, shards, config)
    labels = StageManifest(events=[Event(shard_labeled=shard) for shard in labeled])
    signals = signals_of(labeled, np.zeros(count), columns.x, columns.group, columns.domain)
    known = planner.Known(signals, judge_targets(labels, count))
    steps = list(planner.run(known, config, budget, lambda pair, vote: planner.P_FIRST[answer(pair, vote)], said))
    target = steps[-1].decided.target if steps[-1].decided is not None else None
    believed = dataset.beliefs(labels, target, steps[-1].said, count)
    account = dataset.Account()
    lines = b"".join(account.lines(dataset.rows(pairs, believed, config.human_weight)))
    count_of_rounds = sum(step.stage == Stage.STAGE_ANNOTATE for step in steps)
    return Made(account.sha256, lines, int(steps[-1].said.votes.sum()), count_of_rounds)


def _label(indexed: Sequence[tuple[int, Pair]], config: RunConfig) -> ShardLabeled:
    pairs, judge = [pair for _, pair in indexed], config.judge
    if judge.kind == "sample":
        said = [sample_judge.judged(pair, config.seed) for pair in pairs]
    else:
        said = [recorded.judged(pair, judge.name) for pair in pairs]
    return shard_labeled(indexed, said, {}, recorded.own_disagree(pairs, judge, said))


def _pilot(pairs: Sequence[Pair], config: RunConfig, budget: int, answer: Answerer) -> Answers:
    drawn = draw_pilot(len(pairs), pilot_size(config, len(pairs), budget), config.seed)
    judged = _label([(int(index), pairs[index]) for index in drawn], config)
    p_first = np.array([planner.P_FIRST[answer(int(index), 0)] for index in drawn], float)
    votes = (~np.isnan(p_first)).astype(np.int64)
    said = Answers(drawn.astype(np.int64), p_first, np.ones(len(drawn), bool), votes)
    right = sum(planner.P_FIRST.get(choice) == p for choice, p in zip(judged.choice, said.p_first, strict=True))
    assert not misaligned(right, len(drawn))
    return said


def _features(pairs: Sequence[Pair], shards: Sequence[PairShard], config: RunConfig) -> Columns:
    """The basis on the texts that the seed draws, then shard by shard."""
    count = min(len(pairs), MAX_BASIS_TEXTS // 2)
    drawn = np.sort(np.random.default_rng([config.seed, 1]).choice(len(pairs), count, replace=False))
    texts = [text for index in drawn for text in (pairs[index].first.text, pairs[index].second.text)]
    basis = features.fit(texts, config.components, config.seed)
    parts = []
    for shard in shards:
        x = features.differences(
            basis, [pair.first.text for pair in shard.pairs], [pair.second.text for pair in shard.pairs]
        )
        parts.append(shard_arrays(shard, x))
    return Columns(*(np.concatenate([part[name] for part in parts]) for name in ("x", "group", "domain")))
