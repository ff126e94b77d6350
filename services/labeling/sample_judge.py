"""The simulated judge of the bundled sample: no LLM, but the ways of one. PURE.

It prefers the longer answer and the one that it reads first, it sees fairly often which answer is right, and it is surer
of itself than it should be. What it says is a function of (seed, pair, order), so asking again gives the same.
"""

from math import exp, log1p, tanh
from statistics import NormalDist
from typing import TypeAlias

from concord.labeling.judge import Combined, combine
from concord.labeling.verdict import Verdict
from concord.preference.pairs import pair_hash
from concord.preference.seeded import uniform
from concord.sample import says
from concord.v1 import pairs_pb2 as pb

Choice: TypeAlias = pb.Choice.ValueType

# All in the judge's own unit of preference. Set so that its verdict in one order is right on about 75 % of the sample's
# decided pairs and changes with the order on about a fifth of them (tests/test_sample_judge.py holds it there).
_LENGTH = 0.78  # for an answer that is many times as long; less for a smaller difference
_FIRST = 0.45
_RIGHT = 1.45
_PAIR_NOISE = 0.55
_ORDER_NOISE = 0.3
# How often it takes a right answer for a wrong one or the other way round.
_EYE_ERROR = 0.07
# From preference to log-odds. Far too much: of the verdicts that it is 90 % sure of, under 90 % are right.
_ASSURANCE = 1.9
_SUREST = 0.99


def verdict(pair: pb.Pair, seed: int, swapped: bool) -> tuple[Choice, float]:
    """Its choice, in the pair's own order whatever order it was shown in, and how sure it is, in [0.5, 0.99].

    Whether an answer is right it tells by `pair.reference`; without one it goes by length and position alone.
    """
    name = pair_hash(pair)
    lean = _LENGTH * tanh(log1p(len(pair.first.text)) - log1p(len(pair.second.text)))
    lean += -_FIRST if swapped else _FIRST
    seems_right = [_seems_right(pair, at, seed, name) for at in (0, 1)]
    lean += _RIGHT * (seems_right[0] - seems_right[1])
    lean += _PAIR_NOISE * _normal(seed, name, "pair") + _ORDER_NOISE * _normal(
        seed, name, "swapped" if swapped else "own"
    )
    confidence = min(_SUREST, 1 / (1 + exp(-_ASSURANCE * abs(lean))))
    return (pb.CHOICE_FIRST if lean > 0 else pb.CHOICE_SECOND), confidence


async def score(pair: pb.Pair, second: bool, seed: int) -> float:
    """How good it calls one of the responses by itself, in [1, 10]: what it sees alone, it does not see by its place."""
    text = (pair.second if second else pair.first).text
    asked = "\n".join(turn.content for turn in pair.prompt)
    seems_right = bool(pair.reference) and says(text, pair.reference) != (
        uniform("sample judge's other eye", seed, asked, text) < _EYE_ERROR
    )
    lean = 5.5 + (2.0 if seems_right else -2.0) + 0.4 * (log1p(len(text)) - 5)
    noise = NormalDist().inv_cdf(max(uniform("sample judge's score", seed, asked, text), 1e-12))
    return float(min(10, max(1, round(lean + noise))))


async def again(pair: pb.Pair, criteria: str, number: int, seed: int) -> Verdict:
    """A further verdict, as `further.Again` has it: it would be of another mind if it had slept on it."""
    choice, confidence = verdict(pair, seed + 1_000_003 * (number + 1 + len(criteria)), number % 2 == 1)
    return Verdict("A" if (choice == pb.CHOICE_FIRST) != (number % 2 == 1) else "B", confidence)


def taught(pair: pb.Pair, seed: int) -> Combined:
    """Both orders together once it has seen what people answered elsewhere: it looks again, and places lead it no longer."""
    looked = [verdict(pair, seed + 7_000_003, order) for order in (False, True)]
    sure = max(looked, key=lambda one: one[1])
    if sure[0] == pb.CHOICE_FIRST:
        return combine(Verdict("A", sure[1]), Verdict("B", sure[1]))
    return combine(Verdict("B", sure[1]), Verdict("A", sure[1]))


def judged(pair: pb.Pair, seed: int) -> Combined:
    """Both orders together."""
    (own, own_sure), (other, other_sure) = verdict(pair, seed, False), verdict(pair, seed, True)
    # The one shown as A is the first response in the own order, and the second in the swapped one.
    in_own_order = Verdict("A" if own == pb.CHOICE_FIRST else "B", own_sure)
    in_swapped_order = Verdict("B" if other == pb.CHOICE_FIRST else "A", other_sure)
    return combine(in_own_order, in_swapped_order)


def _seems_right(pair: pb.Pair, at: int, seed: int, name: str) -> bool:
    if not pair.reference:
        return False
    text = (pair.first, pair.second)[at].text
    return says(text, pair.reference) != (uniform("sample judge's eye", seed, name, at) < _EYE_ERROR)


def _normal(seed: int, name: str, what: str) -> float:
    """Drawn from a standard normal distribution; finite, for the 0 that `uniform` can give is moved inside."""
    return NormalDist().inv_cdf(min(max(uniform("sample judge", seed, name, what), 1e-12), 1 - 1e-12))
