"""One model's answers beside another's to the same prompts: win rates, and satisfaction with them. Pure.

An order that turns a verdict makes it a tie, and a tie is half a win for both. The length-controlled win rate is what a logistic
model of the verdicts says of answers of equal length (Dubois et al. 2024, arXiv 2404.04475, without its term for how hard a prompt
is): a judge that loves length otherwise lets the longer-winded model win; its interval is the bootstrap over prompts.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from concord.preference.wilson import wilson
from concord.report import measures
from concord.report.history import History
from concord.report.measures import Alarm, Measures
from concord.report.satisfaction import known_good
from concord.report.shares import share_of
from concord.v1.pairs_pb2 import Choice

Array = np.ndarray
# Of fewer prompts nothing is said.
LEAST = 10
DRAWS = 400
# The weak prior of the length-controlled model: it only keeps what separates perfectly from infinity.
_PRECISION = np.array([0.01, 0.01])
_SCORES = {Choice.CHOICE_FIRST: 1.0, Choice.CHOICE_SECOND: 0.0, Choice.CHOICE_TIE: 0.5}


@dataclass(frozen=True)
class Rate:
    """A win rate in [0, 1], above one half where the model is preferred, with its 95 % interval."""

    of: int  # verdicts
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Contest:
    """`model` against `against`."""

    model: str
    against: str
    pairs: int
    # Prompts whose candidates gave no pair: both models said nearly the same, or one of them nothing that could be used.
    without_pair: int
    says: str  # who wins by the judge's verdicts, in words; empty where it gave too few
    judge: Rate | None
    judge_at_equal_length: Rate | None
    people: Rate | None  # answers on pairs drawn at random, blind to who wrote them
    longer: float | None  # share of the pairs in which `model` has the longer answer
    satisfaction: Measures
    against_satisfaction: Measures
    # Its answers are preferred and fewer of them are good.
    alarm: Alarm | None


@dataclass(frozen=True, eq=False)
class Answers:
    """Pairs of two models' answers; all shapes [pairs]."""

    is_first: Array  # bool, whether the model's own answer is the first
    judge: Array  # what the judge says of the first answer, as `judged` has it
    people: Array  # the same of people who were asked at random
    length: Array  # log characters of the first minus the second
    good_first: Array  # 1 correct and acceptable, 0 not, NaN not known
    good_second: Array


def contests(history: History) -> tuple[Contest, ...]:
    """Every two models whose answers stand in pairs of the dataset, in the order in which the run names them."""
    rows = history.rows
    if rows is None:
        return ()
    names = [model.name for model in history.created.config.generators]
    names += sorted({*map(str, rows.first_model), *map(str, rows.second_model)} - {*names, ""})
    found = (
        _contest(history, model, against) for at, model in enumerate(names) for against in names[at + 1 :] if model
    )
    return tuple(one for one in found if one is not None)


def _contest(history: History, model: str, against: str) -> Contest | None:
    rows = history.rows
    assert rows is not None
    first = (rows.first_model == model) & (rows.second_model == against)
    second = (rows.second_model == model) & (rows.first_model == against)
    at = rows.index[first | second]
    if len(at) < LEAST:
        return None
    labels = history.labels
    good_first, good_second = (side[at] for side in known_good(history))
    said = Answers(
        is_first=first[first | second],
        judge=judged(labels.choice[at], labels.order_flipped[at]),
        people=_people(history)[at],
        length=labels.length_difference[at],
        good_first=good_first,
        good_second=good_second,
    )
    return compared(model, against, said, sum(shard.without_pair for shard in history.generated))


def judged(choice: Array, order_flipped: Array) -> Array:
    """The first answer's scores by these verdicts: 1 it wins, 0 it loses, 1/2 a tie or a verdict that an order turns, NaN none."""
    score = np.vectorize(_SCORES.get, otypes=[float])(choice, np.nan)
    score[(order_flipped == 1) & ~np.isnan(score)] = 0.5
    return score


