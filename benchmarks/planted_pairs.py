"""Pairs of made-up texts with a truth that is known, a judge of a given error, a few people, and our posterior of it. Simulated.

A response is words of a small vocabulary, each of which is worth something; the better response has the higher sum. The judge
sees the difference of the two through noise whose size is searched until so many of its labels are wrong, so that it errs more
often where the responses are close, and says how sure it is. People answer right on a share of the pairs. What is believed of
each pair then is `concord.triage.posterior` on these signals, as in a run.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from concord.preference.annotations import Answers
from concord.preference.folds import fold_of
from concord.reward import head
from concord.triage.posterior import posterior
from concord.triage.signals import Signals

Array = np.ndarray
WORDS = 150
LENGTH = (6, 12)
PROMPT = 4
FOLDS = 5
PEOPLE_ASKED = 0.1


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs and what is said of them; arrays [pairs]."""

    prompt: list[list[int]]  # word numbers
    first: list[list[int]]
    second: list[list[int]]
    truth: Array  # bool, the first is better
    label: Array  # bool, the judge says that the first is better; people's answers in its place
    p_first: Array  # our posterior: P(the first is better)
    wrong: float  # share of the judge's labels that are wrong


def worth(seed: int) -> Array:
    """What each word is worth, float [WORDS]."""
    return np.random.default_rng([seed, 1]).standard_normal(WORDS)


def pairs_of(count: int, error: float, seed: int, part: int = 0) -> Pairs:
    """So many pairs; `part` draws others with words of the same worth."""
    draw = np.random.default_rng([seed, part, 2])
    texts = [[draw.integers(0, WORDS, size) for size in draw.integers(*LENGTH, count)] for _ in range(2)]
    prompt = [list(map(int, draw.integers(0, WORDS, PROMPT))) for _ in range(count)]
    counts = [np.array([np.bincount(text, minlength=WORDS) for text in side]) for side in texts]
    x = (counts[0] - counts[1]).astype(np.float32)
    apart = x @ worth(seed)
    apart /= apart.std()
    truth = apart > 0
    score = _seen(apart, error, draw)
    confidence = expit(2 * np.abs(score) + 0.5 * draw.standard_normal(count))
    asked = np.sort(draw.choice(count, round(PEOPLE_ASKED * count), replace=False))
    label = np.where(score > 0, 1, -1)
    answers = Answers(asked, truth[asked].astype(float), np.ones(len(asked), bool), np.ones(len(asked), np.int64))
    group = np.arange(count, dtype=np.uint64)
    signals = _signals(label, confidence, x, group)
    signals = Signals(**{**vars(signals), "margin": _margins(signals, label, confidence)})
    believed = posterior(signals, answers).target
    known = label > 0
    known[asked] = truth[asked]
    sides = [[list(map(int, text)) for text in side] for side in texts]
    return Pairs(prompt, *sides, truth, known, believed, float(((label > 0) != truth).mean()))


def _seen(apart: Array, error: float, draw: np.random.Generator) -> Array:
    """The difference as the judge sees it: wrong in sign on `error` of the pairs."""
    noise, low, high = draw.standard_normal(len(apart)), 0.0, 50.0
    for _ in range(40):
        strength = (low + high) / 2
        wrong = ((apart + strength * noise > 0) != (apart > 0)).mean()
        low, high = (strength, high) if wrong < error else (low, strength)
    score = apart + strength * noise
    return score / score.std()


def _signals(label: Array, confidence: Array, x: Array, group: Array) -> Signals:
    absent = np.full(len(label), -1.0)
    return Signals(
        label=label,
        margin=np.zeros(len(label)),
        confidence=confidence,
        order_flipped=absent,
        own_disagree=absent,
        helpers=(),
        helper_disagree=np.zeros((0, len(label))),
        length_difference=x.sum(1),
        domain=np.zeros(len(label), np.int64),
        group=group,
        x=x,
        statistics=0,
    )


def _margins(signals: Signals, label: Array, confidence: Array) -> Array:
    """The light reward model's, each pair's by a head that did not see its fold."""
    fold, out = fold_of(signals.group, FOLDS), np.zeros(len(label))
    p_first = np.where(label > 0, confidence, 1 - confidence)
    for number in range(FOLDS):
        mine = fold == number
        model = head.fit_head(signals.x, p_first, (~mine).astype(float), signals.domain)
        out[mine] = head.margins(model, signals.x[mine], signals.domain[mine])
    return out
