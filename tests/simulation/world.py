"""The cluster: two replicas of every service, their log, store and blobs, the people, one clock, one thread."""

import heapq
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work
from services.kit import topics
from services.kit.blobs import MemoryBlobs
from services.kit.commands import entry_of
from services.kit.errors import ConcordError, Unavailable
from services.kit.fold import Fold
from services.kit.reactor import Reactor
from services.kit.store import MemoryStore
from services.kit.worker import Worker
from services.runs import service as runs
from services.tasks import service as tasks
from tests.simulation import stubs
from tests.simulation.memory_log import Broker, MemoryLog
from tests.simulation.memory_slots import MemorySlots
from tests.simulation.people import Annotator, Desk, Operator, Owner
from tests.simulation.process import Crashed, FrontStore, Process, ProcessBlobs, ProcessLog, ProcessStore
from tests.simulation.workload import Run

WORKERS = {"labeling": topics.LABEL, "scoring": topics.SCORE, "triage": topics.TRIAGE, "training": topics.TRAIN}
REPLICAS = 2
LEASE_S = 15.0
IDLE_S = 0.25
# A replica that hears nothing is stepped all the same, as its loop would do: for deadlines, retries, lost work.
LOOK_S, MOST_LOOK_S = 1.0, 20.0
# What a request that is still on its way may take to land.
SETTLE_S = 6.0


class Stuck(AssertionError):
    """A run does not end; says what it waits for."""


@dataclass(frozen=True)
class Build:
    """What the cluster is made of; a planted bug is another part in one of these places."""

    reactor: type[Reactor] = Reactor
    worker: type[Worker] = Worker
    store: type[MemoryStore] = MemoryStore
    log: Callable[[ProcessLog], Any] = lambda log: log
    runs_fold: Callable[[], Fold] = runs.fold
    tasks_fold: Callable[[], Fold] = tasks.fold


@dataclass
class Replica:
    """One replica's place: the process in it comes and goes."""

    name: str
    make: Callable[[Process], Any]
    process: Process
    stepper: Any = None
    looked_at: float = 0.0
    # A future of it is done, so that it has something to do.
    nudged: bool = False


@dataclass
class Unit:
    """A unit that a worker's replica works on."""

    process: Process
    replica: Replica
    work: Work
    future: Future = field(default_factory=Future)


