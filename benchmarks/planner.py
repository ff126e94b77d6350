"""A run's plan carried out on arrays: the stages of the event loop, in its order, by the same pure functions.

Nothing is kept and nobody is served: what a run makes durable is a local variable here. One run of it gives the very
labels that the services give (`tests/test_planner.py`), so grids of runs need no services.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from concord.preference import annotations
from concord.preference.annotations import Answers, Votes
from concord.preference.budget import ask_in_round, rounds
from concord.preference.folds import fold_of
from concord.preference.methods import METHODS
from concord.reward import head
from concord.reward.targets import Lesson, final_lesson, lesson
from concord.runs import plan
from concord.triage.rounds import Round, RoundContext
from concord.triage.service import RULES, deviations_of
from concord.triage.signals import Signals
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage

Array = np.ndarray
# (pair, vote) -> P(first is better) as a person says it: 1, 0, 0.5 for a tie, NaN for nothing.
Person = Callable[[int, int], float]
# (pair, vote) -> the name of who gives it.
Who = Callable[[int, int], str]
P_FIRST = {**annotations.P_FIRST, None: float("nan")}
NOBODY = Answers(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Known:
    """What a run knows of its pairs before the first round."""

    signals: Signals  # with margins of 0
    judge: Lesson  # the judge's labels as targets and weights
    ridge: float = head.RIDGE  # of the reward heads; it belongs to the features' scale


@dataclass(frozen=True, eq=False)
class Step:
    """Where a run stands after a stage."""

    stage: int
    round: int
    said: Answers
    head: head.Head | None  # the reward model that was trained last
    decided: Round | None  # the last round of triage


def run(
    known: Known, config: RunConfig, budget: int, person: Person, said: Answers = NOBODY, who: Who | None = None
) -> Iterator[Step]:
    """The run's stages from the first reward model on; `said` is what the pilot's people answered. Where it is known `who` gives
    an answer, those of an annotator who deviates are set aside."""
    pairs = len(known.judge[0])
    signals, models, decided = known.signals, [], None
    latest, aside = said, list[str]()
    for stage, round_ in plan.stages(config, pairs, budget):
        if stage == Stage.STAGE_TRAIN:
            models = _trained(known, signals, config, decided, said)
        elif stage == Stage.STAGE_SCORE:
            signals = replace(signals, margin=_scored(models, signals, config.shard_pairs or pairs))
        elif stage == Stage.STAGE_TRIAGE:
            last = rounds(config, pairs, budget)
            places = ask_in_round(config, pairs, budget, int(said.votes.sum()), round_, last)
            turn = RoundContext(decided.target if decided else None, latest if decided else None, round_ > last)
            decided = RULES[config.method](signals, said, config, round_, places, turn)
            found = deviations_of(_votes(said, person, who, config.quorum), decided, signals, aside) if who else ()
            if (names := [one.annotator for one in found if one.set_aside]) != aside:
                assert who is not None
                aside = names
                said = replace(
                    asked(said.pair, said.audit, _heard(person, who, aside), config.quorum), votes=said.votes
                )
                decided = RULES[config.method](signals, said, config, round_, places, turn)
        elif stage == Stage.STAGE_ANNOTATE:
            assert decided is not None
            latest = asked(decided.asked.pair, decided.asked.audit, person, config.quorum)
            if who and aside:
                left = asked(latest.pair, latest.audit, _heard(person, who, aside), config.quorum)
                latest = replace(left, votes=latest.votes)  # whoever is set aside is paid all the same
            said = said.then(latest)
        elif stage == Stage.STAGE_FINAL:
            models = [final_head(known, signals, config, decided, said)]
        yield Step(stage, round_, said, models[0] if models else None, decided)


def _votes(said: Answers, person: Person, who: Who, quorum: int) -> Votes:
    """What each person said of these pairs, whether it is set aside or not."""
    places = [(int(pair), vote) for pair in said.pair for vote in range(max(1, quorum))]
    return Votes(
        np.array([who(*place) for place in places], str),
        np.repeat(said.pair, max(1, quorum)),
        np.array([person(*place) for place in places], float),
        np.repeat(said.audit, max(1, quorum)),
    )


def _heard(person: Person, who: Who, aside: Sequence[str]) -> Person:
    """As if these annotators had not been able to say anything."""
    return lambda pair, vote: float("nan") if who(pair, vote) in aside else person(pair, vote)


def final_head(known: Known, signals: Signals, config: RunConfig, decided: Round | None, said: Answers) -> head.Head:
    """The reward model that a run would leave behind, if it ended here."""
    target, trust = (decided.target, int(decided.trust)) if decided else (None, 0)
    p_first, weight = final_lesson(known.judge, target, trust, said, config.human_weight)
    return head.fit_head(signals.x, p_first, weight, signals.domain, known.ridge)


def _trained(
    known: Known, signals: Signals, config: RunConfig, decided: Round | None, said: Answers
) -> list[head.Head]:
    teacher = METHODS[config.method].teacher
    chosen = (decided.target, decided.weight) if decided is not None and decided.weight is not None else None
    human_weight = (decided.human_weight if decided else 0) or config.human_weight
    p_first, weight = lesson(known.judge, teacher, config, chosen, said, human_weight)
    fold, several = fold_of(signals.group, config.folds), config.folds > 1
    return [
        head.fit_head(signals.x, p_first, weight * (fold != k) if several else weight, signals.domain, known.ridge)
        for k in range(config.folds)
    ]


def _scored(models: list[head.Head], signals: Signals, shard_pairs: int) -> Array:
    """Each pair's margin by the head that did not see its group.

    Shard by shard, as the services do: the last bit of a product depends on how many rows are multiplied at once.
    """
    fold, margin = fold_of(signals.group, len(models)), np.zeros(len(signals.label), np.float32)
    for start in range(0, len(margin), shard_pairs):
        shard = slice(start, start + shard_pairs)
        for number, model in enumerate(models):
            mine = np.flatnonzero(fold[shard] == number) + start
            margin[mine] = head.margins(model, signals.x[mine], signals.domain[mine])
    return margin.astype(float)


def asked(pair: Array, audit: Array, person: Person, quorum: int = 1) -> Answers:
    """What people say of these pairs, `quorum` votes each, of which the majority counts; audit bool [asked]."""
    votes = np.array([[person(int(index), vote) for vote in range(max(1, quorum))] for index in pair], float)
    given = ~np.isnan(votes.reshape(len(pair), -1))
    first, count = np.where(given, votes.reshape(given.shape), 0).sum(axis=1), given.sum(axis=1)
    lead = np.sign(2 * first - count)
    return Answers(pair.astype(np.int64), np.where(count > 0, (1 + lead) / 2, np.nan), audit, count.astype(np.int64))
