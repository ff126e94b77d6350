"""Whether the certificate's 95 % intervals hold the true error, and how wide they are: simulated runs with a stopping rule.

    python -m benchmarks.certificate [--quick] [--runs N] [--json [FILE]]

A world plants which of the judge's labels are wrong and what the signals know of it. A run asks simulated people by the
planner's own functions (rounds of 1 %, an audit share of .3, a pilot; 6 % of 10,000 pairs), stops at a target error by the
bound that is valid at every look, and gives a certificate; then the truth is looked up. Signals without text features: a
run takes a tenth of a second, so that thousands are possible. Nothing here is a real judge or a real person.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from benchmarks.measure import asked_of, circumstances, parser_of, write
from concord.certificate import people, stopping
from concord.certificate.estimate import estimate
from concord.certificate.evidence import Evidence
from concord.preference.annotations import Answers
from concord.preference.pilot import draw_pilot, pilot_size
from concord.triage.rounds import triage_posterior
from concord.triage.signals import Signals
from concord.v1.config_pb2 import RunConfig

Array = np.ndarray
AUDIT = 0.3
RUNS, QUICK_RUNS = 2_000, 20
WIDTH_RUNS = 180
EPSILONS = (0.0, 0.1, 0.2)
RE_ASKS = 100
# Seeds below were for trying things out; what is reported has seeds from here on.
FIRST_SEED = 100_000
FAR = 5_000
# In turn, a run each: some are met after a few rounds, some never.
TARGETS = (0.06, 0.1, 0.15, 0.2)


@dataclass(frozen=True)
class Size:
    """How many pairs a run has; its votes and those of a round as shares of the pairs."""

    pairs: int
    budget: float
    batch: float


# 600 votes in both; the smaller one takes a third of the time, and people answer more of its doubtful pairs.
MANY = Size(4_000, 0.15, 0.0375)
WIDE = Size(10_000, 0.06, 0.01)


@dataclass(frozen=True, eq=False)
class World:
    """Signals, and which of the judge's labels are wrong (bool [pairs])."""

    signals: Signals
    wrong: Array


def world(generator: np.random.Generator, pairs: int, name: str) -> World:
    """Pairs whose signals know a part of what makes labels wrong in the world of this name."""
    several_domains, helped = name == "one domain", name.endswith("helper")
    label = generator.choice([-1, 1], pairs)
    known = {
        "margin": generator.normal(size=pairs),
        "length": generator.normal(size=pairs),
        "flip": (generator.random(pairs) < 0.25).astype(float),
        "domain": generator.integers(0, 4, pairs) if several_domains else np.zeros(pairs, int),
        "hidden": generator.normal(size=pairs),
    }
    wrong = generator.random(pairs) < expit(WORLDS[name](known))
    helper = np.where(generator.random(pairs) < 0.5, wrong, generator.random(pairs) < 0.3).astype(float)
    confidence = np.clip(0.75 - 0.1 * known["hidden"] + 0.1 * generator.normal(size=pairs), 0.5, 0.99)
    signals = Signals(
        label=label,
        margin=known["margin"] * label,
        confidence=confidence,
        order_flipped=known["flip"],
        own_disagree=np.full(pairs, -1.0),
        helpers=("other",) if helped else (),
        helper_disagree=helper[None, :] if helped else np.zeros((0, pairs)),
        length_difference=known["length"] * label,
        domain=known["domain"],
        group=np.arange(pairs, dtype=np.uint64),
        x=np.zeros((pairs, 0)),
    )
    return World(signals, wrong)


