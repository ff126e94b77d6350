"""What goes wrong: planned from the seed as a list of faults, each with draws of its own, so that any part of it can be tried."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from concord.kit.errors import Deferred, Unavailable
from concord.kit.ids import event_id
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, fact_partition
from concord.v1.events_pb2 import Event
from tests.simulation.cluster import SERVICES, Replica, Unit
from tests.simulation.process import Fuse
from tests.simulation.world import World

# More than ten, because a fuse may still be burning when the last run ends.
LEAST, MOST = 22, 34
# A unit may raise twice and be done at the third try; a fourth death would be close to making it a dead letter.
RAISES, DEATHS = 2, 2
# A fault that does not apply yet is tried again after so many steps, so many times.
AGAIN_STEPS, TRIES = 10, 40
MOST_SKEW_S, MOST_GONE_S, MOST_REPLICAS = 90.0, 60.0, 3
# A fact of a kind that this version does not know: field 900 of the oneof, a message.
UNKNOWN_KIND = b"\xa2\x38\x03new"


@dataclass(frozen=True)
class Planned:
    """One fault: what, at which step, and the seed of what it draws (which process, how long)."""

    step: int
    kind: str
    seed: int

    def __str__(self) -> str:
        return f"step {self.step}: {self.kind.replace('_', ' ')} ({self.seed})"


def planned(seed: int, until: int, often: str = "") -> tuple[Planned, ...]:
    """The seed's faults, at steps drawn between the first ones and `until`, in their order; half of them of the kind that comes
    `often`, where one does. Pure."""
    chance = Random(f"faults {seed}")
    steps = sorted(chance.sample(range(20, max(until, 200)), chance.randint(LEAST, MOST)))
    weights = {kind: sum(KINDS.values()) if kind == often else weight for kind, weight in KINDS.items()}
    kinds = chance.choices(list(weights), list(weights.values()), k=len(steps))
    return tuple(Planned(step, kind, chance.randrange(1_000_000)) for step, kind in zip(steps, kinds, strict=True))


class Faults:
    """Does what is planned to a world."""

    def __init__(self, world: World, plan: Sequence[Planned]) -> None:
        self._world, self._cluster, self._clock = world, world.cluster, world.clock
        # (step, how often it was tried, fault), the next one last.
        self._left = sorted(((one.step, 0, one) for one in plan), key=lambda left: -left[0])
        self._chance = Random()
        self._raises, self._deaths = Counter[str](), Counter[str]()
        self._raise_next, self._away_next, self._llm_down_until = 0, 0, 0.0
        world.cluster.trouble = self._trouble

    def act(self) -> None:
        """Called after each step: does what is to be done by now; what does not apply yet is tried again later."""
        while self._left and self._world.steps >= self._left[-1][0]:
            _, tries, fault = self._left.pop()
            self._chance = Random(f"{fault.kind} {fault.seed} {tries}")
            if not getattr(self, fault.kind)() and tries < TRIES:
                self._left.append((self._world.steps + AGAIN_STEPS, tries + 1, fault))
                self._left.sort(key=lambda left: -left[0])

    def _count(self, name: str) -> bool:
        self._cluster.faults[name] += 1
        return True

    def _replica(self, among: Callable[[Replica], bool] = lambda replica: True) -> Replica | None:
        alive = [
            replica
            for replica in self._cluster.replicas
            if replica.stepper is not None and not (replica.process.dead or replica.process.busy) and among(replica)
        ]
        return self._chance.choice(alive) if alive else None

    def _mortal(self, replica: Replica) -> bool:
        """Whether its death leaves every unit in it another chance; then the deaths are counted."""
        mine = [unit.work.work_id for unit in self._cluster.units if unit.process is replica.process]
        if any(self._deaths[work_id] >= DEATHS for work_id in mine):
            return False
        self._deaths.update(mine)
        return True

    # ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def crash(self) -> bool:
        replica = self._replica()
        if replica is None or not self._mortal(replica):
            return False
        self._cluster.kill(replica, self._chance.random() * 8.0, self._chance.random() * 10.0)
        return self._count("crash between steps")

    def crash_in_a_call(self) -> bool:
        when = self._chance.choice(["crash before", "crash after"])
        return self._light(
            when, self._chance.choice([(), (), ("append",), ("save", "commit"), ("put_if_absent", "note", "put")])
        )

    def crash_of_the_front_door(self) -> bool:
        desk = self._chance.choice(self._cluster.desks)
        if desk.process.dead or desk.process.fuse is not None:
            return False
        kind = self._chance.choice(["crash before", "crash after", "outage before", "outage after", "late", "twice"])
        desk.process.fuse = Fuse(kind, self._chance.randint(1, 3), ("append",))
        return True

    def outage(self) -> bool:
        when = self._chance.choice(["outage before", "outage after"])
        return self._light(
            when, self._chance.choice([(), (), ("append",), ("save", "commit"), ("put_if_absent", "note", "put")])
        )

    def late_append(self) -> bool:
        return self._light("late", ("append",))

    def append_twice(self) -> bool:
        return self._light("twice", ("append",))

    def stall_in_a_step(self) -> bool:
        return self._light("stall in a step", self._chance.choice([(), ("append",), ("save", "commit")]))

    def stall_in_a_save(self) -> bool:
        """The case for the fence: another replica takes over between what this one read and what it writes."""
        replica = self._replica(lambda one: one.process.fuse is None and one.name.startswith(("runs", "tasks")))
        if replica is None:
            return False
        replica.process.fuse = Fuse("stall in a step", self._chance.randint(1, 4), ("save",))
        return True

    def _light(self, kind: str, only: tuple[str, ...]) -> bool:
        replica = self._replica(lambda one: one.process.fuse is None)
        if replica is None or (kind.startswith("crash") and not self._mortal(replica)):
            return False
        replica.process.fuse = Fuse(kind, self._chance.randint(1, 6), only)
        return True

    def zombie(self) -> bool:
        replica = self._replica()
        if replica is None:
            return False
        self._cluster.freeze(replica, self._chance.random() * 15.0, self._chance.random() * 5.0)
        return self._count("zombie")

    # ── log and stores ──────────────────────────────────────────────────────────────────────────────────────────────

    def rebalance(self) -> bool:
        self._chance.choice(list(self._cluster.broker.groups.values())).rebalance(self._chance)
        return self._count("rebalance")

    def redelivery(self) -> bool:
        replica = self._replica()
        if replica is None or replica.process.consumer is None:
            return False
        replica.process.consumer.go_back(self._chance.randint(1, 10))
        return self._count("redelivery")

    def fact_again(self) -> bool:
        partitions = self._cluster.broker.topics[FACTS.name]
        if not partitions:
            return False
        record = self._chance.choice(partitions[self._chance.choice(sorted(partitions))][0])
        self._cluster.log.append([Entry(FACTS, record.partition, record.key, record.value)])
        return self._count("fact again")

    def work_lost(self) -> bool:
        replica = self._replica(lambda one: one.name.startswith("runs") and one.process.fuse is None)
        if replica is None:
            return False
        replica.process.fuse = Fuse("work lost", 1, ("append",))
        return True

    def slow_log(self) -> bool:
        self._cluster.slow_until = self._clock.now + 2.0 + self._chance.random() * 6.0
        return self._count("slow log")

    def store_lost(self) -> bool:
        """The store's database is deleted and its service started again, with the handlers that it has: until the log is folded
        they give nothing out."""
        service = self._chance.choice(["runs", "tasks"])
        replicas = [
            replica for replica in self._cluster.replicas if replica.name.startswith(service)
        ] + self._cluster.desks
        if any(replica.process.busy for replica in replicas):
            return False
        for partition in range(FACTS.partitions):
            self._cluster.store.discard(service, partition, None)
        if service == "tasks":
            self._cluster.slots.lose(self._clock.now)
        for replica in replicas:
            if not replica.process.dead:
                self._cluster.kill(replica, self._chance.random() * 2.0, self._chance.random() * 2.0)
        return self._count("store lost")

    def power_lost(self) -> bool:
        """The store's last transactions are lost, whole ones, and nothing else of it: see durable.py."""
        self._cluster.lose_power(self._chance.random() * 6.0, "store's last transactions lost")
        return True

    # ── units and people ────────────────────────────────────────────────────────────────────────────────────────────

    def unit_raises(self) -> bool:
        self._raise_next += 1
        return True

    def unit_meets_an_outage(self) -> bool:
        self._away_next += 1
        return True

    def llm_down(self) -> bool:
        self._llm_down_until = self._clock.now + 2.0 + self._chance.random() * 10.0
        return self._count("LLM down")

    def _trouble(self, unit: Unit) -> Exception | None:
        work_id = unit.work.work_id
        if self._clock.now < self._llm_down_until and unit.replica.name.startswith("labeling"):
            return Deferred("the LLM does not answer", 3.0)
        if self._raise_next and self._raises[work_id] < RAISES:
            self._raise_next -= 1
            self._raises[work_id] += 1
            self._count("unit raised")
            return RuntimeError("a bug in the unit")
        if self._away_next:
            self._away_next -= 1
            self._count("unit met an outage")
            return Unavailable("the blob store is away")
        return None

    def torn_append(self) -> bool:
        return self._light("torn append", ("append",))

    def clock_jumps(self) -> bool:
        """A process's clock is wrong for a while, by up to a minute and a half; then it is set right, which is a jump as well."""
        process = self._chance.choice([*self._cluster.replicas, *self._cluster.desks]).process
        if process.dead:
            return False
        process.skew = self._chance.uniform(-MOST_SKEW_S, MOST_SKEW_S)
        self._clock.after(self._chance.random() * 20.0, lambda: setattr(process, "skew", 0.0))
        for run in self._world.workload:
            if run.config.annotation_deadline_s and process.name.startswith("tasks"):
                self._cluster.reasons[run.run_id].add("a clock was wrong")
        return self._count("clock jumps")

    def replica_joins(self) -> bool:
        service = self._chance.choice(SERVICES)
        if len(self._of(service)) >= MOST_REPLICAS:
            return False
        self._cluster.join(service)
        return self._count("replica joins")

    def replica_leaves(self) -> bool:
        replica = self._replica(lambda one: len(self._of(one.name.rpartition("-")[0])) > 1)
        if replica is None:
            return False
        self._cluster.leave(replica)
        return self._count("replica leaves")

    def _of(self, service: str) -> list[Replica]:
        return [one for one in self._cluster.replicas if one.name.rpartition("-")[0] == service]

    def upgrade(self) -> bool:
        """All replicas of a service, or of the front door, are replaced one after another by those of the next version."""
        service = self._chance.choice([*SERVICES, "desk"])
        for replica in self._cluster.desks if service == "desk" else self._of(service):
            if not replica.newer:
                replica.newer = True
                self._clock.after(self._chance.random() * 20.0, lambda one=replica: self._replace(one))
        return self._count("upgrade")

    def _replace(self, replica: Replica) -> None:
        if replica.process.busy:
            self._clock.after(1.0, lambda: self._replace(replica))
        elif not replica.process.dead:
            self._cluster.kill(replica, self._chance.random() * 2.0, 0.0)

    def newer_fact(self) -> bool:
        """Another process says something that this version has no word for."""
        run_id = self._chance.choice(self._world.workload).run_id
        event = Event(event_id=event_id(run_id, f"newer {self._chance.random()}"), run_id=run_id)
        value = event.SerializeToString() + UNKNOWN_KIND
        self._cluster.log.append([Entry(FACTS, fact_partition(run_id), run_id.encode(), value)])
        return self._count("newer fact")

    # ── the judge ───────────────────────────────────────────────────────────────────────────────────────────────────

    def judge_lies(self) -> bool:
        self._cluster.lies_until = self._clock.now + 1.0 + self._chance.random() * 5.0
        return self._count("judge lies")

    def judge_rambles(self) -> bool:
        self._cluster.rubbish_until = self._clock.now + 1.0 + self._chance.random() * 5.0
        return self._count("judge says rubbish")

    # ── people and operators ────────────────────────────────────────────────────────────────────────────────────────

    def somebody_vanishes(self) -> bool:
        self._chance.choice(self._world.people).gone_s = 5.0 + self._chance.random() * MOST_GONE_S
        return self._count("somebody vanishes")

    def says_it_twice(self) -> bool:
        self._chance.choice(self._world.people).says_twice = True
        return self._count("answer sent twice")

    def meddles(self) -> bool:
        self._chance.choice(self._world.people).meddles = True
        return self._count("answer to others' task")

    def pause(self) -> bool:
        return self._command("pause")

    def resume(self) -> bool:
        return self._command("resume")

    def retry(self) -> bool:
        return self._command("retry")

    def cancel(self) -> bool:
        return self._command("cancel")

    def budget(self) -> bool:
        return self._command("budget")

    def _command(self, what: str) -> bool:
        self._chance.choice(self._world.operators).wants.append((what, Random(self._chance.random())))
        return self._count(f"{what} at any moment")


# Kind → how often it is drawn beside the others. What changes a dataset is rare: else nothing is left to compare.
KINDS: dict[str, float] = {
    "crash": 1,
    "crash_in_a_call": 2,
    "crash_of_the_front_door": 1,
    "outage": 2,
    "late_append": 1,
    "append_twice": 1,
    "torn_append": 2,
    "stall_in_a_step": 1,
    "stall_in_a_save": 2,
    "zombie": 1,
    "rebalance": 1,
    "redelivery": 1,
    "fact_again": 1,
    "newer_fact": 1,
    "work_lost": 1,
    "slow_log": 1,
    "store_lost": 1,
    "power_lost": 1,
    "unit_raises": 1,
    "unit_meets_an_outage": 1,
    "llm_down": 1,
    "clock_jumps": 1,
    "replica_joins": 1,
    "replica_leaves": 1,
    "upgrade": 0.5,
    "somebody_vanishes": 1,
    "says_it_twice": 1,
    "meddles": 0.5,
    "pause": 1,
    "resume": 0.5,
    "retry": 0.5,
    "cancel": 0.2,
    "budget": 0.25,
    "judge_lies": 0.2,
    "judge_rambles": 0.2,
}
