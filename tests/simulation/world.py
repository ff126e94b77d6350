"""The cluster and those who call it, driven by one seeded scheduler in one thread."""

from collections.abc import Callable
from functools import partial
from random import Random

from concord.kit.log.topics import FACTS
from concord.runs import service as runs
from tests.simulation.clock import BEGIN_S, Clock
from tests.simulation.cluster import LATE_S, Build, Cluster, Replica
from tests.simulation.people import Annotator, Operator, Owner
from tests.simulation.workload import Run

PEOPLE = 5
IDLE_S = 0.25
# A replica that hears nothing is stepped all the same, as its loop would do: for deadlines, retries, lost work.
LOOK_S, MOST_LOOK_S = 2.0, 20.0
# Whether all runs have ended is looked at after so many steps.
ENDED_STEPS = 10


class Stuck(AssertionError):
    """A run does not end; says what it waits for."""


class World:
    """All of it; `run()` drives it until every run has ended and everything is folded."""

    def __init__(self, seed: int, workload: tuple[Run, ...], lively: bool, build: Build = Build()) -> None:  # noqa: B008
        """`lively`: records take time to be seen, units and people take time, the order is drawn by the seed."""
        self.chance, self.clock = Random(f"world {seed}"), Clock()
        self.workload, self.lively, self.steps = workload, lively, 0
        self.cluster = Cluster(self.chance, self.clock, lively, build)
        self.cluster.meanwhile = self.advance
        # Called after each thing that happens.
        self.watch: Callable[[], None] = lambda: None
        self._moved = self.clock.now
        seeds = {run.run_id: run.config.seed for run in workload}
        board: dict[str, set[str]] = {f"person-{n}": set() for n in range(PEOPLE)}
        self.people = [Annotator(name, seeds, Random(f"{name} of {seed}"), lively, board) for name in board]
        self.operators = [Operator(run, self.cluster.reasons) for run in workload]
        self._invite()

    def _invite(self) -> None:
        """Everybody comes; each says at every call when to come again."""
        after, repeat, call = self.clock.after, self.clock.repeat, self.cluster.call
        for owner in map(Owner, self.workload):
            after(self.chance.random(), partial(repeat, partial(owner.act, call)))
        for operator in self.operators:
            after(1.0, partial(repeat, partial(operator.act, call)))
        for person in self.people:
            after(0.5, partial(repeat, partial(person.act, call)))
        for desk in self.cluster.desks:
            after(2.0, partial(repeat, partial(self.cluster.append_again, desk)))

    def run(self, most_steps: int) -> None:
        """Drives everything until all runs have ended; raises Stuck where they do not within `most_steps`."""
        while self.steps % ENDED_STEPS or not self.ended():
            if self.steps > most_steps:
                raise Stuck(self.describe())
            self.advance()
        self._settle()

    def advance(self) -> None:
        """One thing happens: a timer, a replica's step, or a while of silence."""
        self.steps += 1
        due = self.clock.due()
        ready = [] if due and self.chance.random() < 0.5 else self._ready()
        if ready:
            if self.cluster.step(self.chance.choice(ready) if self.lively else ready[0]):
                self._moved = self.clock.now
            self.clock.now += self.chance.random() * 0.02
        elif due:
            self.clock.fire()
        else:
            self.clock.skip(IDLE_S)
        self.watch()

    def _ready(self) -> list[Replica]:
        """Those that have something to do, or had no look for a while; the longer nothing moves, the longer that is."""
        now = self.clock.now
        long_ago = now - min(max(LOOK_S, now - self._moved), MOST_LOOK_S)
        ready = []
        for replica in self.cluster.replicas:
            process = replica.process
            if process.dead or process.busy:
                continue
            if replica.stepper is None or replica.nudged or replica.looked_at <= long_ago:
                ready.append(replica)
                continue
            # What `has_news` asks first, in line: it is asked of everybody at every step, and most have nothing to hear.
            consumer = process.consumer
            if (
                consumer is not None
                and not (
                    now < consumer.silent_until
                    and consumer.silent_at == consumer.appended[0]
                    and consumer.generation == consumer.group.generation
                )
                and consumer.has_news(now)
            ):
                ready.append(replica)
        return ready

    def _settle(self) -> None:
        """Everything that is in the log, or was under way, is taken in by both reactors."""
        until, most = self.clock.now + LATE_S + 1.0, self.steps + 5_000
        while self.clock.now < until or not self._folded():
            if self.steps > most:
                raise Stuck(f"what is in the log is not folded\n{self.describe()}")
            self.advance()

    def _folded(self) -> bool:
        return all(
            self.cluster.store.position(service, partition).next_offset == len(records)
            for service in ("runs", "tasks")
            for partition, (records, _) in self.cluster.broker.topics[FACTS.name].items()
        )

    def ended(self) -> bool:
        """Whether all runs' ends stand in the store of the runs service."""
        store = self.cluster.store
        return not store.runs("runs", active_only=True) and len(store.runs("runs")) >= len(self.workload)

    def describe(self) -> str:
        """What each run waits for."""
        seconds, faults = self.clock.now - BEGIN_S, dict(self.cluster.faults)
        lines = [f"after {self.steps} steps and {seconds:.0f} s of its time; faults {faults}"]
        fold = runs.fold()
        for run in self.workload:
            state = fold.restore(run.run_id, self.cluster.store.rows("runs", run.run_id))
            undone = [n for n in range(state.open.units) if n not in state.settled] if state.open else []
            lines.append(
                f"run {run.run_id} {run.config.method}: status {state.view.status}, pause {state.view.pause_reason} "
                f"{state.view.detail!r}, open {state.open and (state.open.stage, state.open.round)}, undone {undone}"
            )
        return "\n".join(lines)