def compared(model: str, against: str, said: Answers, without_pair: int) -> Contest:
    """What comes of these pairs; `without_pair`: prompts whose answers gave none."""
    is_first = said.is_first
    length = np.where(is_first, 1, -1) * said.length
    judge = mine(said.judge, is_first)
    good, its = (
        np.where(is_first, said.good_first, said.good_second),
        np.where(is_first, said.good_second, said.good_first),
    )
    satisfied = (_measures(good, judge), _measures(its, 1 - judge))
    rate, fair = rated(judge), at_equal_length(judge, length)
    return Contest(
        model=model,
        against=against,
        pairs=len(is_first),
        without_pair=without_pair,
        says=says(model, against, rate, fair) if rate else "",
        judge=rate,
        judge_at_equal_length=fair,
        people=rated(mine(said.people, is_first)),
        longer=float((length[length != 0] > 0).mean()) if (length != 0).any() else None,
        satisfaction=satisfied[0],
        against_satisfaction=satisfied[1],
        alarm=measures.alarm(satisfied[1], satisfied[0]),
    )


def says(model: str, against: str, rate: Rate, fair: Rate | None) -> str:
    """Who wins by this rate, in words; `fair`: the rate at equal length, where it is known."""
    at_length = f", {fair.rate:.1%} at equal length" if fair else ""
    return f"{model} wins against {against} on {rate.rate:.1%} ({rate.low:.1%} to {rate.high:.1%}) of {rate.of:,}{at_length}"


def score_of(choice: int) -> float:
    """The first answer's score by what people said in the end; what is neither is a tie."""
    return _SCORES.get(choice, 0.5)


def mine(first: Array, is_first: Array) -> Array:
    """The model's score from the first answer's; NaN stays."""
    return np.where(is_first, first, 1 - first)


def _people(history: History) -> Array:
    """What people said of pairs that were drawn at random: 1 the first, 0 the second, 1/2 a tie, NaN not asked; [pairs]."""
    said = np.full(history.pairs, np.nan)
    for answer in history.answers:
        if answer.uniform and answer.given and not answer.set_aside:
            said[answer.pair] = score_of(answer.choice)
    return said


def _measures(good: Array, score: Array) -> Measures:
    told, decided = good[~np.isnan(good)], score[np.isin(score, (0.0, 1.0))]
    return Measures(share_of(int(told.sum()), len(told)), share_of(int(decided.sum()), len(decided)))


def rated(score: Array) -> Rate | None:
    """The mean of what is known of the scores; None where that are too few."""
    known = score[~np.isnan(score)]
    if len(known) < LEAST:
        return None
    # Wilson's, as if no verdict were a tie: with ties it is a little too wide.
    return Rate(len(known), float(known.mean()), *wilson(float(known.sum()), len(known)))


def at_equal_length(score: Array, length: Array) -> Rate | None:
    """What the verdicts would be if both answers were equally long; None where lengths do not vary."""
    from concord.reward.logistic import fit  # here: scipy is a quarter of a second that most reports should not wait

    known = ~np.isnan(score)
    spread = length[known].std() if known.sum() >= LEAST else 0.0
    if not spread:
        return None
    target = score[known]
    x = np.column_stack([np.ones(len(target)), np.tanh(length[known] / spread)])
    mean = np.zeros(2)
    found = fit(x, target, np.ones(len(target)), mean, _PRECISION)
    drawn = [fit(x, target, weight, mean, _PRECISION, found)[0] for weight in _draws(len(target))]
    low, high = np.quantile(_sigmoid(np.array(drawn)), (0.025, 0.975))
    return Rate(len(target), float(_sigmoid(found[0])), float(low), float(high))


def _sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


@cache
def _draws(prompts: int) -> Array:
    """How often each prompt is drawn, [DRAWS, prompts]; always the same, so that a report is."""
    return np.random.default_rng(prompts).multinomial(prompts, np.full(prompts, 1 / prompts), DRAWS).astype(float)
