"""Virtual corpora of HH responses with a truth, a biased judge and a student's features; seeded, simulated, and called so.

A pair is two random responses of one domain: training responses for the corpus, test responses for 4,000 test pairs. The
truth is the sign of a teacher's margin (teachers.py); `made-up` stands for networks of random weights on the light
features, for a quick look that needs no vectors. The judge is 75 % right: `len` likes length and style, `mix` has
another nonlinear taste besides; it is asked in both orders.
"""

import sys
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import expit

from benchmarks.encode import NAMES, vectors
from benchmarks.encode import cache as folder
from benchmarks.pack import rows
from benchmarks.teachers import components
from concord.reward import features, head
from concord.triage.signals import Signals

Array = np.ndarray
TEST_PAIRS = 4_000
UNITS = 32
RIGHT = 0.75
HARMLESS_SHARE = 0.28
FEATURES = ("light", "encoder")
# Of the student's heads: the light tier's own; the encoder's as in the trial that this repeats (C = .03).
RIDGE = {"light": head.RIDGE, "encoder": 1 / 0.03}


@dataclass(frozen=True, eq=False)
class Responses:
    """All responses, first ones then second ones; every array has a row for each."""

    texts: list[str]
    domain: Array  # 0 helpful, 1 harmless
    is_train: Array


@dataclass(frozen=True, eq=False)
class World:
    """One corpus under one teacher and judge, with one set of features."""

    signals: Signals
    truth: Array  # bool [pairs], the first is better
    ridge: float
    x_test: Array
    domain_test: Array
    truth_test: Array


@cache
def responses() -> Responses:
    """The pack's decided pairs, taken apart."""
    kept = [(name, row) for name in NAMES for row in rows(name) if row["human_majority"] in (0, 1)]
    texts = [row["responses"][side]["text"] for side in (0, 1) for _, row in kept]
    domain = np.tile(np.array([int("harmless" in row["source"]) for _, row in kept]), 2)
    is_train = np.tile(np.array([name == "hh_train" for name, _ in kept]), 2)
    return Responses(texts, domain, is_train)


@cache
def rewards(teacher: str) -> Array:
    """What the teacher thinks of each response, float [responses]."""
    if teacher.startswith("made-up"):
        generator, x = np.random.default_rng(len(teacher)), student("light")
        hidden = np.tanh(x @ generator.normal(size=(x.shape[1], UNITS)) / np.sqrt(x.shape[1]))
        return hidden @ generator.normal(size=UNITS)
    path = folder() / "teachers.npz"
    if not path.exists():
        sys.exit(f"{path} is missing: run `python -m benchmarks.encode` and `python -m benchmarks.teachers` once")
    with np.load(path) as made:
        return made[teacher].astype(float)


@cache
def student(kind: str) -> Array:
    """float32 [responses, dimensions]; the last 12 columns are surface statistics.

    `light`: what ships. `encoder`: 96 components of MiniLM's vectors, 64 of the light ones, the statistics. Bases are
    fitted on training responses alone.
    """
    known = responses()
    basis = features.fit([text for text, train in zip(known.texts, known.is_train, strict=True) if train], 256, 0)
    light = features.transform(basis, known.texts)
    if kind == "light":
        return light
    encoded = components(vectors(known.texts), 96)
    return np.hstack([encoded / encoded.std(), light[:, :64], light[:, -12:]]).astype(np.float32)


def world(pairs: int, teacher: str, judge: str, kind: str, seed: int) -> World:
    """The corpus (the same for all seeds), its truth, and one draw of the judge's errors."""
    known, generator = responses(), np.random.default_rng([pairs, 5])
    one, other = drawn(known, generator, pairs, True)
    test = drawn(known, generator, TEST_PAIRS, False)
    reward, x = rewards(teacher), student(kind)
    margin = reward[one] - reward[other]
    margin /= margin.std()
    length = np.log1p(np.array([len(text) for text in known.texts]))
    length_difference = length[one] - length[other]
    other_taste = rewards("made-up taste" if teacher == "made-up" else "sm15")
    taste = other_taste[one] - other_taste[other]
    style = student("light")[:, -12:]
    label, flipped, confidence = judged(judge, margin, length_difference, taste, style[one] - style[other], seed)
    absent = np.full(pairs, -1.0)
    signals = Signals(
        label=label,
        margin=np.zeros(pairs),
        confidence=confidence,
        order_flipped=flipped,
        own_disagree=absent,
        helpers=(),
        helper_disagree=np.zeros((0, pairs)),
        length_difference=length_difference,
        domain=known.domain[one],
        group=np.random.default_rng(seed).integers(0, 2**63, pairs).astype(np.uint64),
        x=(x[one] - x[other]).astype(np.float16),
    )
    truth_test = reward[test[0]] > reward[test[1]]
    return World(signals, margin > 0, RIDGE[kind], x[test[0]] - x[test[1]], known.domain[test[0]], truth_test)


def drawn(known: Responses, generator: np.random.Generator, pairs: int, train: bool) -> tuple[Array, Array]:
    """Indexes of two different responses of one domain for each pair."""
    sides = []
    for domain, count in ((0, pairs - round(HARMLESS_SHARE * pairs)), (1, round(HARMLESS_SHARE * pairs))):
        pool = np.flatnonzero((known.domain == domain) & (known.is_train == train))
        one = generator.integers(0, len(pool), count)
        other = (one + generator.integers(1, len(pool), count)) % len(pool)
        sides.append((pool[one], pool[other]))
    order = generator.permutation(pairs)
    one, other = (np.concatenate([side[k] for side in sides])[order] for k in (0, 1))
    return one, other


def judged(
    kind: str, margin: Array, length: Array, taste: Array, style: Array, seed: int
) -> tuple[Array, Array, Array]:
    """(label 1 or -1, whether the order turns it, P(right) as it says); [pairs] each. Right on RIGHT of them."""
    generator = np.random.default_rng(1_000 + seed)
    normal = lambda: generator.standard_normal(len(margin))  # noqa: E731
    other = taste - margin * (taste @ margin) / (margin @ margin)
    of_style = style @ np.random.default_rng(77 + seed).standard_normal(style.shape[1])
    length, other, of_style = length / length.std(), other / other.std(), of_style / of_style.std()
    bias = {
        "len": 0.9 * length + 0.45 * of_style + 0.3 * normal(),
        "mix": 0.6 * length + 0.5 * other + 0.62 * normal(),
    }[kind]
    low, high = 0.05, 6.0
    for _ in range(30):
        strength = (low + high) / 2
        right = ((margin + strength * bias > 0) == (margin > 0)).mean()
        low, high = (strength, high) if right > RIGHT else (low, strength)
    score = margin + strength * bias
    favour = 0.35 * np.abs(score).mean()
    flipped = (score + favour + 0.3 * normal() > 0) != (score - favour + 0.3 * normal() > 0)
    confidence = expit(2 * np.abs(score) + 0.5 * normal())
    return np.where(score > 0, 1, -1).astype(np.int8), flipped.astype(float), confidence
