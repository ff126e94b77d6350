"""A run on a real cluster in which everything goes wrong, one fault after the other, and nothing comes of it.

`make chaos` = `python -m tests.chaos [--faults 50] [--seed N] [--json FILE]`: Kafka, PostgreSQL and S3 behind wires, two
processes of every service, a judge over HTTP who counts. Faults are drawn from the seed and begin at points of the run's
progress. Ends with 1 and the seed where the dataset differs from the quiet run's, or anything was lost or paid twice.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.measure import circumstances
from concord.kit.errors import Unavailable
from concord.kit.ids import event_id
from concord.kit.log import Log
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.settings import from_environment, open_log
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import Event, Stage
from concord.wiring import SERVICES
from tests.endpoint import Endpoint
from tests.faults import KAFKA, KINDS, Fault, World
from tests.fleet import Plan, each_its_own
from tests.judged_run import (
    ANSWER,
    IN_FLIGHT,
    LATENCY_S,
    RUN,
    Quiet,
    assert_nothing_was_lost,
    closed_stages,
    configuration,
    drive_through,
    endpoint,
    quiet_run,
)

QUORUM = 2
SHARD_PAIRS = 8
# Two of different kinds may overlap; of more at once nothing could be learnt.
AT_ONCE = 2
TOGETHER = 0.3
LOOK_S = 0.02
# Enough people's answers that the run lasts until the last fault.
BUDGET = "40%"
# Of the faults, while the judge is asked, for there the money is; and between that and people's first task, which is short.
WHILE_LABELLING, BETWEEN = 0.42, 0.1
# No fault in the last steps: the run could be over before it begins.
SPARED = 12
# A person waits no longer for a fault that is due.
PATIENT_S = 30.0
LIMIT_S = 3600.0
LABELLED = event_id(RUN, f"closed/{Stage.STAGE_LABEL}.0")
ASKED = event_id(RUN, f"opened/{Stage.STAGE_ANNOTATE}.1")


class Progress:
    """How much of what the quiet run did stands in the log by now."""

    def __init__(self, log: Log, steps: Sequence[str]) -> None:
        self._log, self._steps, self._offset = log, frozenset(steps), 0
        self._partition = fact_partition(RUN)
        # When each step was taken, by the broker's clock; the first of those that were said twice.
        self.taken: dict[str, float] = {}
        self.facts: list[Event] = []

    def look(self) -> int:
        """So many steps; what was known before, where the log is away."""
        try:
            while records := self._log.read(FACTS, self._partition, self._offset, 500):
                self._offset = records[-1].offset + 1
                for record in records:
                    self._take(Event.FromString(record.value), record.at)
        except Unavailable:
            pass
        return len(self.taken)

    def _take(self, event: Event, at: float) -> None:
        self.facts.append(event)
        if event.event_id in self._steps:
            self.taken.setdefault(event.event_id, at)

    @property
    def labelled(self) -> bool:
        """Whether everything that the judge is paid for is done."""
        return LABELLED in self.taken

    @property
    def longest_stall_s(self) -> float:
        """The longest time without a step."""
        return max(later - earlier for earlier, later in pairwise(sorted(self.taken.values())))

    @property
    def said_again(self) -> int:
        """Facts that stand in the log more than once."""
        return len(self.facts) - len({event.event_id for event in self.facts})


@dataclass(frozen=True)
class Planned:
    """A fault to come: from which step of the run on, and whether it may begin before the run got over the last one."""

    point: int
    fault: Fault
    together: bool


@dataclass
class Befallen:
    """A fault that began, at which step, when, and whether calls could be lost by it that had to be paid again."""

    fault: Fault
    step: int
    began: float
    paying: bool
    # Until the run's next step; None where it was not waited for.
    recovered_s: float | None = None


def planned(world: World, kinds: Sequence[str], steps: Sequence[str], draw: random.Random) -> list[Planned]:
    """These kinds in random order, with targets and points of their own."""
    labelled, asked, end = steps.index(LABELLED), steps.index(ASKED), len(steps) - SPARED
    early, between = round(WHILE_LABELLING * len(kinds)), round(BETWEEN * len(kinds))
    points = [*draw.sample(range(2, labelled - 2), early), *draw.sample(range(labelled, asked), between)]
    points += draw.sample(range(asked, end), len(kinds) - len(points))
    made = [KINDS[kind][0](world, draw) for kind in draw.sample(kinds, len(kinds))]
    return [Planned(point, fault, draw.random() < TOGETHER) for point, fault in zip(sorted(points), made, strict=True)]


def drawn_kinds(count: int, left_out: Mapping[str, str], draw: random.Random) -> list[str]:
    """Each kind once, if there is room, and the rest by weight."""
    weights = {kind: weight for kind, (_, weight) in KINDS.items() if kind not in left_out}
    more = draw.choices(list(weights), list(weights.values()), k=max(0, count - len(weights)))
    return [*weights, *more][:count]


class Chaos:
    """Lets the faults begin and end; `turn` is to be called all the time."""

    def __init__(self, world: World, plan: Sequence[Planned], progress: Progress, say: Callable[[str], object]) -> None:
        self._say, self._began = say, time.monotonic()
        self._world, self._coming, self._progress = world, list(plan), progress
        self._active: list[tuple[float, Fault]] = []
        self._calm = threading.Event()
        self._step = 0
        self.befallen: list[Befallen] = []

    def turn(self) -> None:
        """Ends the faults whose time is over and begins the next one where its point is reached."""
        now = time.monotonic()
        for over, fault in [active for active in self._active if active[0] <= now]:
            self._active.remove((over, fault))
            fault.end()
        # Its reader would wait for what we took away.
        if not any(fault.target == KAFKA for _, fault in self._active):
            self._step = self._progress.look()
        self._note_recovery()
        for name, process in self._world.fleet.processes.items():
            assert process.poll() is None, f"{name} ended by itself:\n{self._world.fleet.log(name)}"
        is_due = bool(self._coming) and self._step >= self._coming[0].point
        if is_due and self._may_begin(self._coming[0]):
            self._begin(self._coming.pop(0).fault)
        # Only people can be asked to wait: else a run that has recovered would run away from its faults.
        (self._calm.clear if is_due and self._has_recovered() else self._calm.set)()

    def _has_recovered(self) -> bool:
        return not self.befallen or self._step > self.befallen[-1].step

    def _may_begin(self, coming: Planned) -> bool:
        if not self._active:
            return self._has_recovered()
        busy = {fault.target for _, fault in self._active}
        return len(busy) < AT_ONCE and coming.fault.target not in busy and (coming.together or self._has_recovered())

    def _begin(self, fault: Fault) -> None:
        # A process that is no judge has no calls in flight.
        asks = fault.target.startswith("labeling") or fault.target not in self._world.fleet.names
        self.befallen.append(Befallen(fault, self._step, time.monotonic(), asks and not self._progress.labelled))
        self._say(f"{time.monotonic() - self._began:6.1f} s  step {self._step:3}  {fault.kind}: {fault.target}")
        fault.begin()
        self._active.append((time.monotonic() + fault.lasts_s, fault))

    def _note_recovery(self) -> None:
        for one in self.befallen[-AT_ONCE:]:
            if one.recovered_s is None and self._step > one.step:
                one.recovered_s = time.monotonic() - one.began

    def answer(self, pair: int, vote: int):
        """People's answers, held back while a fault is due."""
        self._calm.wait(PATIENT_S)
        return ANSWER(pair, vote)


