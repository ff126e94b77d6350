"""What people said so far, read from the manifests of the closed human stages. Pure."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from concord.preference.votes import by_person, heard
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, StageManifest, TaskOutcome
from concord.v1.pairs_pb2 import Choice
from concord.v1.work_pb2 import Work

Array = np.ndarray
# Reads the manifest that lies under a URI.
Manifest = Callable[[str], StageManifest]
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


@dataclass(frozen=True, eq=False)
class Votes:
    """What each person said, of all who were asked about a pair; all shapes [votes]. Who could not say has none."""

    annotator: Array  # str, empty where it is not on record who said it
    pair: Array  # int64, index in the run
    p_first: Array  # 1 the first is better, 0 the second, 0.5 a tie
    audit: Array  # bool, the pair was drawn uniformly


def read(manifests: Iterable[StageManifest], without: Collection[str]) -> Answers:
    """The answers of these stages, in the order in which the pairs were asked.

    `without`: annotators whose answers are set aside, as if they had not been able to say anything.
    """
    rows = [_answer(manifest, event, without) for manifest in manifests for event in manifest.events]
    kinds = (np.int64, float, bool, np.int64, np.int64, float, float)
    columns = zip(*rows, strict=True) if rows else ((),) * len(kinds)
    return Answers(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def _answer(
    manifest: StageManifest, event: Event, without: Collection[str]
) -> tuple[int, float, bool, int, int, float, float]:
    """One row of `Answers`."""
    task = heard(event.task_resolved, without)
    silent = task.outcome in (TaskOutcome.TASK_OUTCOME_SKIPPED, TaskOutcome.TASK_OUTCOME_EXPIRED)
    p_first = float("nan") if silent else P_FIRST[task.choice]
    said = [P_FIRST[choice] for choice in task.choices if choice in P_FIRST] or [p_first]
    apart = [abs(one - other) for one, other in combinations(said, 2)]
    split = sum(apart) / len(apart) if apart else float("nan")
    counted = min(len(task.annotation_ids), task.counted or len(task.annotation_ids))
    audit = manifest.audit[event.unit.number]
    return task.pair_index, p_first, audit, counted, manifest.round, sum(said) / len(said), split


def votes(work: Work, annotation_uris: Iterable[str], manifest: Manifest) -> Votes:
    """What each person said in this run and in those that it goes on from, also what is set aside."""
    rows = [
        (who, event.task_resolved.pair_index, P_FIRST[choice], stage.audit[event.unit.number])
        for stage in map(manifest, (*work.config.parent.annotation_uris, *annotation_uris))
        for event in stage.events
        for who, choice in by_person(event.task_resolved)
        if choice in P_FIRST
    ]
    columns = zip(*rows, strict=True) if rows else ((),) * 4
    return Votes(*(np.array(c, kind) for c, kind in zip(columns, (str, np.int64, float, bool), strict=True)))


def known(work: Work, annotation_uris: Iterable[str], manifest: Manifest) -> Answers:
    """What people said in this run, in the stages of these manifests, and before it in those that it goes on from; without the
    answers that the work item has set aside.

    On a pair that was asked about again the last word counts. An earlier run's answers come first and audit nothing: they
    were drawn from other pairs; those of its pairs on which nobody could say anything are as good as never asked.
    """
    own, config = read(map(manifest, annotation_uris), work.set_aside), work.config
    return joined(taken_over(config, manifest, work.set_aside), own) if config.parent.annotation_uris else own


def joined(taken: Answers, own: Answers) -> Answers:
    """What was said before and not asked about again, then what was said in this run."""
    return taken.at(~np.isin(taken.pair, own.pair)).then(own)


def taken_over(config: RunConfig, manifest: Manifest, without: Collection[str]) -> Answers:
    """What people said in the runs that this one goes on from; without audits and without pairs nobody decided on."""
    said = read(map(manifest, config.parent.annotation_uris), without)
    decided = np.flatnonzero(~np.isnan(said.p_first))
    # The last one of each pair: a run that went on from another may have asked again.
    _, from_behind = np.unique(said.pair[decided][::-1], return_index=True)
    at = decided[np.sort(len(decided) - 1 - from_behind)]
    audit, round_ = np.zeros(len(at), bool), np.full(len(at), -1)
    return replace(said.at(at), audit=audit, round=round_)
