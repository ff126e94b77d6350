"""A virtual corpus of any size, with a judge, people and a truth, from the HH training responses; seeded, so always the same.

Two responses of one domain are drawn at random for each pair; the first one's prompt stands above both. The truth is the
sign of a hidden linear rule over the texts' surface statistics plus noise; the recorded judge errs on a quarter of the
pairs, more often towards the longer response, and sometimes changes its mind with the order; people say the truth.
"""

import hashlib

import numpy as np

from benchmarks.pack import path_of
from concord.client.intake.intake import Input, read
from concord.preference.pairs import Row, make_pair
from concord.reward.features import surface_statistics
from concord.v1 import pairs_pb2 as pb

JUDGE = "recorded-judge/Vanilla"
RIGHT = 0.75
ORDER_FLIPS = 0.12


def virtual(pairs: int, seed: int) -> Input:
    """`pairs` rows with the verdicts of JUDGE and the people's truth."""
    given = read(path_of("hh_train")).rows
    sources = [(row.pair, getattr(row.pair, side)) for row in given for side in ("first", "second")]
    domain = np.array([pair.domain for pair, _ in sources])
    statistics = surface_statistics([response.text for _, response in sources])
    statistics /= statistics.std(axis=0) + 1e-9
    generator = np.random.default_rng((seed, pairs))
    first, second = _drawn(generator, domain, pairs)
    difference = statistics[first] - statistics[second]
    rule = generator.standard_normal(difference.shape[1])
    score = difference @ rule
    truth = score + 0.5 * score.std() * generator.standard_normal(pairs) > 0
    says, swapped, confidence = _verdicts(generator, truth, difference[:, 0])
    rows = tuple(
        _row(
            number,
            sources[one][0],
            sources[one][1],
            sources[other][1],
            bool(truth[number]),
            says[number],
            swapped[number],
            confidence[number],
        )
        for number, (one, other) in enumerate(zip(first, second, strict=True))
    )
    digest = hashlib.sha256(f"virtual/{pairs}/{seed}".encode()).hexdigest()
    return Input("virtual corpus", digest, "prompt/responses with labels", rows, judges={JUDGE: pairs})


def _drawn(generator: np.random.Generator, domain: np.ndarray, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Indexes of two different responses of one domain for each pair; the domains in their own shares."""
    first = generator.integers(0, len(domain), pairs)
    second = np.empty(pairs, np.int64)
    for name in np.unique(domain):
        members, mine = np.flatnonzero(domain == name), np.flatnonzero(domain[first] == name)
        at = np.searchsorted(members, first[mine])
        second[mine] = members[(at + generator.integers(1, len(members), len(mine))) % len(members)]
    return first, second


def _verdicts(generator: np.random.Generator, truth: np.ndarray, longer: np.ndarray) -> tuple[np.ndarray, ...]:
    """(verdict first?, the one with the order swapped, confidence), all [pairs]."""
    towards_longer = np.where(truth, longer, -longer)
    doubt = -0.7 * np.tanh(towards_longer) + generator.standard_normal(len(truth))
    wrong = doubt > np.quantile(doubt, RIGHT)
    says = truth ^ wrong
    swapped = says ^ (generator.random(len(truth)) < ORDER_FLIPS)
    confidence = np.clip(0.85 - 0.12 * wrong + 0.1 * generator.standard_normal(len(truth)), 0.5, 0.99)
    return says, swapped, confidence


def _row(
    number: int,
    pair: pb.Pair,
    first: pb.Response,
    second: pb.Response,
    truth: bool,
    says: bool,
    swapped: bool,
    confidence: float,
) -> Row:
    choices = [pb.CHOICE_FIRST if is_first else pb.CHOICE_SECOND for is_first in (truth, says, swapped)]
    said = pb.RecordedVerdict(judge=JUDGE, choice=choices[1], choice_swapped=choices[2], confidence=float(confidence))
    made = make_pair(f"virtual-{number}", pair.prompt, first, second, domain=pair.domain)
    return Row(made, choices[0], (choices[0],), (said,))
