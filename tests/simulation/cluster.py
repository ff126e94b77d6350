"""Two replicas of every service on one log, one store and one blob store; their processes come and go."""

from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import ConcordError, Unavailable
from concord.kit.log import topics
from concord.kit.loop.facts import entry_of
from concord.kit.loop.fold import Fold
from concord.kit.loop.reactor import Reactor
from concord.kit.loop.units import Begun, of_future
from concord.kit.loop.worker import Worker
from concord.runs import service as runs
from concord.runs.bearing import Bearing
from concord.tasks import service as tasks
from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work
from tests.simulation import stubs
from tests.simulation.clock import Clock
from tests.simulation.durable import DurableStore
from tests.simulation.memory_log import Broker, MemoryLog
from tests.simulation.memory_slots import MemorySlots
from tests.simulation.people import Desk
from tests.simulation.process import Crashed, FrontStore, Process, ProcessBlobs, ProcessLog, ProcessStore

WORKERS = {"labeling": topics.LABEL, "scoring": topics.SCORE, "triage": topics.TRIAGE, "training": topics.TRAIN}
SERVICES = ("runs", "tasks", *WORKERS)
REPLICAS = 2
CONCURRENCY = 3
LEASE_S = 15.0
# What a unit, and what a request that is still on its way, may take.
UNIT_S, LATE_S = 2.0, 5.0


@dataclass(frozen=True)
class Build:
    """What the cluster is made of; a planted bug is another part in one of these places."""

    reactor: type[Reactor] = Reactor
    worker: type[Worker] = Worker
    store: type[DurableStore] = DurableStore
    log: Callable[[ProcessLog], Any] = lambda log: log
    runs_fold: Callable[[], Fold] = runs.fold
    tasks_fold: Callable[[], Fold] = tasks.fold
    slots: type[MemorySlots] = MemorySlots
    desk: type[tasks.Tasks] = tasks.Tasks
    # Whether answers whose append was lost are appended again.
    says_again: bool = True


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
    # Its next process runs the next version.
    newer: bool = False

    def idle(self) -> bool:
        """Whether its process lives and is at nothing else."""
        return not (self.process.dead or self.process.busy)


@dataclass
class Unit:
    """A unit that a worker's process works on."""

    process: Process
    replica: Replica
    work: Work
    future: Future = field(default_factory=Future)


