"""Bugs planted on purpose, each as another part of the cluster: the simulation must find every one of them."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any

from concord.kit import store
from concord.kit.errors import Unavailable
from concord.kit.ids import event_id
from concord.kit.log import Entry, Record
from concord.kit.loop import reactor
from concord.kit.loop.facts import fact
from concord.kit.loop.fold import Append, Context, Dispatch, Fold
from concord.kit.loop.worker import Worker
from concord.runs import loop
from concord.runs import service as runs
from concord.runs.evolve import evolve
from concord.runs.state import RunState, unit_row
from concord.tasks import service as tasks
from concord.tasks.queue import TasksState
from concord.v1.events_pb2 import Event, PauseReason
from concord.v1.runs_service_pb2 import RunView
from tests.simulation.cluster import Build
from tests.simulation.durable import DurableStore, KeptStore
from tests.simulation.memory_slots import MemorySlots
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


class Unfenced(DurableStore):
    """A store that lets a replica write that another one has overtaken."""

    def save(self, service: str, partition: int, read: store.Position, *given: Any) -> None:
        super().save(service, partition, self.position(service, partition), *given)


class TornStore(DurableStore):
    """A store that writes how far it has come in a transaction of its own, which outlives the rows'."""

    def put_back(self, kept: KeptStore) -> None:
        super().put_back(replace(kept, positions=self._positions))


class HastyDesk(tasks.Tasks):
    """A desk that gives out questions before the log is folded again."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._caught_up = lambda: True


class Generous(MemorySlots):
    """A table of leases that gives each question to one person more than were asked for."""

    def lease(self, *given: Any, **named: Any) -> Any:
        known = self._tasks
        self._tasks = {place: (*task[:2], task[2] + 1, *task[3:]) for place, task in known.items()}
        try:
            return super().lease(*given, **named)
        finally:
            self._tasks = known


class Trusting(MemorySlots):
    """A table of leases that takes an answer from whoever gives one."""

    def held(self, task_ids: Sequence[str], annotator: str) -> Any:
        anybody = {
            one.task_id: one for held in self._slots.values() for one in held.values() if one.task_id in task_ids
        }
        return {
            task_id: replace(slot, annotator=annotator, vote=max(0, slot.vote)) for task_id, slot in anybody.items()
        }

    def submit(self, answers: Any, now: float) -> list[bool]:
        return [True] * len(answers)


def due_without_the_last_answer(state: TasksState, context: Context) -> Sequence[Append]:
    said = tasks.fold().due(state, context)
    for one in said:
        del one.event.task_resolved.annotation_ids[1:]
    return said


def due_without_money(state: RunState, context: Context) -> Sequence[Append | Dispatch]:
    """Nothing is held back for what is out."""
    rich, view = copy(state), RunView()
    view.CopyFrom(state.view)
    view.dollar_budget = 0
    rich.view = view
    return loop.due(rich, context)


def due_of_an_older_history(state: RunState, context: Context) -> Sequence[Append | Dispatch]:
    """What ends the run names the history before its last fact."""
    return loop.due(state, replace(context, offset=context.offset - 1))


def evolve_deaf_to(kind: str, state: RunState, events: Sequence[tuple[Event, float]]) -> Any:
    return evolve(state, [(event, at) for event, at in events if event.WhichOneof("kind") != kind])


class StopsAtNews(reactor.Reactor):
    """A reactor that goes no further than a fact that it has no word for."""

    def _take(self, partition: int, records: Sequence[Record]) -> int:
        known = list(takewhile(lambda one: Event.FromString(one.value).WhichOneof("kind"), records))
        return super()._take(partition, known)


class SwallowsOutages:
    """A log whose append says that all is well, whatever became of it."""

    def __init__(self, log: ProcessLog) -> None:
        self._log, self.log_id, self.subscribe = log, log.log_id, log.subscribe
        self.end, self.read, self.partitions, self.waiting = log.end, log.read, log.partitions, log.waiting

    def append(self, entries: Sequence[Entry]) -> Sequence[int]:
        try:
            return self._log.append(entries)
        except Unavailable:
            return [0] * len(entries)


class Overbearing(reactor.Reactor):
    """A reactor of the tasks that pauses runs, which is not its to say."""

    def _entry(self, run_id: str, output: Append | Dispatch) -> Entry:
        if self._service == "tasks" and isinstance(output, Append):
            event = Event(event_id=event_id(run_id, "mine", output.event.event_id), run_id=run_id)
            event.run_paused.reason = PauseReason.PAUSE_REASON_CALLER
            self._log.append([fact(run_id, event.SerializeToString())])
        return super()._entry(run_id, output)


@dataclass(frozen=True)
class Plant:
    """A cluster with a bug, and the words with which the simulation is to report it."""

    build: Build
    reported: str
    # A seed that finds it at once, as far as is known.
    seed: int = 0
    # A kind of fault without which nobody would see it: half of the faults are of it.
    often: str = ""


PLANTS: Mapping[str, Plant] = {
    "a stage is closed by counting results": Plant(
        Build(reactor=NoIds, runs_fold=counting_fold), "its manifest holds", 9
    ),
    "a worker commits before it appends": Plant(Build(worker=CommitsFirst), "is committed, not said"),
    "the window is forgotten": Plant(Build(runs_fold=forgetful_fold), "status 2, .* undone", 2),
    "due is asked before the barrier": Plant(Build(log=HastyLog), "is lost", 6, "slow_log"),
    "a store without a fence": Plant(Build(store=Unfenced), "store differs from the log|history differs", 1),
    "a store's position outlives its rows": Plant(
        Build(store=TornStore), "store differs from the log|undone|not folded", often="power_lost"
    ),
    "questions are given out before the log is folded again": Plant(
        Build(desk=HastyDesk), "is lost|more people answered", often="power_lost"
    ),
    "a question is given to one person too many": Plant(Build(slots=Generous), "more people answered|Stuck|taken in"),
    "anybody may answer": Plant(Build(slots=Trusting), "without having been given it", 38),
    "an answer is left out": Plant(
        Build(tasks_fold=lambda: replace(tasks.fold(), due=due_without_the_last_answer)), "is lost"
    ),
    "money is not held back": Plant(
        Build(runs_fold=lambda: replace(runs.fold(), due=due_without_money)), r"\$.* are spent", 3
    ),
    "the history is one fact short": Plant(
        Build(runs_fold=lambda: replace(runs.fold(), due=due_of_an_older_history)), "history's hash does not replay"
    ),
    "a run does not hear that it goes on": Plant(
        Build(runs_fold=lambda: replace(runs.fold(), evolve=partial(evolve_deaf_to, "run_resumed"))),
        "status 3, .* undone",
    ),
    "a run does not hear that it is cancelled": Plant(
        Build(runs_fold=lambda: replace(runs.fold(), evolve=partial(evolve_deaf_to, "run_cancelled"))),
        "what ended it gives|status 2",
    ),
    "a newer version's fact stops the fold": Plant(Build(reactor=StopsAtNews), "status|undone|not folded", 4),
    "an append that failed is taken for done": Plant(Build(log=SwallowsOutages), "committed, not said|status|undone"),
    "what a service may not say": Plant(Build(reactor=Overbearing), "tasks says run_paused"),
    "answers whose append was lost are not said again": Plant(Build(says_again=False), "undone|taken in", 19),
}
