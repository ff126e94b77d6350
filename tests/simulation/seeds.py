"""Seeds: each a workload, a quiet run of it, the same under faults, and what must hold."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from random import Random

import structlog

from concord.kit.log.topics import FACTS
from concord.runs import service as runs
from tests.simulation.checks import SaidBeforeCommitted, check, require
from tests.simulation.cluster import Build
from tests.simulation.faults import Faults
from tests.simulation.plants import PLANTS
from tests.simulation.workload import WORKLOADS, workload
from tests.simulation.world import World

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
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        for name in ("seeds", "runs", "pairs", "steps", "facts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.fewest_faults = min(self.fewest_faults, other.fewest_faults)
        self.faults.update(other.faults)
        self.failures += other.failures

    def line(self, seconds: float) -> str:
        """All of it, in one line."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.seeds} seeds good, {len(self.failures)} bad; {self.runs} runs, {self.pairs} pairs, {self.facts} facts, "
            f"{self.steps} steps, {self.faults.total()} faults, at least {self.fewest_faults} a seed ({kinds}); "
            f"{seconds:.1f} s, {self.seeds / seconds:.1f} seeds/s"
        )


@cache
def quiet(number: int) -> tuple[int, dict[str, str]]:
    """Steps of the workload's quiet run, and each run's dataset hash; made once in a process."""
    world = World(0, workload(number), lively=False)
    world.run(most_steps=20_000)
    fold = runs.fold()
    states = {
        run.run_id: fold.restore(run.run_id, world.cluster.store.rows("runs", run.run_id)) for run in world.workload
    }
    hashes = {run_id: state.view.dataset_sha256 for run_id, state in states.items()}
    check(world, hashes, Random(0))
    return world.steps, hashes


def run_seed(seed: int, build: Build = Build()) -> Figures:  # noqa: B008
    """Runs the seed and checks it; raises AssertionError (Violation, Stuck) where a promise is broken."""
    number = seed % WORKLOADS
    quiet_steps, hashes = quiet(number)
    world = World(seed, workload(number), lively=True, build=build)
    faults, said = Faults(world, quiet_steps), SaidBeforeCommitted(world)

    def watch() -> None:
        faults.act()
        said.check()

    world.watch = watch
    world.run(most_steps=PATIENCE * quiet_steps)
    check(world, hashes, Random(seed))
    count = world.cluster.faults.total()
    require(count >= LEAST_FAULTS, f"only {count} faults")
    pairs = sum(len(run.pairs) for run in world.workload)
    facts = sum(len(records) for records, _ in world.cluster.broker.topics[FACTS.name].values())
    return Figures(1, len(world.workload), pairs, world.steps, facts, count, world.cluster.faults)


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
            run_seed(seed, PLANTS[plant].build)
        except AssertionError as error:
            if re.search(PLANTS[plant].reported, str(error)):
                return seed, str(error)
    return None


def silence() -> None:
    """What production code logs about faults is no news here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
