"""People who answer the same questions, honestly or not: drawn questions of uneven difficulty, two persons each. A simulation."""

from dataclasses import dataclass

import numpy as np

from concord.report.alike import FALSE_ALARM, SLACK, alike
from concord.v1.events_pb2 import TaskResolved
from concord.v1.pairs_pb2 import Choice

FIRST, SECOND = Choice.CHOICE_FIRST, Choice.CHOICE_SECOND
NAMES = "abcdefghijkl"


@dataclass(frozen=True)
class Crew:
    """How often each errs on a question of middling difficulty, and what `a` and `b` do together."""

    errs: tuple[float, ...]
    copies: float = 0.0  # of `b`'s answers are `a`'s, where both are asked
    taste: float = 0.0  # of both's answers follow a rule of their own (say, the longer one) and no truth
    questions: int = 600


ALIKE, UNEVEN = (0.1,) * 5, (0.02, 0.03, 0.2, 0.2, 0.25)
HONEST = {
    "five of 10 %": Crew(ALIKE),
    "two able ones among three weak ones": Crew(UNEVEN),
    "twelve of 5 to 30 %": Crew(tuple(np.linspace(0.05, 0.3, 12).tolist()), questions=2_000),
    "three of 10 %": Crew((0.1,) * 3, questions=300),
}
COLLUDING = {
    "one copies all": Crew(ALIKE, copies=1.0),
    "one copies six of ten": Crew(ALIKE, copies=0.6),
    "an able one is copied": Crew(UNEVEN, copies=1.0),
    "a weak one is copied": Crew((0.25, 0.25, 0.1, 0.1, 0.1), copies=1.0),
    "both follow one rule": Crew(ALIKE, taste=1.0),
    "both follow one rule on half": Crew(ALIKE, taste=0.5),
    "one of twelve copies": Crew(tuple(np.linspace(0.1, 0.3, 12).tolist()), copies=1.0, questions=2_000),
    "one of three copies, 300 questions": Crew((0.1,) * 3, copies=1.0, questions=300),
}


def answers_of(crew: Crew, seed: int) -> tuple[list[TaskResolved], dict[int, int]]:
    """The questions as they were settled, two persons drawn for each, and the judge's labels."""
    draw = np.random.default_rng(seed)
    tasks, label = [], {}
    for pair in range(crew.questions):
        right, ruled = draw.random() < 0.5, draw.random() < 0.5
        # Questions differ: on a hard one everybody errs more, up to a coin.
        hard = draw.beta(1, 2)
        who = draw.choice(len(crew.errs), 2, replace=False)
        follows = draw.random() < crew.taste
        said = {}
        for one in sorted(who):
            errs = crew.errs[one] + (0.5 - crew.errs[one]) * hard**2
            said[one] = ruled if one < 2 and follows else right ^ (draw.random() < errs)
        if set(said) == {0, 1} and draw.random() < crew.copies:
            said[1] = said[0]
        label[pair] = FIRST if right ^ (draw.random() < 0.15 + 0.35 * hard) else SECOND
        task = TaskResolved(pair_index=pair, annotation_ids=["x", "y"], annotators=[NAMES[one] for one in said])
        task.choices.extend(FIRST if first else SECOND for first in said.values())
        tasks.append(task)
    return tasks, label


def named(crew: Crew, seed: int, slack: float = SLACK, false_alarm: float = FALSE_ALARM) -> tuple[bool, bool]:
    """Whether `a` and `b` are named, and whether anybody else is."""
    found = {(one.one, one.other) for one in alike(*answers_of(crew, seed), slack, false_alarm)}
    return ("a", "b") in found, bool(found - {("a", "b")})