class Cluster:
    """The replicas, what they share, and what befalls them."""

    def __init__(self, chance: Random, clock: Clock, lively: bool, build: Build) -> None:
        self.chance, self.clock, self.lively, self.build = chance, clock, lively, build
        self.faults: Counter[str] = Counter()
        # Run → why its dataset may differ from the undisturbed one's.
        self.reasons: dict[str, set[str]] = defaultdict(set)
        self.lies_until = self.rubbish_until = 0.0
        self.slow_until = 0.0
        self.broker = Broker(clock, self._delay)
        self.log = MemoryLog(self.broker)
        self.blobs, self.store, self.slots = MemoryBlobs(), build.store(), build.slots(clock.now)
        self.units: list[Unit] = []
        # What the unit raises instead of giving its fact.
        self.trouble: Callable[[Unit], Exception | None] = lambda unit: None
        # What the others do while a process stalls in the middle of a call.
        self.meanwhile: Callable[[], None] = lambda: None
        self._stalling = False
        self.replicas = [self._replica(f"{name}-{n}", self._maker(name)) for n in range(REPLICAS) for name in SERVICES]
        self.desks = [self._replica(f"desk-{n}", self._desk) for n in range(REPLICAS)]

    def _delay(self) -> float:
        if not self.lively:
            return 0.0
        if self.clock.now < self.slow_until:
            return self.chance.random() * 4.0
        drawn = self.chance.random()
        return 0.0 if drawn < 0.5 else 0.1 * (drawn - 0.5) if drawn < 0.97 else self.chance.random() * 2.0

    # ── what runs in a process ──────────────────────────────────────────────────────────────────────────────────────

    def _maker(self, name: str) -> Callable[[Process], Any]:
        return partial(self._worker if name in WORKERS else self._reactor, name)

    def _reactor(self, name: str, process: Process) -> Reactor:
        log = self.build.log(ProcessLog(self.log, process))
        store, blobs = ProcessStore(self.store, process), ProcessBlobs(self.blobs, process)
        fold = self.build.runs_fold() if name == "runs" else self.build.tasks_fold()
        fold = replace(fold, version=fold.version + process.newer)
        project = self.slots.project if name == "tasks" else None
        return self.build.reactor(name, fold, log, store, blobs, self._clock_of(process), project)

    def _clock_of(self, process: Process) -> Callable[[], float]:
        return lambda: self.clock.now + process.skew

    def _worker(self, name: str, process: Process) -> Worker:
        log, blobs = self.build.log(ProcessLog(self.log, process)), ProcessBlobs(self.blobs, process)
        start = partial(self._begin_unit, process)
        return self.build.worker(name, WORKERS[name], start, log, blobs, self._clock_of(process), CONCURRENCY)

    def _desk(self, process: Process) -> Desk:
        """The handlers of commands and queries of both services."""
        log, store, blobs = ProcessLog(self.log, process), FrontStore(self.store, process), self.blobs
        front = runs.Runs(log, store, ProcessBlobs(blobs, process), {}, Bearing(self._clock_of(process)))
        return front, self.build.desk(log, store, blobs, self.slots, self._clock_of(process), LEASE_S)

    def _begin_unit(self, process: Process, work: Work) -> Begun:
        replica = next(replica for replica in self.replicas if replica.process is process)
        unit = Unit(process, replica, work)
        self.units.append(unit)
        self.clock.after(self.chance.random() * UNIT_S if self.lively else 0.0, lambda: self._end_unit(unit))
        return of_future(unit.future)

    def _end_unit(self, unit: Unit) -> None:
        self.units.remove(unit)
        if unit.process.dead or not unit.future.set_running_or_notify_cancel():
            return
        unit.replica.nudged = True
        if (error := self.trouble(unit)) is not None:
            unit.future.set_exception(error)
        else:
            unit.future.set_result(self._judged(unit.work, stubs.do(unit.work, self.blobs)))

    def _judged(self, work: Work, event: Event) -> Event:
        """What the judge says today: now and then the opposite, or what nobody can read."""
        if event.HasField("shard_labeled") and self.clock.now < self.lies_until:
            self.reasons[work.run_id].add("the judge lied")
            stubs.lie(event)
        if event.HasField("shard_labeled") and self.clock.now < self.rubbish_until:
            self.reasons[work.run_id].add("the judge said what nobody can read")
            stubs.ramble(event)
        return event

    # ── what befalls a process ──────────────────────────────────────────────────────────────────────────────────────

    def _replica(self, name: str, make: Callable[[Process], Any]) -> Replica:
        return Replica(name, make, self._process(name))

    def _process(self, name: str) -> Process:
        return Process(
            name, self._burnt, lambda call: self.clock.after(self.chance.random() * LATE_S, partial(void, call))
        )

    def _burnt(self, process: Process, kind: str) -> None:
        """A fuse did its work; a stall lets the others go on in the middle of this process's call."""
        self.faults[kind] += 1
        if kind == "stall in a step" and not self._stalling:
            self._stalling = True
            if process.consumer is not None and self.chance.random() < 0.8:
                process.consumer.leave()
            for _ in range(self.chance.randint(5, 60)):
                self.meanwhile()
            self._stalling = False

    def freeze(self, replica: Replica, seconds: float, expelled_s: float) -> None:
        """The process stands still for a while, between two steps; where it is expelled, it wakes up as a zombie."""
        process = replica.process
        process.busy = True
        assert process.consumer is not None
        self.clock.after(expelled_s, process.consumer.leave)

        def wake() -> None:
            process.busy = False

        self.clock.after(max(seconds, expelled_s), wake)

    def kill(self, replica: Replica, restart_s: float, expelled_s: float) -> None:
        """The process ends here and now; its place is filled again later, the group notices on its own."""
        process = replica.process
        process.dead, replica.stepper = True, None
        if process.consumer is not None:
            self.clock.after(expelled_s, process.consumer.leave)
        self.clock.after(restart_s, lambda: self._restart(replica))

    def _restart(self, replica: Replica) -> None:
        replica.process, replica.looked_at = self._process(replica.name), 0.0
        replica.process.newer = replica.newer

    def lose_power(self, unwritten_s: float, name: str) -> None:
        """In so many seconds the machine under the database loses its power, and with it what was written from now on; whoever
        holds the database dies with it. Counted as a fault of this name when it happens."""
        store, slots = self.store.kept(), self.slots.kept()

        def fail() -> None:
            holders = [one for one in self.replicas if one.name.startswith(("runs", "tasks"))] + self.desks
            if any(one.process.busy for one in holders):
                # In the middle of a call of theirs it would be two moments at once.
                self.clock.after(0.1, fail)
                return
            self.store.put_back(store)
            self.slots.put_back(slots)
            for one in holders:
                if not one.process.dead:
                    self.kill(one, self.chance.random() * 3.0, self.chance.random() * 3.0)
            self.faults[name] += 1

        self.clock.after(unwritten_s, fail)

    def join(self, service: str) -> None:
        """One replica more."""
        number = max(int(one.name.rpartition("-")[2]) for one in self.replicas) + 1
        fresh = self._replica(f"{service}-{number}", self._maker(service))
        # An older one would leave alone what a newer one has folded, as it should, and hold it for ever.
        fresh.newer = fresh.process.newer = any(
            one.newer for one in self.replicas if one.name.rpartition("-")[0] == service
        )
        self.replicas.append(fresh)

    def leave(self, replica: Replica) -> None:
        """One replica less: it ends in order, as far as the world lets it."""
        self.replicas.remove(replica)
        try:
            if replica.stepper is not None:
                replica.stepper.close()
        except (Unavailable, Crashed):
            pass
        replica.process.dead, replica.stepper = True, None
        if replica.process.consumer is not None:
            replica.process.consumer.leave()

    def step(self, replica: Replica) -> int:
        """One step of its process; returns what that moved. An outage is waited out, a crash ends the process."""
        process = replica.process
        replica.looked_at, replica.nudged, process.busy = self.clock.now, False, True
        try:
            if replica.stepper is None:
                replica.stepper = replica.make(process)
            return replica.stepper.step(0.0)
        except Unavailable:
            replica.nudged = True
        except Crashed:
            self.kill(replica, self.chance.random() * 8.0, self.chance.random() * 10.0)
        finally:
            process.busy = False
        return 0

    # ── the front door ──────────────────────────────────────────────────────────────────────────────────────────────

    def call(self, command: Callable[[Desk], object]) -> object:
        """Some replica of the front door answers; Unavailable where it died or stalls."""
        desk = self.chance.choice(self.desks)
        if not desk.idle():
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

    def append_again(self, desk: Replica) -> float:
        """What runs beside the tasks service: answers whose append was lost are appended again."""
        late = self.slots.unsaid(self.clock.now) if self.build.says_again else ()
        if late and not desk.process.dead:
            try:
                ProcessLog(self.log, desk.process).append([entry_of(Event.FromString(said)) for _, said in late])
            except (ConcordError, Crashed):
                return 1.0
        return 2.0


def void(call: Callable[[], object]) -> None:
    """A call that lands when nobody listens any more."""
    try:
        call()
    except ConcordError:
        return