def disturbed(
    judge: Endpoint, quiet: Quiet, count: int, seed: int, plan: Plan, say: Callable[[str], object]
) -> dict[str, Any]:
    """The figures of one run with `count` faults; raises AssertionError where anything came of them."""
    environment = {
        "CONCORD_JUDGE_CONCURRENCY": str(IN_FLIGHT),
        "CONCORD_REISSUE_AFTER_S": "5",
        "CONCORD_PROCESSES": "1",
    }
    judge.behaviour.latency_s = LATENCY_S
    judge.paid.clear()
    draw = random.Random(seed)
    with World(environment, plan, LIMIT_S) as world:
        log = open_log(from_environment(world.environment, home=str(world.home)))
        progress = Progress(log, quiet.steps)
        coming = planned(world, drawn_kinds(count, world.left_out, draw), quiet.steps, draw)
        chaos, began = Chaos(world, coming, progress, say), time.monotonic()
        config = configuration(judge.url, QUORUM, shard_pairs=SHARD_PAIRS, budget=BUDGET)
        doors = world.fleet.replicas("runs"), world.fleet.replicas("tasks")
        run = in_background(lambda: drive_through(*doors, config, chaos.answer))
        try:
            wait_for(run, chaos.turn)
        finally:
            world.mend()
        view, seconds = run.result(), time.monotonic() - began
        for name in world.fleet.names:
            world.fleet.wait_ready(name)
        progress.look()
        log.close()
        check(view, quiet, progress, judge, chaos, world)
        return {"seed": seed, **figures(quiet, progress, judge, chaos, seconds), "left_out": world.left_out}


