"""One seed: a workload, a quiet run of it, the same under faults, and what must hold."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from random import Random

from services.runs import service as runs
from tests.simulation.checks import SaidBeforeCommitted, check, require
from tests.simulation.faults import Faults
from tests.simulation.workload import WORKLOADS, workload
from tests.simulation.world import Build, World

LEAST_FAULTS = 10
# Under faults a run may take so many times the steps of the quiet one; idle looks around count as well.
PATIENCE = 40


@dataclass
class Figures:
    """What seeds did, added up."""

    seeds: int = 0
    runs: int = 0
    pairs: int = 0
    steps: int = 0
    facts: int = 0
    faults: Counter[str] = field(default_factory=Counter)


@cache
def quiet(number: int) -> tuple[int, dict[str, str]]:
    """Steps of the workload's quiet run, and each run's dataset hash."""
    world = World(0, workload(number), lively=False)
    world.run(most_steps=20_000)
    fold = runs.fold()
    states = {run.run_id: fold.restore(run.run_id, world.store.rows("runs", run.run_id)) for run in world.workload}
    check(world, {run_id: state.view.dataset_sha256 for run_id, state in states.items()}, Random(0))
    return world.steps, {run_id: state.view.dataset_sha256 for run_id, state in states.items()}


def run_seed(seed: int, figures: Figures, build: Build = Build()) -> None:  # noqa: B008
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
    require(world.faults.total() >= LEAST_FAULTS, f"only {world.faults.total()} faults")
    figures.seeds += 1
    figures.runs += len(world.workload)
    figures.pairs += sum(len(run.pairs) for run in world.workload)
    figures.steps += world.steps
    figures.facts += sum(len(records) for records, _ in world.broker.topics["concord.facts.v1"].values())
    figures.faults.update(world.faults)
