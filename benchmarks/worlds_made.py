"""Worlds unlike the one that the default was built on: truths, judges and people of several kinds. Simulated, seeded.

A pair is two responses of one domain. What makes a response good (`TRUTHS`), where the judge errs (`JUDGES`) and how people
err (`People`) are put together in `WORLDS`. Responses are those of HH with the light tier's features, or drawn numbers of
the same shape where a look at the machinery is enough.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.special import expit

from benchmarks import hh
from concord.triage.signals import Signals

Array = np.ndarray
UNITS, TREES, ANCHORS = 32, 60, 400
REFUSALS = re.compile(
    r"\b(I can't|I cannot|I can’t|I won't|I'm sorry|I am sorry|as an AI|not able to|unable to)\b", re.I
)
LISTS = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.M)


@dataclass(frozen=True, eq=False)
class Responses:
    """What is known of each response; all have a row for each."""

    x: Array  # float32 [responses, dimensions], the last 12 columns surface statistics
    length: Array  # log characters
    refusals: Array  # how much of one it is, 0 none
    lists: Array  # log of one and the items of lists
    domain: Array  # 0 or 1


@cache
def of_hh() -> Responses:
    """The data pack's HH responses to learn from, with the light tier's features."""
    known = hh.responses()
    texts = [text for text, kept in zip(known.texts, known.is_train, strict=True) if kept]
    count = lambda pattern: np.log1p([len(pattern.findall(text)) for text in texts])  # noqa: E731
    length = np.log1p([len(text) for text in texts])
    return Responses(
        hh.student("light")[known.is_train], length, count(REFUSALS), count(LISTS), known.domain[known.is_train]
    )


@cache
def drawn(responses: int = 2_000, dimensions: int = 32) -> Responses:
    """Numbers instead of texts."""
    draw = np.random.default_rng(3)
    x = draw.standard_normal((responses, dimensions)).astype(np.float32) / 3
    lists = np.log1p(draw.poisson(1.0, responses))
    refusals = np.log1p(draw.poisson(0.3, responses))
    x[:, -1], x[:, -2], x[:, -3] = x[:, 0] + x[:, -1], lists - lists.mean(), refusals - refusals.mean()
    return Responses(
        x, x[:, -1].astype(float), refusals, lists, (draw.random(responses) < hh.HARMLESS_SHARE).astype(int)
    )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Two responses a pair, and how much better the first one is, with a standard deviation of 1."""

    known: Responses
    one: Array
    other: Array
    margin: Array

    def difference(self, column: Array) -> Array:
        """First minus second, scaled to a standard deviation of 1."""
        difference = column[self.one] - column[self.other]
        return difference / max(float(difference.std()), 1e-9)


@dataclass(frozen=True, eq=False)
class Said:
    """What the judge said: label 1 or -1, whether the order turns it and P(right) as it says, -1 where it doesn't."""

    label: Array
    flipped: Array
    confidence: Array


@dataclass(frozen=True)
class People:
    """How people err: each vote with probability `err`; one of three is lazy (never looks) or an adversary."""

    err: float = 0.0
    quorum: int = 1
    third: str = ""  # "lazy" or "adversary"


Truth = Callable[[Responses], Array]
Judge = Callable[[Pairs, np.random.Generator], Said]


# ── what makes a response good ──────────────────────────────────────────────────────────────────────────────────────


def network(known: Responses) -> Array:
    """A network of random weights: a linear model learns most of it."""
    draw = np.random.default_rng(7)
    hidden = np.tanh(known.x @ draw.normal(size=(known.x.shape[1], UNITS)) / np.sqrt(known.x.shape[1]))
    return _scaled(hidden @ draw.normal(size=UNITS))


def trees(known: Responses) -> Array:
    """Many small trees: thresholds on two columns, which a linear model only follows on the whole."""
    draw, reward = np.random.default_rng(11), np.zeros(len(known.x))
    order = np.argsort(-known.x.std(axis=0))[:24]
    for _ in range(TREES):
        a, b = draw.choice(order, 2, replace=False)
        cut_a, cut_b = draw.choice(known.x[:, a]), draw.choice(known.x[:, b])
        leaf = 2 * (known.x[:, a] > cut_a) + (known.x[:, b] > cut_b)
        reward += draw.normal(size=4)[leaf.astype(int)]
    return _scaled(reward)


def partly_unlearnable(known: Responses) -> Array:
    """The network, and as much again of what no feature shows."""
    return _scaled(network(known) + np.random.default_rng(13).normal(size=len(known.x)))


