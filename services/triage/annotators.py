"""Whether one of the annotators answers against the labels more often than the others do, and too often for luck. PURE.

Nobody knows which answers are right. But questions are handed out as people come, so on labels of which the run is as sure the
same share of everybody's answers is against them, whatever the judge's taste. Labels are those that the run would give without
the answer. Who errs somewhat more often than the others stays: the others are taken as if they tossed a coin for one answer in
three. What is weighed is how much likelier somebody's answers are if he errs more than that; such odds hold at every look.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from concord.preference.annotations import Votes

Array = np.ndarray

# Answers that compare, of one and of all others together: fewer prove nothing.
LEAST = 10
# P(somebody is named who errs no more than that), in a whole run; shared by those who are compared.
FALSE_ALARM = 0.001
# Of the others' answers are taken for coins: who errs so much more than they do is less able, and worth having.
COIN = 1 / 3
# Of two persons who contradict each other nobody can say which one is wrong.
FEWEST = 3
# Answers on labels of equal doubt compare: so many parts, of as many answers each; the surer half of them shows it best.
_PARTS = 4
# How often the others may be against a label, and how often somebody errs beyond them: 1 always, 0.5 a coin.
_USUAL = np.linspace(0, 0.5, 27)[1:]
_ERRS = np.linspace(COIN / 2, 1, 12)
_SUREST_LOG = 500.0


@dataclass(frozen=True)
class Deviation:
    """One annotator who deviates, and the others who do not, on the surer half of the labels."""

    annotator: str
    answers: int
    against: int  # the labels
    others_answers: int
    others_against: int
    set_aside: bool


@dataclass(frozen=True, eq=False)
class _Compared:
    """Answers that compare; all shapes [answers]."""

    annotator: Array
    against: Array  # bool
    stratum: Array  # int: only answers of the same one compare; the lower, the surer the labels


def deviations(votes: Votes, label: Array, p_error: Array, before: Sequence[str] = ()) -> tuple[Deviation, ...]:
    """Who deviates; first those of `before`, who stay set aside whatever they said since.

    label [pairs]: P(the first is better) without the pair's own answer, 0.5 for none; p_error [pairs]: P(it is wrong), likewise.
    """
    looked = _compared(votes, label, p_error)
    aside, alarmed = list(before), ""
    while True:
        names = _enough_said(looked, aside)
        odds = {name: _odds(looked, name, aside) for name in names}
        worst = max(odds, key=lambda name: (odds[name], name), default="")
        if not worst or odds[worst] < len(names) / FALSE_ALARM:
            break
        if len(names) < FEWEST:
            alarmed = worst
            break
        aside.append(worst)
    found = [_told(looked, name, aside, set_aside=True) for name in aside]
    return (*found, _told(looked, alarmed, aside, set_aside=False)) if alarmed else tuple(found)


def _compared(votes: Votes, label: Array, p_error: Array) -> _Compared:
    said, doubt = label[votes.pair], np.round(p_error[votes.pair].astype(float), 4)
    fits = (votes.annotator != "") & np.isin(votes.p_first, (0.0, 1.0)) & (said != 0.5) & ~np.isnan(doubt)
    cuts = np.quantile(doubt[fits], np.arange(1, _PARTS) / _PARTS, method="lower") if fits.any() else np.zeros(0)
    # Random questions and chosen ones apart: whoever came early had other ones.
    stratum = 2 * np.searchsorted(cuts, doubt) + votes.audit
    return _Compared(votes.annotator[fits], (votes.p_first != said)[fits], stratum[fits])


def _enough_said(looked: _Compared, aside: Collection[str]) -> list[str]:
    """Who can be compared: where he and all others together said enough."""
    names, counts = np.unique(looked.annotator, return_counts=True)
    said = {str(name): int(count) for name, count in zip(names, counts, strict=True) if name not in aside}
    return [name for name, count in said.items() if min(count, sum(said.values()) - count) >= LEAST]


def _odds(looked: _Compared, name: str, aside: Collection[str]) -> float:
    """How much likelier this one's answers are if he errs more, by any amount, than if he did as the others with some coins."""
    mine, others = looked.annotator == name, ~np.isin(looked.annotator, [name, *aside])
    log_odds = np.zeros(len(_ERRS) - 1)
    # At least a coin's worth of every label is right: who is against them less often than others is no reason to name these.
    p = _USUAL + (1 - 2 * _USUAL) * _ERRS[:, None]
    for stratum in np.unique(looked.stratum[mine]):
        here = looked.stratum == stratum
        # How sure the labels are is known from the others' answers, and no better than these tell.
        usual = _log_likely(looked.against[others & here], _USUAL)
        likely = logsumexp(usual + _log_likely(looked.against[mine & here], np.minimum(p, 1 - 1e-9)), axis=1)
        log_odds += likely[1:] - likely[0]
    return float(np.exp(np.minimum(log_odds, _SUREST_LOG)).mean())


def _log_likely(against: Array, p: Array) -> Array:
    """The logarithm of P(these answers) for each P(against) in p."""
    count = int(against.sum())
    return np.asarray(count * np.log(p) + (len(against) - count) * np.log(1 - p))


def _told(looked: _Compared, name: str, aside: Collection[str], set_aside: bool) -> Deviation:
    sure = looked.stratum < _PARTS
    mine, others = looked.annotator == name, ~np.isin(looked.annotator, [name, *aside])
    return Deviation(
        annotator=name,
        answers=int((mine & sure).sum()),
        against=int(looked.against[mine & sure].sum()),
        others_answers=int((others & sure).sum()),
        others_against=int(looked.against[others & sure].sum()),
        set_aside=set_aside,
    )
