"""Bugs planted on purpose, each as another part of the cluster: the simulation must find every one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from concord.kit import store
from concord.kit.ids import event_id
from concord.kit.log import Record
from concord.kit.loop import reactor
from concord.kit.loop.fold import Fold
from concord.kit.loop.worker import Worker
from concord.kit.store.memory import MemoryStore
from concord.runs import loop
from concord.runs import service as runs
from concord.runs.evolve import evolve
from concord.runs.state import RunState, unit_row
from concord.v1.events_pb2 import Event
from tests.simulation.cluster import Build
from tests.simulation.process import ProcessLog


class NoIds(reactor.Reactor):
    """A reactor that takes every label for news: one that comes again has another id."""

    def _take(self, partition: int, records: Sequence[Record]) -> int:
        return super()._take(
            partition, [_renamed(record) for record in records] if self._service == "runs" else records
        )


def _renamed(record: Record) -> Record:
    event = Event.FromString(record.value)
    if not event.HasField("shard_labeled"):
        return record
    event.event_id = event_id(event.run_id, record.offset)
    return record._replace(value=event.SerializeToString(deterministic=True))


def evolve_by_count(state: RunState, events: Sequence[tuple[Event, float]]) -> tuple[RunState, frozenset[str]]:
    """Every label that is heard while its stage is open counts one more unit as settled."""
    touched: frozenset[str] = frozenset()
    for event, at in events:
        before = state
        state, more = evolve(state, [(event, at)])
        touched |= more
        if event.HasField("shard_labeled") and event.unit.number in before.settled and before.open == state.open:
            free = next((n for n in range(state.open.units) if n not in state.settled), None)
            if free is not None and event.unit.stage == state.open.stage:
                state.settled[free] = event
                touched |= {unit_row(free)}
    return state, touched


def counting_fold() -> Fold:
    return replace(runs.fold(), evolve=evolve_by_count)


class CommitsFirst(Worker):
    """A worker that commits what it has done before it says it."""

    def _say_all(self) -> int:
        said = self._unsaid
        for record, _ in said:
            self._open.get(record.partition, {})[record.offset] = True
        self._commit()
        self._unsaid = []
        entries = [entry for _, own in said for entry in own]
        if entries:
            self._log.append(entries)
        return len(said)


def forgetful_fold() -> Fold:
    """Work that was issued once counts as out for ever."""
    return replace(runs.fold(), due=partial(loop.due, reissue_after_s=1e12))


class HastyLog:
    """A log that says of every partition that its end is reached: `due` is asked before the barrier."""

    def __init__(self, log: ProcessLog) -> None:
        self._log, self.log_id = log, log.log_id
        self.append, self.end, self.read = log.append, log.end, log.read
        self.partitions, self.waiting = log.partitions, log.waiting

    def subscribe(self, *given: Any, **named: Any) -> Any:
        consumer = self._log.subscribe(*given, **named)
        consumer.ends = lambda: dict.fromkeys(consumer.assignment(), 0)
        return consumer


class Unfenced(MemoryStore):
    """A store that lets a replica write that another one has overtaken."""

    def save(self, service: str, partition: int, read: store.Position, *given: Any) -> None:
        super().save(service, partition, self.position(service, partition), *given)


@dataclass(frozen=True)
class Plant:
    """A cluster with a bug, and the words with which the simulation is to report it."""

    build: Build
    reported: str


PLANTS: Mapping[str, Plant] = {
    "a stage is closed by counting results": Plant(Build(reactor=NoIds, runs_fold=counting_fold), "its manifest holds"),
    "a worker commits before it appends": Plant(Build(worker=CommitsFirst), "is committed, not said"),
    "the window is forgotten": Plant(Build(runs_fold=forgetful_fold), "status 2, .* undone"),
    "due is asked before the barrier": Plant(Build(log=HastyLog), "is lost"),
    "a store without a fence": Plant(Build(store=Unfenced), "store differs from the log|history differs"),
}