def neighbours(known: Responses) -> Array:
    """As good as the nearest of some responses, each of which is worth what chance says."""
    draw = np.random.default_rng(17)
    anchors = known.x[draw.choice(len(known.x), min(ANCHORS, len(known.x) // 4), replace=False)]
    worth, near = draw.normal(size=len(anchors)), np.zeros(len(known.x), int)
    for at in range(0, len(near), 4_096):
        part = known.x[at : at + 4_096]
        near[at : at + 4_096] = np.argmin((anchors**2).sum(axis=1) - 2 * part @ anchors.T, axis=1)
    return _scaled(worth[near] + 0.3 * draw.normal(size=len(near)))


def _scaled(reward: Array) -> Array:
    return (reward - reward.mean()) / reward.std()


# ── where the judge errs ────────────────────────────────────────────────────────────────────────────────────────────


def biased(taste: Callable[[Pairs], Array], right: float = 0.75, place: float = 0.35, honest: float = 2.0) -> Judge:
    """Right on this share of the pairs, and else led by its taste; asked in both orders.

    `place` is how much it favours what is shown first, in mean scores; `honest` how its confidence follows its score:
    below 0 it is the surer the less reason it has.
    """

    def judge(pairs: Pairs, draw: np.random.Generator) -> Said:
        noise = lambda: draw.standard_normal(len(pairs.margin))  # noqa: E731
        bias = taste(pairs) + 0.3 * noise()
        low, high = 0.0, 60.0
        for _ in range(40):
            strength = (low + high) / 2
            low, high = (
                (strength, high) if _right(pairs.margin + strength * bias, pairs.margin) > right else (low, strength)
            )
        score = pairs.margin + strength * bias
        favour = place * np.abs(score).mean()
        flipped = (score + favour + 0.3 * noise() > 0) != (score - favour + 0.3 * noise() > 0)
        confidence = expit(honest * np.abs(score) / np.abs(score).mean() + 0.5 * noise())
        return Said(np.where(score > 0, 1, -1), flipped.astype(float), confidence)

    return judge


def first_position(pairs: Pairs, draw: np.random.Generator) -> Said:
    """Leans to what is shown first so much that it is right on three quarters; asked in both orders."""
    noise = lambda: 0.3 * draw.standard_normal(len(pairs.margin))  # noqa: E731
    low, high = 0.0, 10.0
    for _ in range(40):
        lean = (low + high) / 2
        low, high = (lean, high) if _right(pairs.margin + lean, pairs.margin) > hh.RIGHT else (low, lean)
    score = pairs.margin + lean + noise()
    flipped = (score > 0) != (pairs.margin - lean + noise() > 0)
    return Said(np.where(score > 0, 1, -1), flipped.astype(float), _absent(pairs))


def at_random(wrong: float) -> Judge:
    """Wrong on this share of the pairs, whatever they are; asked in one order, and silent about how sure it is."""

    def judge(pairs: Pairs, draw: np.random.Generator) -> Said:
        return _wrong_where(pairs, draw.random(len(pairs.margin)) < wrong)

    return judge


def one_domain(pairs: Pairs, draw: np.random.Generator) -> Said:
    """Right on all of one domain, and wrong on most of the other."""
    return _wrong_where(pairs, (pairs.known.domain[pairs.one] == 1) & (draw.random(len(pairs.margin)) < 0.85))


def topics(pairs: Pairs, draw: np.random.Generator) -> Said:
    """Wrong on most pairs whose first response is of one of some topics."""
    centres = np.random.default_rng(19).choice(len(pairs.known.x), 20, replace=False)
    x = pairs.known.x[:, :-12] if pairs.known.x.shape[1] > 24 else pairs.known.x
    topic = np.argmin((x[centres] ** 2).sum(axis=1) - 2 * x[pairs.one] @ x[centres].T, axis=1)
    sizes = np.bincount(topic, minlength=20) / len(topic)
    order = np.random.default_rng(23).permutation(20)
    among = order[: 1 + int(np.searchsorted(np.cumsum(sizes[order]), 0.3))]
    return _wrong_where(pairs, np.isin(topic, among) & (draw.random(len(topic)) < 0.85))


def _wrong_where(pairs: Pairs, wrong: Array) -> Said:
    label = np.where((pairs.margin > 0) != wrong, 1, -1)
    return Said(label, _absent(pairs), _absent(pairs))


def _absent(pairs: Pairs) -> Array:
    return np.full(len(pairs.margin), -1.0)


def _right(score: Array, margin: Array) -> float:
    return float(((score > 0) == (margin > 0)).mean())


def long_ones(pairs: Pairs) -> Array:
    """A taste for length."""
    return pairs.difference(pairs.known.length)


def refusals(pairs: Pairs) -> Array:
    """A taste for refusals."""
    return pairs.difference(pairs.known.refusals)


def lists(pairs: Pairs) -> Array:
    """A taste for lists."""
    return pairs.difference(pairs.known.lists)


# ── the worlds ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Recipe:
    """One world: a judge with a taste for length, a truth that can be learnt and people who are right, if nothing else is said."""

    judge: Judge = field(default_factory=lambda: biased(long_ones))
    truth: Truth = network
    people: People = People()


WORLDS: dict[str, Recipe] = {
    "random noise 10 %": Recipe(at_random(0.1)),
    "random noise 25 %": Recipe(at_random(0.25)),
    "random noise 40 %": Recipe(at_random(0.4)),
    "first position": Recipe(first_position),
    "refusals": Recipe(biased(refusals)),
    "lists": Recipe(biased(lists)),
    "one domain": Recipe(one_domain),
    "topics": Recipe(topics),
    "confidence anti-correlated": Recipe(biased(long_ones, honest=-2.0)),
    "judge 95 % right": Recipe(biased(long_ones, right=0.95)),
    "judge 55 % right": Recipe(biased(long_ones, right=0.55)),
    "truth of trees": Recipe(truth=trees),
    "truth partly unlearnable": Recipe(truth=partly_unlearnable),
    "truth of neighbours": Recipe(truth=neighbours),
    "people err 10 %": Recipe(people=People(err=0.1)),
    "people err 20 %": Recipe(people=People(err=0.2)),
    "people err 20 %, quorum 3": Recipe(people=People(err=0.2, quorum=3)),
    "one of three lazy": Recipe(people=People(third="lazy")),
    "one of three an adversary": Recipe(people=People(third="adversary")),
}


@dataclass(frozen=True, eq=False)
class World:
    """One draw of a recipe."""

    signals: Signals
    truth: Array  # bool [pairs], the first is better
    people: People
    seed: int

    def annotator(self, pair: int, vote: int) -> int:
        """Who answers: 0, 1 or 2, each a third of the tasks; the votes of one task are three people's."""
        return (int(np.random.default_rng((self.seed, pair, 5)).integers(3)) + vote) % 3

    def person(self, pair: int, vote: int) -> float:
        """P(first is better) as this vote says it: 1 or 0."""
        right, draw = bool(self.truth[pair]), np.random.default_rng((self.seed, pair, vote, 6))
        if self.annotator(pair, vote) == 2 and self.people.third:
            return float(draw.random() < 0.5 if self.people.third == "lazy" else not right)
        return float(right != (draw.random() < self.people.err))


def world(name: str, pairs: int, seed: int, known: Responses) -> World:
    """The world's pairs (of the seed, as all else), its truth, and what the judge says of them."""
    recipe, draw = WORLDS[name], np.random.default_rng((seed, 29))
    one, other = _paired(known.domain, pairs, draw)
    reward = recipe.truth(known)
    margin = reward[one] - reward[other]
    made = Pairs(known, one, other, margin / margin.std())
    said = recipe.judge(made, draw)
    signals = Signals(
        label=said.label.astype(np.int8),
        margin=np.zeros(pairs),
        confidence=said.confidence,
        order_flipped=said.flipped,
        own_disagree=np.full(pairs, -1.0),
        helpers=(),
        helper_disagree=np.zeros((0, pairs)),
        length_difference=known.length[one] - known.length[other],
        domain=known.domain[one],
        group=draw.integers(0, 2**63, pairs).astype(np.uint64),
        x=(known.x[one] - known.x[other]).astype(np.float16),
    )
    return World(signals, margin > 0, recipe.people, seed)


def _paired(domain: Array, pairs: int, draw: np.random.Generator) -> tuple[Array, Array]:
    """Two different responses of one domain for each pair."""
    harmless = round(hh.HARMLESS_SHARE * pairs)
    sides = []
    for number, count in ((0, pairs - harmless), (1, harmless)):
        pool = np.flatnonzero(domain == number)
        one = draw.integers(0, len(pool), count)
        other = (one + draw.integers(1, len(pool), count)) % len(pool)
        sides.append((pool[one], pool[other]))
    order = draw.permutation(pairs)
    one, other = (np.concatenate([side[k] for side in sides])[order] for k in (0, 1))
    return one, other
