"""What people said so far, read from the manifests of the closed human stages. Pure."""
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

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
    votes: Array  # int64, judgements counted


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
            votes.append(len(task.judgement_ids))
    columns = (np.array(pair, np.int64), np.array(p_first, float), np.array(audit, bool), np.array(votes, np.int64))
    return Answers(*columns)
