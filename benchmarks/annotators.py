"""Who is named as an annotator who deviates: honest people of different skill, one who says the opposite, one who tosses coins.

    python -m benchmarks.annotators [--quick] [--runs N] [--json [FILE]]

A simulation of whole runs, with a look after each of 20 rounds. A judge is right on three quarters of the pairs; the run knows how
sure each label is, with some noise (0.7 in logits). Three places in ten are drawn at random, the others from the most
doubtful pairs. People answer side by side, in turns (a round each), in parts (of each round, from the most doubtful on), or one
after another (a third of the rounds each). The settings of `triage/annotators.py` were chosen on other draws of the same kind.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measure import asked_of, circumstances, parser_of, write
from concord.preference.annotations import Votes
from concord.triage.annotators import deviations

Array = np.ndarray
LOOKS, AUDITS, NOISE, FIRST_SEED = 20, 0.3, 0.7, 1_000


@dataclass(frozen=True)
class Case:
    """People by how often they err, how they share the questions, and the run they answer in."""

    errs: tuple[float, ...]
    arrive: str = "side by side"
    budget: int = 300
    pairs: int = 5_000
    right: float = 0.75  # of the judge's labels


# Draws who answers the places of a round, the most doubtful first: (draw, places, round, people) → [places].
SHARED: dict[str, Callable[[np.random.Generator, int, int, int], Array]] = {
    "side by side": lambda draw, places, round_, people: draw.integers(0, people, places),
    "in turns": lambda draw, places, round_, people: np.full(places, round_ % people),
    "in parts": lambda draw, places, round_, people: np.arange(places) * people // places,
    "one after another": lambda draw, places, round_, people: np.full(places, round_ * people // LOOKS),
}
ALIKE, UNEVEN = (0.05, 0.05, 0.05), (0.05, 0.1, 0.2)
CASES = {
    **{f"all err 5 %, {how}": Case(ALIKE, how) for how in SHARED},
    **{f"5, 10 and 20 %, {how}": Case(UNEVEN, how) for how in SHARED},
    "5, 5 and 25 %": Case((0.05, 0.05, 0.25)),
    "eight of 10 %": Case((0.1,) * 8),
    "the opposite, others 5 %": Case((0.05, 0.05, 1.0)),
    "the opposite, others 15 %": Case((0.15, 0.15, 1.0)),
    "the opposite, judge 55 % right": Case((0.05, 0.05, 1.0), right=0.55),
    "the opposite, 1,200 votes": Case((0.05, 0.05, 1.0), budget=1_200, pairs=20_000),
    "a coin": Case((0.05, 0.05, 0.5)),
    "a coin, 1,200 votes": Case((0.05, 0.05, 0.5), budget=1_200, pairs=20_000),
    "two of three the opposite": Case((0.05, 1.0, 1.0)),
}


def votes_of(case: Case, draw: np.random.Generator) -> tuple[Iterator[Votes], Array]:
    """The votes after each round, and P(a label is wrong) [pairs] as the run knows it. All labels say the first."""
    p = draw.beta(1.2, 1.2 * case.right / (1 - case.right), case.pairs)
    p = np.minimum(p, 1 - p)
    wrong = draw.random(case.pairs) < p
    odds = np.log(p / (1 - p)) + draw.normal(0, NOISE, case.pairs)
    return _rounds(case, p, wrong, draw), 1 / (1 + np.exp(-odds))


def _rounds(case: Case, p: Array, wrong: Array, draw: np.random.Generator) -> Iterator[Votes]:
    open_, places = np.ones(case.pairs, bool), case.budget // LOOKS
    said = Votes(np.zeros(0, str), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))
    for round_ in range(LOOKS):
        audits = places if round_ == 0 else draw.binomial(places, AUDITS)
        audited = draw.choice(np.flatnonzero(open_), audits, replace=False)
        open_[audited] = False
        left = np.flatnonzero(open_)
        chosen = draw.choice(left[np.argsort(-p[left])][: 2 * places], places - audits, replace=False)
        open_[chosen] = False
        pair = np.concatenate([chosen, audited])
        pair = pair[np.argsort(-p[pair], kind="stable")]
        who = SHARED[case.arrive](draw, len(pair), round_, len(case.errs))
        errs = draw.random(len(pair)) < np.array(case.errs)[who]
        first = (~wrong[pair] != errs).astype(float)
        new = Votes(np.array([f"person-{one}" for one in who]), pair, first, np.isin(pair, audited))
        said = Votes(*(np.concatenate(both) for both in zip(vars(said).values(), vars(new).values(), strict=True)))
        yield said


def run(case: Case, seed: int) -> tuple[str, int, bool] | None:
    """The first whose answers are set aside in a run, or who is named at all, after how many of them, and which of the two; None:
    nobody."""
    rounds, p_error = votes_of(case, np.random.default_rng(seed))
    first = None
    for votes in rounds:
        for one in deviations(votes, np.ones(case.pairs), p_error):
            said = one.annotator, int((votes.annotator == one.annotator).sum()), one.set_aside
            if one.set_aside:
                return said
            first = first or said
    return first


def measured(case: Case, seeds: Sequence[int]) -> dict[str, Any]:
    """In how many runs somebody is named, by who it is, and after how many answers of his own (the median)."""
    found = [one for seed in seeds if (one := run(case, seed))]
    names = [f"person-{at}" for at in range(len(case.errs))]
    return {
        "runs": len(seeds),
        "named": {name: sum(one[0] == name for one in found) for name in names},
        "set_aside": sum(one[2] for one in found),
        "answers": float(np.median([one[1] for one in found])) if found else None,
    }


def main() -> None:
    parser = parser_of(__doc__, "four runs each; ten seconds; needs no data")
    parser.add_argument("--runs", type=int, default=12)
    asked = asked_of(parser)
    runs = 4 if asked.quick else asked.runs
    found = {name: measured(case, range(FIRST_SEED, FIRST_SEED + runs)) for name, case in CASES.items()}
    print("| people | named in, of all runs | the last of them | own answers then |\n|---|---|---|---|")
    for name, row in found.items():
        last = list(row["named"].values())[-1]
        print(f"| {name} | {sum(row['named'].values())} of {row['runs']} | {last} | {row['answers'] or ''} |")
    if asked.json:
        write(str(asked.json), circumstances({"looks": LOOKS, "audits": AUDITS, "noise": NOISE}) | {"cases": found})


if __name__ == "__main__":
    main()