# What makes a label wrong; signals see margin, length, flip and domain, never `hidden`.
WORLDS: Mapping[str, Callable[[dict[str, Array]], Array]] = {
    "random noise, 10 %": lambda k: np.full(len(k["flip"]), -2.2),
    "random noise, 25 %": lambda k: np.full(len(k["flip"]), -1.1),
    "order and margin": lambda k: -2.2 + 2.0 * k["flip"] - 1.0 * k["margin"],
    "length": lambda k: -1.6 + 1.2 * k["length"],
    "one domain": lambda k: -2.4 + 2.6 * (k["domain"] == 2),
    "unlearnable part": lambda k: -1.8 + 1.2 * k["hidden"] + 0.8 * k["flip"],
    "order, with a helper": lambda k: -1.6 + 1.5 * k["flip"],
    "judge 95 % right": lambda k: -3.6 + 1.0 * k["flip"] - 0.5 * k["margin"],
    "judge 55 % right": lambda k: -0.3 + 1.0 * k["flip"] - 0.8 * k["margin"],
}
ADVERSARY = "order and margin, one of three people an adversary"


@dataclass(frozen=True)
class Person:
    """Who answers: wrong with probability `epsilon`; of `adversaries` in three people one says the opposite, always."""

    epsilon: float
    adversary: bool = False

    def says(self, generator: np.random.Generator, truth: Array) -> Array:
        """One person's answers, float [asked]."""
        wrong = generator.random(len(truth)) < self.epsilon
        if self.adversary:
            wrong = np.where(generator.random(len(truth)) < 1 / 3, True, wrong)
        return np.where(wrong, 1 - truth, truth)


