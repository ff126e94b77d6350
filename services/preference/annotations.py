"""What people said so far, read from the manifests of the closed human stages. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, StageManifest, TaskOutcome
from concord.v1.pairs_pb2 import Choice

Array = np.ndarray
_NOT_SAID = np.zeros(0)
P_FIRST = {Choice.CHOICE_FIRST: 1.0, Choice.CHOICE_SECOND: 0.0, Choice.CHOICE_TIE: 0.5}


def _not_said() -> Array:
    return _NOT_SAID


@dataclass(frozen=True, eq=False)
class Answers:
    """One row for each pair that was asked; all shapes [answers], each pair at most once."""

    pair: Array  # int64, index in the run
    p_first: Array  # 1 the first is better, 0 the second, 0.5 a tie, NaN nobody could say
    audit: Array  # bool, the pair was drawn uniformly
    votes: Array  # int64, annotations that made the answer
    round: Array = field(default_factory=_not_said)  # int64, when it was asked: 0 the pilot; below 0 in an earlier run
    p_mean: Array = field(
        default_factory=_not_said
    )  # mean of what each person said, a second one who was asked again included
    split: Array = field(
        default_factory=_not_said
    )  # how far two persons are apart, in [0, 1]; NaN where one alone said anything

    def __post_init__(self) -> None:
        """Who says nothing of these means one round and one person each."""
        usual = {"round": np.zeros(len(self.pair), np.int64), "p_mean": self.p_first}
        for name, column in (usual | {"split": np.full(len(self.pair), np.nan)}).items():
            if getattr(self, name) is _NOT_SAID:
                object.__setattr__(self, name, column)

    def at(self, rows: Array) -> "Answers":
        """Some of them: row numbers or bool [answers]."""
        return Answers(*(column[rows] for column in vars(self).values()))

    def then(self, more: "Answers") -> "Answers":
        """These, and more behind them."""
        mine, theirs = vars(self).values(), vars(more).values()
        return Answers(*(np.concatenate(columns) for columns in zip(mine, theirs, strict=True)))


def read(manifests: Iterable[StageManifest]) -> Answers:
    """The answers of these stages, in the order in which the pairs were asked."""
    rows = [_answer(manifest, event) for manifest in manifests for event in manifest.events]
    kinds = (np.int64, float, bool, np.int64, np.int64, float, float)
    columns = zip(*rows, strict=True) if rows else ((),) * len(kinds)
    return Answers(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def _answer(manifest: StageManifest, event: Event) -> tuple[int, float, bool, int, int, float, float]:
    """One row of `Answers`."""
    task = event.task_resolved
    silent = task.outcome in (TaskOutcome.TASK_OUTCOME_SKIPPED, TaskOutcome.TASK_OUTCOME_EXPIRED)
    p_first = float("nan") if silent else P_FIRST[task.choice]
    said = [P_FIRST[choice] for choice in task.choices if choice in P_FIRST] or [p_first]
    apart = [abs(one - other) for one, other in combinations(said, 2)]
    split = sum(apart) / len(apart) if apart else float("nan")
    counted = min(len(task.annotation_ids), task.counted or len(task.annotation_ids))
    audit = manifest.audit[event.unit.number]
    return task.pair_index, p_first, audit, counted, manifest.round, sum(said) / len(said), split


def known(config: RunConfig, annotation_uris: Iterable[str], manifest: Callable[[str], StageManifest]) -> Answers:
    """What people said in this run, in the stages of these manifests, and before it in those that it goes on from.

    On a pair that was asked about again the last word counts. An earlier run's answers come first and audit nothing: they
    were drawn from other pairs; those of its pairs on which nobody could say anything are as good as never asked.
    """
    own = read(map(manifest, annotation_uris))
    return joined(taken_over(config, manifest), own) if config.parent.annotation_uris else own


def joined(taken: Answers, own: Answers) -> Answers:
    """What was said before and not asked about again, then what was said in this run."""
    return taken.at(~np.isin(taken.pair, own.pair)).then(own)


def taken_over(config: RunConfig, manifest: Callable[[str], StageManifest]) -> Answers:
    """What people said in the runs that this one goes on from; without audits and without pairs nobody decided on."""
    said = read(map(manifest, config.parent.annotation_uris))
    decided = np.flatnonzero(~np.isnan(said.p_first))
    # The last one of each pair: a run that went on from another may have asked again.
    _, from_behind = np.unique(said.pair[decided][::-1], return_index=True)
    at = decided[np.sort(len(decided) - 1 - from_behind)]
    audit, round_ = np.zeros(len(at), bool), np.full(len(at), -1)
    return replace(said.at(at), audit=audit, round=round_)
