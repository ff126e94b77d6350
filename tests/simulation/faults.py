"""What goes wrong, drawn by the seed: when, which kind, which process."""

from collections import Counter
from collections.abc import Callable

from concord.kit.errors import Deferred, Unavailable
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS
from tests.simulation.cluster import Replica, Unit
from tests.simulation.process import Fuse
from tests.simulation.world import World

# More than ten, because a fuse may still be burning when the last run ends.
LEAST, MOST = 17, 26
# A unit may raise twice and be done at the third try; a fourth death would be close to making it a dead letter.
RAISES, DEATHS = 2, 2


class Faults:
    """Injects `count` faults at steps drawn between the first ones and `until`."""

    def __init__(self, world: World, until: int) -> None:
        self._world, self._cluster, self._clock, self._chance = world, world.cluster, world.clock, world.chance
        count = self._chance.randint(LEAST, MOST)
        self._steps = sorted(self._chance.sample(range(20, max(until, 200)), count), reverse=True)
        self._raises, self._deaths = Counter[str](), Counter[str]()
        self._raise_next, self._away_next, self._llm_down_until = 0, 0, 0.0
        world.cluster.trouble = self._trouble

    def act(self) -> None:
        """Called after each step: does what is to be done by now; a kind that does not apply now makes way for another."""
        while self._steps and self._world.steps >= self._steps[-1]:
            kind = self._chance.choice(KINDS)
            if kind(self):
                self._steps.pop()

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
        """The store's database is deleted and its service started again."""
        service = self._chance.choice(["runs", "tasks"])
        replicas = [replica for replica in self._cluster.replicas if replica.name.startswith(service)]
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

    def pause(self) -> bool:
        self._chance.choice(self._world.operators).wants_pause = True
        return self._count("pause and resume")


KINDS = (
    Faults.crash,
    Faults.crash_in_a_call,
    Faults.crash_in_a_call,
    Faults.crash_of_the_front_door,
    Faults.outage,
    Faults.outage,
    Faults.late_append,
    Faults.append_twice,
    Faults.stall_in_a_step,
    Faults.stall_in_a_save,
    Faults.stall_in_a_save,
    Faults.zombie,
    Faults.rebalance,
    Faults.redelivery,
    Faults.fact_again,
    Faults.work_lost,
    Faults.slow_log,
    Faults.store_lost,
    Faults.unit_raises,
    Faults.unit_meets_an_outage,
    Faults.llm_down,
    Faults.pause,
)
