"""Whose labels a reward model learns from: targets and weights for every pair of the run. PURE."""

import numpy as np

from concord.preference.annotations import Answers
from concord.preference.folds import drawn_subset
from concord.v1.config_pb2 import RunConfig
from concord.v1.work_pb2 import Teacher

Array = np.ndarray
# P(first is better) in [0, 1] and the weight, both float [pairs]; weight 0: the pair does not teach.
Lesson = tuple[Array, Array]
# From this stage of trust on the corrected labels teach the final head; below, the judge's do.
TRUST_THE_POSTERIOR = 2


def lesson(
    judge: Lesson,
    teacher: "Teacher.ValueType",
    config: RunConfig,
    chosen: Lesson | None,
    said: Answers,
    human_weight: float,
) -> Lesson:
    """What the next reward model learns.

    `judge`: the judge's labels; `chosen`: what the last triage chose, None before the first; `said`: people's answers,
    each counting `human_weight` times. For TEACHER_TRIAGE before the first triage the judge's labels on the subset teach.
    """
    p_first, weight = judge
    if teacher == Teacher.TEACHER_UNSPECIFIED:
        return judge
    if teacher == Teacher.TEACHER_PEOPLE:
        weight = np.zeros(len(weight))
    elif chosen is not None:
        p_first, weight = chosen
    else:
        weight = weight * drawn_subset(len(weight), config.rlthf.subset_share, config.seed)
    return _overlaid(p_first, weight, said, human_weight)


def final_lesson(judge: Lesson, target: Array | None, trust: int, said: Answers, human_weight: float) -> Lesson:
    """Soft targets once they are trusted, else the judge's labels; people's answers in their place."""
    p_first, weight = judge
    if target is not None and trust >= TRUST_THE_POSTERIOR:
        p_first, weight = target, np.ones(len(target))
    return _overlaid(p_first, weight, said, human_weight)


def _overlaid(p_first: Array, weight: Array, said: Answers, human_weight: float) -> Lesson:
    """People's answers in place of whatever stands there, in copies."""
    p_first, weight = p_first.astype(float), weight.astype(float)
    known = ~np.isnan(said.p_first)
    p_first[said.pair[known]], weight[said.pair[known]] = said.p_first[known], human_weight
    return p_first, weight
