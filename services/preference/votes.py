"""A question's votes: what they come to together, and without those of some persons. Pure."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeAlias

from concord.kit.errors import InvalidInput
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import TaskOutcome, TaskResolved
from concord.v1.pairs_pb2 import Choice

Outcome: TypeAlias = tuple[TaskOutcome.ValueType, Choice.ValueType]

# Votes that go by no person's name: taken over from an earlier run, of a line of a file that names nobody, or skipped for nobody.
_NOBODY = re.compile(r"(reused|file|nobody)-\d+")


def majority(choices: Sequence[Choice.ValueType], skipped: bool) -> Outcome:
    """How a question ends: by the most frequent answer, as a tie where there is none, in silence where nobody answered.

    `skipped`: whether somebody who was asked could not say.
    """
    if not choices:
        silent = TaskOutcome.TASK_OUTCOME_SKIPPED if skipped else TaskOutcome.TASK_OUTCOME_EXPIRED
        return silent, Choice.CHOICE_UNSPECIFIED
    ranked = Counter(choices).most_common()
    best = ranked[0][0]
    if best == Choice.CHOICE_TIE or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return TaskOutcome.TASK_OUTCOME_TIE, Choice.CHOICE_TIE
    return TaskOutcome.TASK_OUTCOME_DECIDED, best


def check(config: RunConfig) -> None:
    """Refuses a third opinion, and settled questions to be asked again, where there is no second opinion. Raises InvalidInput."""
    if config.most_votes and config.quorum < 2:
        raise InvalidInput(
            f"most_votes {config.most_votes}: with a quorum of {config.quorum} nobody can disagree; ask two: --quorum 2"
        )
    if config.gold_share and config.quorum < 2:
        raise InvalidInput(
            f"gold {config.gold_share:g}: only what two people agree on is sure enough; with a quorum of {config.quorum} nothing "
            "is: --quorum 2"
        )
    if 0 < config.most_votes < config.quorum:
        raise InvalidInput(
            f"most_votes {config.most_votes} is below the quorum of {config.quorum}; leave it out, or name more"
        )


def undecided(choices: Sequence[Choice.ValueType]) -> bool:
    """Whether two or more answers have no most frequent one among them: another vote may decide."""
    ranked = Counter(choices).most_common(2)
    return len(ranked) > 1 and ranked[0][1] == ranked[1][1]


def by_person(task: TaskResolved) -> list[tuple[str, Choice.ValueType]]:
    """(who, what) of each vote; the name is empty where it is not on record, or is nobody's."""
    said = list(task.choices) or [task.choice] * len(task.annotation_ids)
    known = len(task.annotators) == len(said) == len(task.annotation_ids)
    names = list(task.annotators) if known else [""] * len(said)
    return [("" if _NOBODY.fullmatch(name) else name, choice) for name, choice in zip(names, said, strict=True)]


def heard(task: TaskResolved, without: Collection[str]) -> TaskResolved:
    """The settled question as if these annotators had not been able to say anything; itself where none of them was asked."""
    people = by_person(task)
    kept = [at for at, (who, _) in enumerate(people) if who not in without]
    if len(kept) == len(people):
        return task
    said, counted = [people[at][1] for at in kept], task.counted or len(people)
    out = TaskResolved(pair_index=task.pair_index, annotation_ids=[task.annotation_ids[at] for at in kept])
    out.annotators.extend(task.annotators[at] for at in kept)
    out.outcome, out.choice = majority(said[:counted], skipped=True)
    out.choices.extend(said if len(said) > 1 else ())
    out.counted = counted if len(said) > counted else 0
    return out
