"""Seeds: each a workload, a quiet run of it, the same under faults, and what must hold."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random

import structlog

from concord.kit.log.topics import FACTS
from tests.simulation.checks import SaidBeforeCommitted, check, outcome, require
from tests.simulation.cluster import Build
from tests.simulation.faults import Faults, Planned, planned
from tests.simulation.people import CANCELLED
from tests.simulation.plants import PLANTS
from tests.simulation.shrink import shrink
from tests.simulation.workload import WORKLOADS, Run, workload
from tests.simulation.world import Stuck, World

LEAST_FAULTS = 10
# Under faults a run may take so many times the steps of the quiet one: most of them look and find nothing to do.
PATIENCE = 40


@dataclass
class Figures:
    """What seeds did, added up; `failures`: (seed, report)."""

    seeds: int = 0
    runs: int = 0
    pairs: int = 0
    steps: int = 0
    facts: int = 0
    fewest_faults: int = 1 << 30
    faults: Counter[str] = field(default_factory=Counter)
    # How many runs have the undisturbed run's dataset, and why others may not have it.
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        for name in ("seeds", "runs", "pairs", "steps", "facts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.fewest_faults = min(self.fewest_faults, other.fewest_faults)
        self.faults.update(other.faults)
        self.ends.update(other.ends)
        self.failures += other.failures

    def counts(self) -> dict[str, object]:
        """What was done, for a file."""
        return {
            "cluster_runs": self.runs,
            "facts": self.facts,
            "steps": self.steps,
            "faults": dict(sorted(self.faults.items())),
            "ends": dict(sorted(self.ends.items())),
        }

    def line(self, seconds: float) -> str:
        """All of it, in one line."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        ends = ", ".join(f"{why}: {count}" for why, count in sorted(self.ends.items()))
        return (
            f"{self.seeds} seeds good, {len(self.failures)} bad; {self.runs} runs, {self.pairs} pairs, {self.facts} facts, "
            f"{self.steps} steps, {self.faults.total()} faults, at least {self.fewest_faults} a seed ({kinds}); "
            f"of the runs {ends}; "
            f"{seconds:.1f} s, {self.seeds / seconds:.1f} seeds/s"
        )


@cache
def quiet(number: int) -> tuple[int, dict[str, str]]:
    """Steps of the workload's quiet run, and each run's outcome; made once in a process."""
    world = World(0, workload(number), lively=False)
    world.run(most_steps=20_000)
    hashes = {run.run_id: outcome(world, run.run_id) for run in world.workload}
    check(world, hashes, Random(0))
    return world.steps, hashes


def plan_of(seed: int, often: str = "") -> tuple[Planned, ...]:
    """The faults that befall this seed's cluster; half of them of the kind that comes `often`, where one does."""
    return planned(seed, quiet(seed % WORKLOADS)[0], often)


def run_seed(seed: int, build: Build = Build(), plan: Sequence[Planned] | None = None) -> Figures:  # noqa: B008
    """Runs the seed under its faults, or under those of `plan`, and checks it; raises AssertionError (Violation, Stuck, Wronged)
    where a promise is broken."""
    number = seed % WORKLOADS
    quiet_steps, hashes = quiet(number)
    world = World(seed, workload(number), lively=True, build=build)
    faults, said = Faults(world, plan_of(seed) if plan is None else plan), SaidBeforeCommitted(world)

    def watch() -> None:
        faults.act()
        said.check()

    world.watch = watch
    world.run(most_steps=PATIENCE * quiet_steps)
    check(world, hashes, Random(seed))
    count = world.cluster.faults.total()
    # A run that was cancelled ends before most of what was planned for it.
    is_whole = plan is None and not any(CANCELLED in why for why in world.cluster.reasons.values())
    require(count >= LEAST_FAULTS or not is_whole, f"only {count} faults")
    pairs = sum(len(run.pairs) for run in world.workload)
    facts = sum(len(records) for records, _ in world.cluster.broker.topics[FACTS.name].values())
    ends = Counter(_end(world, run) for run in world.workload)
    return Figures(1, len(world.workload), pairs, world.steps, facts, count, world.cluster.faults, ends)


def _end(world: World, run: Run) -> str:
    """That its dataset is the undisturbed run's, or why it may be another."""
    why = world.cluster.reasons.get(run.run_id, set()) | (set() if run.steady else {"its people had little time"})
    return " and ".join(sorted(why)) or "with the dataset of the undisturbed run"


def minimal(seed: int, build: Build = Build(), most_tries: int = 100) -> tuple[Planned, ...]:  # noqa: B008
    """The fewest of a failing seed's faults with which it still fails in the same way."""
    first = failure(seed, build)

    def fails(plan: Sequence[Planned]) -> bool:
        return failure(seed, build, plan) == first

    return shrink(plan_of(seed), fails, most_tries)


def failure(seed: int, build: Build = Build(), plan: Sequence[Planned] | None = None) -> str:  # noqa: B008
    """How the seed fails, without its numbers and names; empty where it does not."""
    try:
        run_seed(seed, build, plan)
    except Stuck:
        return "Stuck"
    except Exception as error:  # a report, be it a broken promise or a bug in production code
        first = str(error).splitlines()[0] if str(error) else ""
        return f"{type(error).__name__}: {' '.join(word for word in first.split() if word.isalpha())}"
    return ""


def run_seeds(seeds: Iterable[int], keep_going: bool = True) -> Figures:
    """The figures of all of them, failures with their reports among these."""
    silence()
    figures = Figures()
    for seed in seeds:
        try:
            figures.add(run_seed(seed))
        except Exception as error:  # a report, be it a broken promise or a bug in production code
            figures.failures.append((seed, f"{type(error).__name__}: {error}"))
            if not keep_going:
                break
    return figures


def first_caught(plant: str, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first seed that reports the planted bug in its own words, and the report."""
    silence()
    for seed in seeds:
        try:
            run_seed(seed, PLANTS[plant].build, plan_of(seed, PLANTS[plant].often))
        except AssertionError as error:
            if re.search(PLANTS[plant].reported, str(error)):
                return seed, str(error)
    return None


def minimal_of_plant(plant: str) -> tuple[Planned, ...]:
    """The fewest faults with which the plant's seed finds it."""
    silence()
    return minimal(PLANTS[plant].seed, PLANTS[plant].build)


def silence() -> None:
    """What production code logs about faults is no news here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