def in_background(do: Callable[[], pb.RunView]) -> "Future[pb.RunView]":
    """Runs beside us, and keeps nobody waiting who gave it up: servers can only be started again from the main thread."""
    future: Future[pb.RunView] = Future()

    def work() -> None:
        try:
            future.set_result(do())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="the run", daemon=True).start()
    return future


def wait_for(run: Future, turn: Callable[[], None]) -> None:
    """Turns until the run has ended."""
    over = threading.Event()
    run.add_done_callback(lambda _: over.set())
    while not over.wait(LOOK_S):
        turn()


def check(view: pb.RunView, quiet: Quiet, progress: Progress, judge: Endpoint, chaos: Chaos, world: World) -> None:
    """Raises AssertionError unless all is as in the quiet run."""
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    assert view.dataset_sha256 == quiet.dataset_sha256, "another dataset"
    missing = set(quiet.steps) - set(progress.taken)
    assert not missing, f"{len(missing)} steps of the quiet run are missing"
    assert closed_stages(progress.facts) == quiet.stages
    assert not any(event.stage_closed.failed_units for event in progress.facts)
    assert_nothing_was_lost(world.environment, world.home)
    assert len(judge.paid) == quiet.calls, (
        f"{len(judge.paid)} different calls were paid, {quiet.calls} in the quiet run"
    )
    assert judge.paid_again <= lost_at_most(chaos), f"{judge.paid_again} calls were paid again"


def lost_at_most(chaos: Chaos) -> int:
    """Calls in flight: of the judge that was hit, and of the one that hands units over to it when it is back."""
    return 2 * IN_FLIGHT * sum(one.paying for one in chaos.befallen)


def figures(quiet: Quiet, progress: Progress, judge: Endpoint, chaos: Chaos, seconds: float) -> dict[str, Any]:
    """What is recorded."""
    recovered: dict[str, list[float]] = {}
    for one in chaos.befallen:
        recovered.setdefault(one.fault.kind, []).append(one.recovered_s or 0.0)
    kinds = Counter(one.fault.kind for one in chaos.befallen)
    return {
        "faults": len(chaos.befallen),
        "by_kind": {
            kind: {"faults": kinds[kind], "longest_s_to_next_step": round(max(recovered[kind]), 1)} for kind in kinds
        },
        "seconds": round(seconds, 1),
        "longest_stall_s": round(progress.longest_stall_s, 1),
        "steps": len(quiet.steps),
        "facts": len(progress.facts),
        "facts_said_again": progress.said_again,
        "calls": quiet.calls,
        "calls_paid_again": judge.paid_again,
        "faults_while_paying": sum(one.paying for one in chaos.befallen),
        "dataset_sha256": quiet.dataset_sha256,
        "sequence": [
            f"step {one.step}: {one.fault.kind}, {one.fault.target}; next step after {one.recovered_s or 0:.1f} s"
            for one in chaos.befallen
        ],
    }


def run_chaos(count: int, seed: int, plan: Plan, say: Callable[[str], object] = print) -> dict[str, Any]:
    """The quiet run, then the same with `count` faults; each is said when it begins."""
    with endpoint(flips=0.2) as judge, tempfile.TemporaryDirectory(prefix="concord-quiet-") as home:
        quiet = quiet_run(judge, configuration(judge.url, QUORUM, shard_pairs=SHARD_PAIRS, budget=BUDGET), Path(home))
        return disturbed(judge, quiet, count, seed, plan, say)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=50, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="what they are, whom they hit and when")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures go there as well")
    given = parser.parse_args()
    try:
        tell = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
        found = run_chaos(given.faults, given.seed, each_its_own(**dict.fromkeys(SERVICES, 2)), tell)
        assert found["faults"] == given.faults, f"only {found['faults']} faults began before the run ended"
    except AssertionError as error:
        print(f"{error}\nagain: python -m tests.chaos --faults {given.faults} --seed {given.seed}")
        return 1
    found = circumstances({"faults": given.faults, "seed": given.seed}) | found
    print(json.dumps(found, indent=2))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
