"""What people said so far, read from the manifests of the closed human stages. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import StageManifest, TaskOutcome
from concord.v1.pairs_pb2 import Choice

Array = np.ndarray
P_FIRST = {Choice.CHOICE_FIRST: 1.0, Choice.CHOICE_SECOND: 0.0, Choice.CHOICE_TIE: 0.5}


@dataclass(frozen=True, eq=False)
class Answers:
    """One row for each pair that was asked; all shapes [answers], each pair at most once."""

    pair: Array  # int64, index in the run
    p_first: Array  # 1 the first is better, 0 the second, 0.5 a tie, NaN nobody could say
    audit: Array  # bool, the pair was drawn uniformly
    votes: Array  # int64, annotations counted


def read(manifests: Iterable[StageManifest]) -> Answers:
    """The answers of these stages, in the order in which the pairs were asked."""
    pair, p_first, audit, votes = [], [], [], []
    for manifest in manifests:
        for event in manifest.events:
            task = event.task_resolved
            silent = task.outcome in (TaskOutcome.TASK_OUTCOME_SKIPPED, TaskOutcome.TASK_OUTCOME_EXPIRED)
            pair.append(task.pair_index)
            p_first.append(float("nan") if silent else P_FIRST[task.choice])
            audit.append(manifest.audit[event.unit.number])
            votes.append(len(task.annotation_ids))
    columns = (np.array(pair, np.int64), np.array(p_first, float), np.array(audit, bool), np.array(votes, np.int64))
    return Answers(*columns)


def known(config: RunConfig, annotation_uris: Iterable[str], manifest: Callable[[str], StageManifest]) -> Answers:
    """What people said in this run, in the stages of these manifests, and before it in those that it goes on from.

    On a pair that was asked about again the last word counts. An earlier run's answers come first and audit nothing: they
    were drawn from other pairs; those of its pairs on which nobody could say anything are as good as never asked.
    """
    own = read(map(manifest, annotation_uris))
    if not config.parent.annotation_uris:
        return own
    taken = taken_over(config, manifest)
    new = ~np.isin(taken.pair, own.pair)
    return Answers(
        pair=np.concatenate([taken.pair[new], own.pair]),
        p_first=np.concatenate([taken.p_first[new], own.p_first]),
        audit=np.concatenate([taken.audit[new], own.audit]),
        votes=np.concatenate([taken.votes[new], own.votes]),
    )


def taken_over(config: RunConfig, manifest: Callable[[str], StageManifest]) -> Answers:
    """What people said in the runs that this one goes on from; without audits and without pairs nobody decided on."""
    said = read(map(manifest, config.parent.annotation_uris))
    decided = np.flatnonzero(~np.isnan(said.p_first))
    # The last one of each pair: a run that went on from another may have asked again.
    _, from_behind = np.unique(said.pair[decided][::-1], return_index=True)
    at = decided[np.sort(len(decided) - 1 - from_behind)]
    return Answers(said.pair[at], said.p_first[at], np.zeros(len(at), bool), said.votes[at])