def run(there: World, person: Person, seed: int, target: float, re_asks: int, size: Size) -> dict:
    """One run to its certificate, and whether that holds."""
    generator, pairs = np.random.default_rng((seed, 7)), len(there.wrong)
    truth = (there.signals.label > 0) ^ there.wrong
    config = RunConfig(seed=seed, audit_share=AUDIT, quorum=1, method="posterior")
    votes, batch = round(size.budget * pairs), round(size.batch * pairs)
    pilot = draw_pilot(pairs, pilot_size(pairs, votes), seed)
    tasks = votes - re_asks
    rounds = -(-(tasks - len(pilot)) // batch)
    again = re_asks / (len(pilot) + AUDIT * (tasks - len(pilot)))
    said = _asked(generator, person, truth, pilot, np.ones(len(pilot), bool), 0, again)
    for number in range(1, rounds + 2):
        places = max(0, min(batch, tasks - len(said.pair)))
        decided = triage_posterior(there.signals, said, config, number, places)
        found = decided.evidence
        assert found is not None
        if not places or stopping.may_stop(found, target, rounds + 1):
            break
        said = said.then(_asked(generator, person, truth, decided.asked.pair, decided.asked.audit, number, again))
    return _figures(found, (decided.target > 0.5) != truth, len(said.pair), number <= rounds)


def _asked(
    generator: np.random.Generator, person: Person, truth: Array, pair: Array, audit: Array, round_: int, again: float
) -> Answers:
    first = person.says(generator, truth[pair].astype(float))
    second = person.says(generator, truth[pair].astype(float))
    twice = audit & (generator.random(len(pair)) < again)
    one = np.ones(len(pair), np.int64)
    return Answers(
        pair.astype(np.int64),
        first,
        audit,
        one,
        round_ * one,
        np.where(twice, (first + second) / 2, first),
        np.where(twice, np.abs(first - second), np.nan),
    )


def _figures(found: Evidence, wrong: Array, asked: int, stopped: bool) -> dict:
    """The certificate against the truth, over all rows, people's own answers included."""
    made = estimate(found)
    assert made is not None
    error = people.people_error(found)
    if error is None:
        low, high = (made.over_all(end) for end in made.ends())
        middle = made.over_all(made.error)
    else:
        sure = people.corrected(found, made, error)
        low, high, middle = sure.low, sure.high, sure.error
    right = float(wrong.mean())
    return {
        "covered": low <= right <= high,
        "below": right > high,
        "width": high - low,
        "bias": middle - right,
        "truth": right,
        "asked": asked,
        "audits": made.audits,
        "stopped": stopped,
        "error_of_people": error.error if error else None,
    }


def cell(
    name: str, person: Person, seeds: range, re_asks: int, size: Size = MANY, stopping_rule: bool = True
) -> list[dict]:
    """One world's runs."""
    runs = []
    for seed in seeds:
        there = world(np.random.default_rng((seed, 1)), size.pairs, name)
        target = TARGETS[seed % len(TARGETS)] if stopping_rule else 0.0
        runs.append(run(there, person, seed, target, re_asks, size))
    return runs


def summed(runs: list[dict]) -> dict:
    """Coverage, widths and bias of these runs; points are of 100."""
    mean = lambda key, among: float(np.mean([run[key] for run in among]))  # noqa: E731
    return {
        "runs": len(runs),
        "coverage": mean("covered", runs),
        "truth_above": mean("below", runs),
        "width_points": 100 * mean("width", runs),
        "bias_points": 100 * mean("bias", runs),
        "wrong_labels": mean("truth", runs),
        "stopped": mean("stopped", runs),
        "asked": mean("asked", runs),
        "audits": mean("audits", runs),
    }


def measured(runs: int, width_runs: int, epsilons: Sequence[float] = EPSILONS, first: int = FIRST_SEED) -> dict:
    """Coverage of `runs` runs for each ε, spread evenly over the worlds, and widths of whole budgets."""
    each, wide = -(-runs // len(WORLDS)), -(-width_runs // len(WORLDS))
    found: dict = {"coverage": {}, "width": {}}
    for epsilon in epsilons:
        person, again = Person(epsilon), RE_ASKS if epsilon else 0
        # Seeds of their own for each world: the same one draws the same people.
        firsts = {name: first + FAR * at for at, name in enumerate(WORLDS)}
        cells = {name: cell(name, person, range(one, one + each), again) for name, one in firsts.items()}
        found["coverage"][f"{epsilon:g}"] = {
            "pooled": summed([run for of_world in cells.values() for run in of_world]),
            "worlds": {name: summed(of_world) for name, of_world in cells.items()},
        }
        whole = [r for n, one in firsts.items() for r in cell(n, person, range(one, one + wide), again, WIDE, False)]
        found["width"][f"{epsilon:g}"] = summed(whole)
    adversary = cell("order and margin", Person(0, adversary=True), range(first, first + each), RE_ASKS)
    found["adversary, one of three"] = summed(adversary)
    return found


def show(found: Mapping) -> None:
    """The figures as tables."""
    for epsilon, of_epsilon in found["coverage"].items():
        print(f"\npeople wrong with probability {epsilon}: coverage %, width, bias (points), stopped %, votes")
        for name, row in {"all worlds": of_epsilon["pooled"], **of_epsilon["worlds"]}.items():
            print(
                f"  {name:32} {100 * row['coverage']:6.1f} {row['width_points']:6.1f} {row['bias_points']:6.2f} "
                f"{100 * row['stopped']:6.0f} {row['asked']:6.0f}   ({row['runs']} runs)"
            )
        row = found["width"][epsilon]
        print(
            f"  10,000 pairs, 6 %, no stop         {100 * row['coverage']:6.1f} {row['width_points']:6.1f}   ({row['runs']} runs)"
        )
    row = found["adversary, one of three"]
    print(
        f"\none of three people an adversary: coverage {100 * row['coverage']:.1f} %, width {row['width_points']:.1f}"
    )


def main() -> None:
    """Measures, shows, and writes what was asked for."""
    parser = parser_of(__doc__, f"{QUICK_RUNS} runs for each ε instead of {RUNS:,}: figures that mean little")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs for each ε")
    asked = asked_of(parser)
    runs = QUICK_RUNS if asked.quick else asked.runs
    found = measured(runs, len(WORLDS) if asked.quick else WIDTH_RUNS)
    show(found)
    if asked.json:
        settings = {
            "runs": runs,
            "audit_share": AUDIT,
            "re_asks": RE_ASKS,
            "targets": TARGETS,
            "first_seed": FIRST_SEED,
        }
        write(asked.json, circumstances(settings) | {"simulation": True, "figures": found})


if __name__ == "__main__":
    main()
