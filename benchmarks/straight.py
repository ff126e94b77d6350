"""The floor of the loop: one process, one thread, no log, no store, no services; the same pure functions in the same order.

Nothing here keeps anything: what a run makes durable (facts, features, manifests, leases, answers) is a local variable.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, ShardLabeled, StageManifest
from concord.v1.pairs_pb2 import Choice, Pair, PairShard
from services.labeling import recorded, sample_judge
from services.labeling.columns import shard_labeled
from services.preference import head
from services.preference.answers import Answers
from services.preference.columns import Columns, judged_targets, shard_arrays
from services.preference.folds import fold_of
from services.preference.pilot import draw_pilot, misaligned
from services.runs import plan
from services.runs.work import MAX_BASIS_TEXTS
from services.scoring import features
from services.training.service import TRUST_THE_POSTERIOR
from services.triage import dataset, rounds
from services.triage.signals import Signals, signals_of

Array = np.ndarray
Answerer = Callable[[int, int], "Choice.ValueType | None"]
P_FIRST = {Choice.CHOICE_FIRST: 1.0, Choice.CHOICE_SECOND: 0.0, Choice.CHOICE_TIE: 0.5}


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
    said = _pilot(pairs, config, budget, answer)
    labeled = [_label([(shard.first_index + at, pair) for at, pair in enumerate(shard.pairs)], config) for shard in shards]
    columns = _features(pairs, shards, config)
    labels = StageManifest(events=[Event(shard_labeled=shard) for shard in labeled])
    p_first, weight = judged_targets(labels, count)
    margin = _scores(columns, shards, p_first, weight, config)
    signals = signals_of(labeled, margin, columns.x, columns.group, columns.domain)
    said, decided, count_of_rounds = _rounds(signals, said, config, budget, answer)
    _final(columns, p_first, weight, decided, said, config)
    believed = dataset.beliefs(labels, decided.target, said, count)
    rows = list(dataset.rows(pairs, believed, config.human_weight))
    return Made(dataset.hash_rows(rows), b"".join(map(dataset.line, rows)), int(said.votes.sum()), count_of_rounds)


def _label(indexed: Sequence[tuple[int, Pair]], config: RunConfig) -> ShardLabeled:
    pairs, judge = [pair for _, pair in indexed], config.judge
    if judge.kind == "sample":
        said = [sample_judge.judged(pair, config.seed) for pair in pairs]
    else:
        said = [recorded.judged(pair, judge.name) for pair in pairs]
    return shard_labeled(indexed, said, {}, recorded.own_disagree(pairs, judge, said))


def _pilot(pairs: Sequence[Pair], config: RunConfig, budget: int, answer: Answerer) -> Answers:
    drawn = draw_pilot(len(pairs), plan.pilot_size(config, len(pairs), budget), config.seed)
    judged = _label([(int(index), pairs[index]) for index in drawn], config)
    said = _asked(drawn, np.ones(len(drawn), bool), answer)
    right = sum(P_FIRST.get(choice) == p for choice, p in zip(judged.choice, said.p_first, strict=True))
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
        x = features.differences(basis, [pair.first.text for pair in shard.pairs], [pair.second.text for pair in shard.pairs])
        parts.append(shard_arrays(shard, x))
    return Columns(*(np.concatenate([part[name] for part in parts]) for name in ("x", "group", "domain")))


def _scores(columns: Columns, shards: Sequence[PairShard], p_first: Array, weight: Array, config: RunConfig) -> Array:
    """Each pair's margin by the head that did not see its group."""
    fold = fold_of(columns.group, config.folds)
    models = [head.fit_head(columns.x, p_first, weight * (fold != k), columns.domain) for k in range(config.folds)]
    margin = np.zeros(len(fold))
    for shard in shards:
        here = slice(shard.first_index, shard.first_index + len(shard.pairs))
        for number, model in enumerate(models):
            mine = np.flatnonzero(fold[here] == number) + shard.first_index
            margin[mine] = head.margins(model, columns.x[mine], columns.domain[mine])
    return margin


def _rounds(signals: Signals, said: Answers, config: RunConfig, budget: int, answer: Answerer):
    """Triage and people in turn until the budget is spent, then triage once more."""
    pairs = len(signals.label)
    last = plan.rounds(config, pairs, budget)
    for round_ in range(1, last + 2):
        ask = plan.ask_in_round(config, pairs, budget, int(said.votes.sum()), round_, last)
        decided = rounds.triage_posterior(signals, said, config, round_, ask)
        if round_ <= last:
            said = _joined(said, _asked(decided.asked.pair, decided.asked.audit, answer))
    return said, decided, last


def _asked(pair: Array, audit: Array, answer: Answerer) -> Answers:
    given = [answer(int(index), 0) for index in pair]
    p_first = np.array([np.nan if choice is None else P_FIRST[choice] for choice in given])
    return Answers(pair.astype(np.int64), p_first, audit, np.array([choice is not None for choice in given], np.int64))


def _joined(one: Answers, other: Answers) -> Answers:
    return Answers(*(np.concatenate([getattr(one, f), getattr(other, f)]) for f in ("pair", "p_first", "audit", "votes")))


def _final(columns: Columns, p_first: Array, weight: Array, decided: rounds.Round, said: Answers, config: RunConfig) -> head.Head:
    """The head that the run leaves behind."""
    p_first, weight = p_first.copy(), weight.copy()
    if decided.trust >= TRUST_THE_POSTERIOR:
        p_first, weight = decided.target.astype(float), np.ones(len(p_first))
    known = ~np.isnan(said.p_first)
    p_first[said.pair[known]], weight[said.pair[known]] = said.p_first[known], config.human_weight
    return head.fit_head(columns.x, p_first, weight, columns.domain)
