"""Which stages a run has, in which order: a value that its method gives. Pure.

A method is one entry of PLANS. The loop asks only for the tuple; no `if method ==` stands anywhere else.
"""

from collections.abc import Callable, Sequence

from concord.preference.budget import pilot_size, rounds
from concord.preference.methods import ASK_NOBODY
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage
from concord.v1.work_pb2 import Teacher

Step = tuple[int, int]

PILOT = ((Stage.STAGE_PILOT_LABEL, 0), (Stage.STAGE_PILOT_ANNOTATE, 0))
LABELS = ((Stage.STAGE_LABEL, 0), (Stage.STAGE_FIT_FEATURES, 0), (Stage.STAGE_FEATURES, 0))
HEAD = ((Stage.STAGE_TRAIN, 1), (Stage.STAGE_SCORE, 1))
END = ((Stage.STAGE_FINAL, 0), (Stage.STAGE_DATASET, 0))


def none(config: RunConfig, rounds_: int) -> tuple[Step, ...]:
    """The judge's labels as they are."""
    return (*LABELS, *END)


def random(config: RunConfig, rounds_: int) -> tuple[Step, ...]:
    """People see pairs drawn at random."""
    return (*LABELS, *_rounds(rounds_), *END)


def posterior(config: RunConfig, rounds_: int) -> tuple[Step, ...]:
    """The AI head once, then triage and people in turn, then triage once more to take in the last answers."""
    return (*LABELS, *HEAD, *_rounds(rounds_), (Stage.STAGE_TRIAGE, rounds_ + 1), *END)


def longest(config: RunConfig, rounds_: int) -> tuple[Step, ...]:
    """The longer response wins; nobody is asked."""
    return (*LABELS, (Stage.STAGE_TRIAGE, 1), *END)


def by_margin(config: RunConfig, rounds_: int) -> tuple[Step, ...]:
    """The AI head once; people see the pairs where its margins send them, and correct just those."""
    return (*LABELS, *HEAD, *_rounds(rounds_), *END)


def human_only(config: RunConfig, rounds_: int) -> tuple[Step, ...]:
    """People see pairs drawn at random; a head that they alone taught labels the rest."""
    last = rounds_ + 1
    return (*LABELS, *_rounds(rounds_), *_head(last), (Stage.STAGE_TRIAGE, last), *END)


def rlthf(config: RunConfig, rounds_: int) -> tuple[Step, ...]:
    """A fresh head in each round, whose curve sends people; the last head labels the whole corpus."""
    turns = [(*_head(r), (Stage.STAGE_TRIAGE, r), (Stage.STAGE_ANNOTATE, r)) for r in range(1, rounds_ + 1)]
    last = rounds_ + 1
    return (*LABELS, *(step for turn in turns for step in turn), *_head(last), (Stage.STAGE_TRIAGE, last), *END)


def _head(round_: int) -> tuple[Step, ...]:
    return (Stage.STAGE_TRAIN, round_), (Stage.STAGE_SCORE, round_)


def _rounds(count: int) -> tuple[Step, ...]:
    pairs = [((Stage.STAGE_TRIAGE, r), (Stage.STAGE_ANNOTATE, r)) for r in range(1, count + 1)]
    return tuple(step for pair in pairs for step in pair)


PLANS: dict[str, Callable[[RunConfig, int], tuple[Step, ...]]] = {
    "none": none,
    "longest": longest,
    "random": random,
    "all-human": random,
    "human-only": human_only,
    "margin": by_margin,
    "cleanlab": by_margin,
    "rlthf": rlthf,
    "posterior": posterior,
}
# Whose labels the heads are trained on, where it is not the judge.
TEACHERS = {"human-only": Teacher.TEACHER_PEOPLE, "rlthf": Teacher.TEACHER_TRIAGE}


def stages(config: RunConfig, pairs: int, budget: int, opened: Sequence[Step] = ()) -> tuple[Step, ...]:
    """The run's whole plan. What is opened stays: a budget that changes moves only the rounds that are still ahead."""
    begun = sum(stage == Stage.STAGE_ANNOTATE for stage, _ in opened)
    closing = any(stage == Stage.STAGE_FINAL for stage, _ in opened)
    count = begun if closing else max(begun, rounds(config, pairs, budget))
    gated = PILOT[0] in opened if opened else _asks(config) and pilot_size(config, pairs, budget) > 0
    pilot = PILOT if gated else ()
    # A triage whose people are still ahead when the budget shrinks keeps its round; a head that labels the rest is not
    # taken back when the budget grows.
    plans = [(*pilot, *PLANS[config.method](config, number)) for number in (count, count + 1, begun)]
    return next((plan for plan in plans if plan[: len(opened)] == tuple(opened)), plans[1])


def _asks(config: RunConfig) -> bool:
    return config.method not in ASK_NOBODY
