"""What a method is: one value for each. Pure.

A method says which stages a run has, whose labels teach its reward models, whom it asks, and how it is told to people.
Nothing else in the tree asks which method a run has by its name; which rule decides a round of it stands in
`triage/service.py`, as triage alone knows rules.
"""

from collections.abc import Callable
from dataclasses import dataclass

from concord.preference.stages import Step
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage
from concord.v1.work_pb2 import Teacher

# Rounds → the stages between the pilot and the end, in order.
Plan = Callable[[int], tuple[Step, ...]]

PILOT = ((Stage.STAGE_PILOT_LABEL, 0), (Stage.STAGE_PILOT_ANNOTATE, 0))
# What chooses the pairs, in a run that asks for it: on a basis of all responses, by the responses alone.
SELECTION = ((Stage.STAGE_FIT_FEATURES, 0), (Stage.STAGE_EMBED, 0), (Stage.STAGE_SELECT, 0))
# What makes the pairs of a run that begins with prompts.
GENERATION = ((Stage.STAGE_GENERATE, 0),)
LABELS = ((Stage.STAGE_LABEL, 0), (Stage.STAGE_FIT_FEATURES, 0), (Stage.STAGE_FEATURES, 0))
END = ((Stage.STAGE_FINAL, 0), (Stage.STAGE_DATASET, 0))
# What becomes of the dataset, in a run that asks for it.
ALIGNMENT = ((Stage.STAGE_POLICY, 0),)
# And of the policy: whether it is better than what it began as, by the reward model and by the judge.
EVALUATION = ((Stage.STAGE_SCORE_POLICY, 0), (Stage.STAGE_EVALUATE, 0))
# And by a few people.
BY_PEOPLE = ((Stage.STAGE_ANNOTATE_POLICY, 0),)


def _head(round_: int) -> tuple[Step, ...]:
    """Reward models, and what they give each pair."""
    return (Stage.STAGE_TRAIN, round_), (Stage.STAGE_SCORE, round_)


def _asking(rounds: int) -> tuple[Step, ...]:
    """Triage and people in turn."""
    turns = [((Stage.STAGE_TRIAGE, r), (Stage.STAGE_ANNOTATE, r)) for r in range(1, rounds + 1)]
    return tuple(step for turn in turns for step in turn)


def _labels_alone(rounds: int) -> tuple[Step, ...]:
    """The judge's labels as they are."""
    return (*LABELS, *END)


def _rule(rounds: int) -> tuple[Step, ...]:
    """One triage, which decides by a rule; nobody is asked."""
    return (*LABELS, (Stage.STAGE_TRIAGE, 1), *END)


def _no_head(rounds: int) -> tuple[Step, ...]:
    """People see pairs drawn at random; no reward model sends them."""
    return (*LABELS, *_asking(rounds), *END)


def _one_head(rounds: int) -> tuple[Step, ...]:
    """The AI head once; people see the pairs where its margins send them, and correct just those."""
    return (*LABELS, *_head(1), *_asking(rounds), *END)


def _one_head_taken_in(rounds: int) -> tuple[Step, ...]:
    """The AI head once, then triage and people in turn, then triage once more to take in the last answers."""
    return (*LABELS, *_head(1), *_asking(rounds), (Stage.STAGE_TRIAGE, rounds + 1), *END)


def _head_at_the_end(rounds: int) -> tuple[Step, ...]:
    """People see pairs drawn at random; a head that they alone taught labels the rest."""
    last = rounds + 1
    return (*LABELS, *_asking(rounds), *_head(last), (Stage.STAGE_TRIAGE, last), *END)


def _head_each_round(rounds: int) -> tuple[Step, ...]:
    """A fresh head in each round, whose curve sends people; the last head labels the whole corpus."""
    turns = [(*_head(r), (Stage.STAGE_TRIAGE, r), (Stage.STAGE_ANNOTATE, r)) for r in range(1, rounds + 1)]
    last = rounds + 1
    return (*LABELS, *(step for turn in turns for step in turn), *_head(last), (Stage.STAGE_TRIAGE, last), *END)


@dataclass(frozen=True)
class Method:
    """One way to spend a human budget."""

    plan: Plan
    # In the report, and beside the name wherever one chooses: "people are asked …".
    words: str
    # Whether people are asked at all; the pilot, too, is for those that do.
    asks: bool = True
    # People see every pair, whatever the budget: it is what the others are compared with, and no choice at their budget.
    asks_all: bool = False
    # Everybody is drawn uniformly, not a share of each batch.
    uniform: bool = False
    # Whose labels its heads are trained on.
    teacher: "Teacher.ValueType" = Teacher.TEACHER_UNSPECIFIED
    # Its reward model labels everything that people did not decide, once it is through: had such a run ended in an earlier
    # round, that round's reward model would have done it.
    labelled_by_model: bool = False
    # Folds where nobody says otherwise. 1: its reward model scores the pairs that it learnt from.
    folds: int = 4
    # Its last triage takes in what people said, so that what the judge says of it may be one more signal.
    learns: bool = False
    # Its labels are known without their own answers, so that these bound the label error while people are still asked.
    bounded: bool = False
    # It decides by what helpers say: without any it is the judge alone.
    of_helpers: bool = False
    # Share of the pairs asked in one round, where nobody says otherwise; of the subset for a method that works on one.
    batch_share: float = 0.01
    # The message of RunConfig that holds settings of this method alone.
    knobs: str = ""


METHODS: dict[str, Method] = {
    "posterior": Method(
        _one_head_taken_in,
        "people are asked where an answer is worth most, and what they say corrects labels that nobody asked about",
        learns=True,
        bounded=True,
    ),
    "posterior-random": Method(
        _one_head_taken_in,
        "people are asked about pairs drawn at random, and what they say corrects labels that nobody asked about",
        learns=True,
        bounded=True,
    ),
    "rlthf": Method(
        _head_each_round,
        "as published: a reward model's own reward distribution shows which labels to flip and which to ask about",
        teacher=Teacher.TEACHER_TRIAGE,
        labelled_by_model=True,
        folds=1,
        batch_share=0.04,
        knobs="rlthf",
    ),
    "random": Method(_no_head, "people are asked about pairs drawn at random", uniform=True, bounded=True),
    "margin": Method(_one_head, "people are asked where the reward model's margin is smallest"),
    "cleanlab": Method(_one_head, "people are asked where the reward model contradicts the judge most"),
    "human-only": Method(
        _head_at_the_end,
        "people are asked about pairs drawn at random, and a reward model that they alone taught labels the rest",
        uniform=True,
        teacher=Teacher.TEACHER_PEOPLE,
        labelled_by_model=True,
    ),
    "longest": Method(_rule, "the longer response wins, whatever the judge says", asks=False),
    "better-judge": Method(_rule, "the best of the helpers labels, and nobody is asked", asks=False, of_helpers=True),
    "all-human": Method(_no_head, "people are asked about every pair", asks_all=True, uniform=True),
    "none": Method(_labels_alone, "the judge's labels as they are", asks=False),
}
# Those that make sense at one budget beside each other.
COMPARED = tuple(name for name, method in METHODS.items() if not method.asks_all)


def asks(config: RunConfig) -> bool:
    """Whether the run's method asks people; of one that this version does not know, nothing is known."""
    return config.method in METHODS and METHODS[config.method].asks
