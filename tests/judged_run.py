"""One run that processes are disturbed in: its pairs, its people, a judge over HTTP who counts, and what must come of it."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from concord.client.run import drive, options, people
from concord.embedded import embedded
from concord.kit import ids, rpc
from concord.kit.log import Log
from concord.kit.log.topics import DEAD_LETTERS, fact_partition
from concord.kit.loop.fold import fold_records, restore_run, start_run
from concord.kit.loop.run_records import records
from concord.kit.settings import from_environment, open_log, open_store
from concord.operate import run_log
from concord.operate.redo import store_differences
from concord.runs import service as runs_service
from concord.tasks import service as tasks_service
from concord.v1 import runs_service_pb2 as pb
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, Stage
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from tests import the_sample
from tests.endpoint import Endpoint

E = TypeVar("E", bound=Endpoint)
ROWS = the_sample.given().rows[:400]
PAIRS = [row.pair for row in ROWS]
RUN = ids.run_id("kills", b"")
# Of each process that asks the judge.
IN_FLIGHT = 8
# Calls are slow enough that a kill finds some in flight.
LATENCY_S = 0.25
# One person in ten errs, each in a way of their own: with two votes a task, some end as ties.
ANSWER = people.simulated(ROWS, seed=3, rate=0.1)
# What happens to every run that ends, once: results of units, and stages.
STEPS = frozenset(
    {
        "shard_labeled",
        "features_fitted",
        "shard_featurised",
        "fold_trained",
        "shard_scored",
        "round_triaged",
        "task_resolved",
        "final_trained",
        "dataset_built",
        "stage_opened",
        "stage_closed",
        "run_finished",
    }
)


@contextmanager
def endpoint(kind: type[E] = Endpoint, **behaviour: object) -> Iterator[E]:
    """A real HTTP judge in a loop of its own; it outlives every process that asks it."""
    judge, loop = kind(**behaviour), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(judge.start(), loop).result(10)
    try:
        yield judge
    finally:
        asyncio.run_coroutine_threadsafe(judge.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def configuration(url: str, quorum: int, **more: object) -> RunConfig:
    """Asks the judge at `url` about everything and people about 15 %, in rounds of 2 %."""
    asked = {"judge": f"{url}#stub", "budget": "15%", "batch": 0.02, "shard_pairs": 32, "seed": 7, "window": 8}
    return options.run_config(options.resolve({**asked, "quorum": quorum, **more}), None)


def drive_through(runs_at: str, tasks_at: str, config: RunConfig, answer: drive.Answerer = ANSWER) -> pb.RunView:
    """What `concord run` does, against a front door and a task desk of their own."""
    with rpc.channel(runs_at) as one, rpc.channel(tasks_at) as other:
        runs, tasks = RunServiceStub(one), TaskServiceStub(other)
        drive.begin(runs, RUN, config, PAIRS, "0" * 64, "the sample's first pairs")
        annotators = drive.People(tasks, RUN, answer, "people")
        try:
            return drive.watch(runs, RUN, annotators, lambda view: None)
        finally:
            annotators.stop()


@dataclass(frozen=True)
class Quiet:
    """What came of the run where nothing was disturbed, all services in one process."""

    dataset_sha256: str
    calls: int
    # Facts until the last pair was labelled, and until the end.
    labelled: int
    facts: int
    # Ids of the facts that every run has, and the stages that were closed, both in order.
    steps: tuple[str, ...]
    stages: tuple[tuple[int, int], ...]


def quiet_run(judge: Endpoint, config: RunConfig, home: Path) -> Quiet:
    """The run embedded in this process, on a judge that answers at once."""
    judge.behaviour.latency_s, before = 0.0, judge.calls
    settings = from_environment({}, home=str(home), judge_concurrency=IN_FLIGHT)
    with embedded(settings) as running:
        view = drive_through(running.address, running.address, config)
        facts = [event for event, _ in run_log.events(open_log(settings), RUN)]
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    labelled = next(n for n, event in enumerate(facts) if event.stage_closed.stage == Stage.STAGE_LABEL)
    steps = tuple(event.event_id for event in facts if is_step(event))
    return Quiet(view.dataset_sha256, judge.calls - before, labelled, len(facts), steps, closed_stages(facts))


def is_step(event: Event) -> bool:
    """Whether the fact stands in every run that ends, whatever happened to it."""
    return event.WhichOneof("kind") in STEPS


def closed_stages(facts: list[Event]) -> tuple[tuple[int, int], ...]:
    """(stage, round) in the order in which they were closed; a fact that was said twice counts once."""
    said = {event.event_id: event.stage_closed for event in facts if event.WhichOneof("kind") == "stage_closed"}
    return tuple((closed.stage, closed.round) for closed in said.values())


def assert_nothing_was_lost(environment: Mapping[str, str], home: Path) -> None:
    """The stores are what the log says, nothing was given up, and `replay --diff` finds nothing."""
    settings = from_environment(environment, home=str(home))
    log, store = open_log(settings), open_store(settings)
    for service, fold in (("runs", runs_service.fold()), ("tasks", tasks_service.fold())):
        read_to = store.position(service, fact_partition(RUN)).next_offset
        stored = restore_run(fold, RUN, store.rows(service, RUN))
        folded, _ = fold_records(fold, start_run(fold, RUN), list(records(log, RUN, read_to)))
        assert (stored.offset, stored.history) == (folded.offset, folded.history), service
        assert stored.state == folded.state, service
    assert store_differences(log, store, RUN) == []
    assert sum(log.end(DEAD_LETTERS, partition) for partition in range(DEAD_LETTERS.partitions)) == 0
    log.close()


def longest_stall(log: Log) -> float:
    """Seconds in which nothing happened in the run."""
    times = [at for _, at in run_log.events(log, RUN)]
    return max(later - earlier for earlier, later in pairwise(times))
