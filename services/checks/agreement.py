"""What several sampled answers to one prompt agree on, as a reference where the row brings none. Pure.

Answers that nobody agrees with decide nothing: the plurality must hold SHARE of the weight and two samples at least.
"""

import math
from collections.abc import Hashable, Sequence
from fractions import Fraction

from concord.checks import choice, number
from concord.checks.finding import Kind, Reference
from concord.checks.quantities import Quantity

# Of all samples' weight, those without a readable answer counted.
SHARE = 0.6
LEAST = 2
MAX_SAMPLES = 64
ROUNDS = 20

Read = tuple[Hashable, str] | None


def agreed(kind: Kind, prompt: str, reference: Reference) -> tuple[Reference, float] | None:
    """(the reference with the samples' answer in it, its share of the weight); None where they do not agree enough.

    For numbers and choices alone: what other answers come to cannot be told apart by rules.
    """
    samples = reference.samples[:MAX_SAMPLES]
    weights = reference.weights[: len(samples)] if len(reference.weights) >= len(samples) else (1.0,) * len(samples)
    options = reference.choices or (choice.options_of(prompt) if kind is Kind.CHOICE else ())
    read = [answer_of(kind, sample, options) for sample in samples]
    found = plurality([one and one[0] for one in read], weights)
    if found is None or found[1] < SHARE or sum(one is not None and one[0] == found[0] for one in read) < LEAST:
        return None
    words = next(one[1] for one in read if one is not None and one[0] == found[0])
    return Reference((words,), reference.choices, reference.constraints, reference.schema), found[1]


def answer_of(kind: Kind, response: str, options: Sequence[str] = ()) -> Read:
    """(something that is equal for equal answers, the answer in a reference's words); None where it cannot be read."""
    if kind in (Kind.NUMBER, Kind.SYMBOLIC):
        said, _ = number.read(response)
        return None if said is None else (_rounded(said), _written(said))
    if kind is Kind.CHOICE:
        chosen, _ = choice.read(response, options)
        return None if chosen is None else (chosen, choice.LETTERS[chosen])
    return None


def _rounded(said: Quantity) -> Fraction:
    return said.in_base.limit_denominator(10**6)


def _written(said: Quantity) -> str:
    value = said.value.limit_denominator(10**6)
    return f"{value.numerator}/{value.denominator} {said.unit}".replace("/1 ", " ").strip()


def plurality(answers: Sequence[Hashable], weights: Sequence[float]) -> tuple[Hashable, float] | None:
    """(the answer with the most weight, its share of all weight); None where two have as much, or nobody answers."""
    votes: dict[Hashable, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if answer is not None:
            votes[answer] = votes.get(answer, 0.0) + weight
    ranked = sorted(votes.values(), reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[1] >= ranked[0]):
        return None
    best = max(votes, key=lambda answer: votes[answer])
    return best, votes[best] / sum(weights)


def trust(answers: Sequence[Sequence[Hashable]]) -> tuple[float, ...]:
    """How far each of several sources is to be trusted, learned from where they agree: a weight > 0 for each column.

    `answers` has a row for each prompt, with one source's answer in each column; None: none. A source's weight is the
    log-odds of its agreeing with the weighted plurality of the others.
    """
    count = len(answers[0]) if answers else 0
    weights = (1.0,) * count
    for _ in range(ROUNDS):
        new = tuple(_log_odds(column, answers, weights) for column in range(count))
        if max((abs(one - other) for one, other in zip(new, weights, strict=True)), default=0.0) < 1e-3:
            break
        weights = new
    return weights


def _log_odds(column: int, answers: Sequence[Sequence[Hashable]], weights: Sequence[float]) -> float:
    others = [weight for at, weight in enumerate(weights) if at != column]
    agree = asked = 1.0
    asked += 1.0
    for row in answers:
        found = plurality([answer for at, answer in enumerate(row) if at != column], others)
        if found is not None and row[column] is not None:
            asked, agree = asked + 1.0, agree + (row[column] == found[0])
    share = agree / asked
    return max(0.05, math.log(share / (1 - share)) + 1.0)