class World:
    """All of it; `run()` drives it until every run has ended and everything is folded."""

    def __init__(self, seed: int, workload: tuple[Run, ...], lively: bool, build: Build = Build()) -> None:
        """`lively`: records take time to be seen, units and people take time, the order is drawn by the seed."""
        self.chance = Random(f"world {seed}")
        self.workload, self.lively, self.build = workload, lively, build
        self.now, self.steps, self.slow_until = 1_000.0, 0, 0.0
        self.faults: Counter[str] = Counter()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_number = 0
        self._moved = self.now
        self.broker = Broker(lambda: self.now, self._delay)
        self.log = MemoryLog(self.broker)
        self.blobs, self.store, self.slots = MemoryBlobs(), build.store(), MemorySlots(self.now)
        self.units: list[Unit] = []
        # What the unit raises instead of giving its fact.
        self.trouble: Callable[[Unit], Exception | None] = lambda unit: None
        # Called after each thing that happens.
        self.watch: Callable[[], None] = lambda: None
        self._stalling = False
        self.replicas = [self._replica(f"{name}-{n}", self._maker(name)) for n in range(REPLICAS) for name in SERVICES]
        self.desks = [self._replica(f"desk-{n}", self._desk) for n in range(REPLICAS)]
        seeds = {run.run_id: run.config.seed for run in workload}
        self.people = [Annotator(f"person-{n}", seeds, Random(f"person {seed} {n}"), lively) for n in range(5)]
        self.operators = [Operator(run) for run in workload]
        self._callers()

    # ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Calls once that time has passed."""
        self._timer_number += 1
        heapq.heappush(self._timers, (self.now + seconds, self._timer_number, call))

    def repeat(self, act: Callable[[], float | None]) -> None:
        """Calls `act` now, and again after as many seconds as it answers."""

        def again() -> None:
            wait = act()
            if wait is not None:
                self.after(wait, again)

        again()

    def _delay(self) -> float:
        if not self.lively:
            return 0.0
        if self.now < self.slow_until:
            return self.chance.random() * 4.0
        return self.chance.random() * 0.05 if self.chance.random() < 0.5 else 0.0

    # ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _replica(self, name: str, make: Callable[[Process], Any]) -> Replica:
        return Replica(name, make, self._process(name))

    def _process(self, name: str) -> Process:
        return Process(name, self.burnt, lambda call: self.after(self.chance.random() * 5.0, lambda: void(call)))

    def burnt(self, process: Process, kind: str) -> None:
        """A fuse did its work; a stall lets the others go on in the middle of this process's call."""
        self.faults[kind] += 1
        if kind == "stall in a step" and not self._stalling:
            self._stalling = True
            if process.consumer is not None and self.chance.random() < 0.8:
                process.consumer.leave()
            for _ in range(self.chance.randint(5, 60)):
                self.advance()
            self._stalling = False

    def freeze(self, replica: Replica, seconds: float, expelled_s: float) -> None:
        """The process stands still for a while, between two steps; where it is expelled, it wakes up as a zombie."""
        process = replica.process
        process.busy = True
        assert process.consumer is not None
        self.after(expelled_s, process.consumer.leave)

        def wake() -> None:
            process.busy = False

        self.after(max(seconds, expelled_s), wake)

    def _maker(self, name: str) -> Callable[[Process], Any]:
        if name in WORKERS:
            return partial(self._worker, name)
        return partial(self._reactor, name)

    def _reactor(self, name: str, process: Process) -> Reactor:
        log = self.build.log(ProcessLog(self.log, process))
        store, blobs = ProcessStore(self.store, process), ProcessBlobs(self.blobs, process)
        fold = self.build.runs_fold() if name == "runs" else self.build.tasks_fold()
        project = None if name == "runs" else lambda connection, changes: self.slots.project(connection, changes)
        return self.build.reactor(name, fold, log, store, blobs, lambda: self.now, project)

    def _worker(self, name: str, process: Process) -> Worker:
        log = self.build.log(ProcessLog(self.log, process))
        start = partial(self._begin_unit, process)
        blobs = ProcessBlobs(self.blobs, process)
        return self.build.worker(name, WORKERS[name], start, log, blobs, lambda: self.now, concurrency=3)

    def _desk(self, process: Process) -> Desk:
        log, store = ProcessLog(self.log, process), FrontStore(self.store, process)
        clock = lambda: self.now  # noqa: E731
        return (
            runs.Runs(log, store, ProcessBlobs(self.blobs, process)),
            tasks.Tasks(log, store, self.blobs, self.slots, clock, LEASE_S),
        )

    def _begin_unit(self, process: Process, work: Work) -> Future:
        replica = next(replica for replica in self.replicas if replica.process is process)
        unit = Unit(process, replica, work)
        self.units.append(unit)
        self.after(self.chance.random() * 2.0 if self.lively else 0.0, lambda: self._end_unit(unit))
        return unit.future

    def _end_unit(self, unit: Unit) -> None:
        self.units.remove(unit)
        if unit.process.dead or not unit.future.set_running_or_notify_cancel():
            return
        unit.replica.nudged = True
        if (error := self.trouble(unit)) is not None:
            unit.future.set_exception(error)
            return
        unit.future.set_result(stubs.do(unit.work, self.blobs))

    def kill(self, replica: Replica, restart_s: float, expelled_s: float) -> None:
        """The process ends here and now; its place is filled again later, the group notices on its own."""
        process = replica.process
        process.dead, replica.stepper = True, None
        if process.consumer is not None:
            self.after(expelled_s, process.consumer.leave)
        self.after(restart_s, lambda: self._restart(replica))

    def _restart(self, replica: Replica) -> None:
        replica.process, replica.looked_at = self._process(replica.name), 0.0

    # ── callers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _callers(self) -> None:
        for run in self.workload:
            owner = Owner(run)
            self.after(self.chance.random(), partial(self.repeat, lambda owner=owner: owner.act(self.call)))
        for operator in self.operators:
            self.after(1.0, partial(self.repeat, lambda operator=operator: operator.act(self.call)))
        for person in self.people:
            self.after(0.5, partial(self.repeat, lambda person=person: person.act(self.call)))
        for desk in self.desks:
            self.after(2.0, partial(self.repeat, lambda desk=desk: self._say_again(desk)))

    def call(self, command: Callable[[Desk], object]) -> object:
        """Some replica of the front door answers; Unavailable where it died or stalls."""
        desk = self.chance.choice(self.desks)
        if desk.process.dead or desk.process.busy:
            raise Unavailable("this replica does not answer")
        try:
            if desk.stepper is None:
                desk.stepper = desk.make(desk.process)
            desk.process.busy = True
            return command(desk.stepper)
        except Crashed:
            self.kill(desk, self.chance.random() * 3.0, 0.0)
            raise Unavailable("the connection broke") from None
        finally:
            desk.process.busy = False

    def _say_again(self, desk: Replica) -> float:
        """What runs beside the tasks service: answers whose append was lost are appended again."""
        late = self.slots.unsaid(self.now)
        if late and not desk.process.dead:
            try:
                ProcessLog(self.log, desk.process).append([entry_of(Event.FromString(said)) for _, said in late])
            except (ConcordError, Crashed):
                return 1.0
        return 2.0

    # ── the scheduler ───────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, most_steps: int) -> None:
        """Drives everything until all runs have ended; raises Stuck where they do not within `most_steps`."""
        while not self.ended():
            if self.steps > most_steps:
                raise Stuck(self.describe())
            self.advance()
        self.settle()

    def advance(self) -> None:
        """One thing happens: a timer, a replica's step, or a while of silence."""
        self.steps += 1
        due = bool(self._timers) and self._timers[0][0] <= self.now
        ready = [] if due and self.chance.random() < 0.5 else [r for r in self.replicas if self._ready(r)]
        if ready:
            self._step(self.chance.choice(ready) if self.lively else ready[0])
            self.now += self.chance.random() * 0.02
        elif due:
            self._fire()
        else:
            self.now = min([self.now + IDLE_S, *(timer[0] for timer in self._timers[:1])])
        self.watch()

    def _ready(self, replica: Replica) -> bool:
        """Whether it has something to do, or nobody looked for a while; the longer nothing moves, the longer that is."""
        process = replica.process
        if process.dead or process.busy:
            return False
        unseen = self.now - replica.looked_at
        if replica.stepper is None or replica.nudged or unseen >= min(max(LOOK_S, self.now - self._moved), MOST_LOOK_S):
            return True
        assert process.consumer is not None
        return process.consumer.stale() or bool(process.consumer.news(self.now))

    def _fire(self) -> None:
        _, _, call = heapq.heappop(self._timers)
        call()

    def _step(self, replica: Replica) -> None:
        process = replica.process
        replica.looked_at, replica.nudged, process.busy = self.now, False, True
        try:
            if replica.stepper is None:
                replica.stepper = replica.make(process)
            if replica.stepper.step(0.0):
                self._moved = self.now
        except Unavailable:
            replica.nudged = True
        except Crashed:
            self.kill(replica, self.chance.random() * 8.0, self.chance.random() * 10.0)
        finally:
            process.busy = False

    def settle(self) -> None:
        """Everything that is in the log, or was under way, is taken in by both reactors."""
        until, most = self.now + SETTLE_S, self.steps + 5_000
        while self.now < until or not self._folded():
            if self.steps > most:
                raise Stuck(f"what is in the log is not folded\n{self.describe()}")
            self.advance()

    def _folded(self) -> bool:
        return all(
            self.store.position(service, partition).next_offset == len(records)
            for service in ("runs", "tasks")
            for partition, (records, _) in self.broker.topics[topics.FACTS.name].items()
        )

    # ── what is to be seen from outside ─────────────────────────────────────────────────────────────────────────────

    def ended(self) -> bool:
        """Whether all runs' ends stand in the store of the runs service."""
        known = self.store.runs("runs")
        return len(known) >= len(self.workload) and not self.store.runs("runs", active_only=True)

    def describe(self) -> str:
        """What each run waits for."""
        lines = [f"after {self.steps} steps and {self.now - 1_000:.0f} s of its time; faults {dict(self.faults)}"]
        fold = runs.fold()
        for run in self.workload:
            state = fold.restore(run.run_id, self.store.rows("runs", run.run_id))
            undone = [n for n in range(state.open.units) if n not in state.settled] if state.open else []
            lines.append(
                f"run {run.run_id} {run.config.method}: status {state.view.status}, pause {state.view.pause_reason} "
                f"{state.view.detail!r}, open {state.open and (state.open.stage, state.open.round)}, undone {undone}"
            )
        return "\n".join(lines)


SERVICES = ("runs", "tasks", *WORKERS)


def void(call: Callable[[], object]) -> None:
    """A call that lands when nobody listens any more."""
    try:
        call()
    except ConcordError:
        return
