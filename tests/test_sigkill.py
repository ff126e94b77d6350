"""Processes are killed at random moments, and nothing changes: the same dataset, nothing paid twice that was kept."""
import asyncio
import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from concord.v1 import runs_service_pb2 as pb
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from services.client import drive, history, intake, options, people, session
from services.kit import ids, rpc
from services.kit.fold import fold_records, restore_run, start_run
from services.kit.log import Log
from services.kit.settings import from_environment, open_log, open_store
from services.kit.topics import DEAD_LETTERS, FACTS, fact_partition
from services.runs import service as runs_service
from services.tasks import service as tasks_service
from tests.endpoint import Endpoint
from tests.fleet import Fleet, each_its_own

ROWS = intake.read_sample().rows[:400]
PAIRS = [row.pair for row in ROWS]
RUN = ids.run_id("kills", b"")
IN_FLIGHT = 8
# Calls are slow enough that a kill finds some in flight.
LATENCY_S = 0.25
KILLS_WHILE_LABELLING, KILLS_AFTERWARDS = 12, 20
# One person in ten errs, each in a way of their own: with two votes a task, some end as ties.
ANSWER = people.simulated(ROWS, seed=3, rate=0.1)


@contextmanager
def endpoint(kind: type[Endpoint] = Endpoint, **behaviour: object) -> Iterator[Endpoint]:
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


def configuration(url: str, quorum: int) -> RunConfig:
    asked = {"judge": f"{url}#stub", "budget": "15%", "batch": 0.02, "shard_pairs": 32, "seed": 7, "window": 8}
    return options.run_config(options.resolve({**asked, "quorum": quorum}), None)


def drive_through(runs_at: str, tasks_at: str, config: RunConfig) -> pb.RunView:
    """What `concord run` does, against a front door and a task desk of their own."""
    with rpc.channel(runs_at) as one, rpc.channel(tasks_at) as other:
        runs, tasks = RunServiceStub(one), TaskServiceStub(other)
        drive.begin(runs, RUN, config, PAIRS, "0" * 64, "the sample's first pairs")
        annotators = drive.People(tasks, RUN, ANSWER, "people")
        try:
            return drive.watch(runs, RUN, annotators, lambda view: None)
        finally:
            annotators.stop()


@dataclass(frozen=True)
class Quiet:
    """What came of the run where nothing was killed, all services in one process."""

    dataset_sha256: str
    calls: int
    # Facts until the last pair was labelled, and until the end.
    labelled: int
    facts: int


@pytest.fixture(scope="module")
def judge():
    with endpoint(flips=0.2) as running:
        yield running


@pytest.fixture(scope="module")
def quiet(judge, tmp_path_factory):
    """A function: number of votes a task takes → the quiet run."""

    def run(quorum: int) -> Quiet:
        judge.behaviour.latency_s, before = 0.0, judge.calls
        settings = from_environment({}, home=str(tmp_path_factory.mktemp("quiet")), judge_concurrency=IN_FLIGHT)
        with session.embedded(settings) as running:
            view = drive_through(running.address, running.address, configuration(judge.url, quorum))
            facts = [event for event, _ in history.events(open_log(settings), RUN)]
        assert view.status == pb.RUN_STATUS_FINISHED, view.detail
        labelled = next(n for n, event in enumerate(facts) if event.stage_closed.stage == Stage.STAGE_LABEL)
        return Quiet(view.dataset_sha256, judge.calls - before, labelled, len(facts))

    return run


# How far the run is, in whatever unit, and the value at which a process is killed.
Point = tuple[Callable[[], int], int]


class Killer(threading.Thread):
    """Kills a process whenever the run has come to the next of these points, and starts it again at once.

    Points count calls and facts, so they fall into the run and all its stages however fast the machine is. Several
    processes may be down at the same time, and one may be hit while it starts.
    """

    def __init__(self, fleet: Fleet, labelling: Sequence[Point], afterwards: Sequence[Point], seed: int) -> None:
        super().__init__(daemon=True)
        self._fleet, self._labelling, self._afterwards = fleet, labelling, afterwards
        self._random = random.Random(seed)
        self.over = threading.Event()
        self.kills: list[str] = []
        # Kills of a judge while there was something to pay for.
        self.costly = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        judges = [name for name in self._fleet.names if name.startswith("labeling")]
        try:
            # While pairs are labelled a judge is hit more often: there the money is.
            self._kill_at(self._labelling, [*self._fleet.names, *judges, *judges])
            self.costly = sum(name in judges for name in self.kills)
            self._kill_at(self._afterwards, self._fleet.names)
        except BaseException as error:
            self.error = error

    def _kill_at(self, points: Sequence[Point], names: Sequence[str]) -> None:
        for reached, point in points:
            while reached() < point:
                if self.over.wait(0.02):
                    return
            for name, process in self._fleet.processes.items():
                assert process.poll() is None, f"{name} ended by itself:\n{self._fleet.log(name)}"
            name = self._random.choice(names)
            self._fleet.kill(name)
            self._fleet.start(name)
            self.kills.append(name)


def killer_of(fleet: Fleet, log: Log, judge: Endpoint, quiet: Quiet, seed: int) -> Killer:
    """A killer with points in each part of a run that goes as the quiet one did."""
    draw, before, partition = random.Random(seed).sample, judge.calls, fact_partition(RUN)
    calls: Callable[[], int] = lambda: judge.calls - before  # noqa: E731
    facts: Callable[[], int] = lambda: log.end(FACTS, partition)  # noqa: E731
    labelling = [(calls, n) for n in sorted(draw(range(quiet.calls), KILLS_WHILE_LABELLING))]
    afterwards = [(facts, n) for n in sorted(draw(range(quiet.labelled + 1, quiet.facts - 2), KILLS_AFTERWARDS))]
    return Killer(fleet, labelling, afterwards, seed)


def assert_the_stores_are_what_the_log_says(environment: dict[str, str], home: Path) -> None:
    settings = from_environment(environment, home=str(home))
    log, store = open_log(settings), open_store(settings)
    for service, fold in (("runs", runs_service.fold()), ("tasks", tasks_service.fold())):
        read_to = store.position(service, fact_partition(RUN)).next_offset
        stored = restore_run(fold, RUN, store.rows(service, RUN))
        folded, _ = fold_records(fold, start_run(fold, RUN), list(history.records(log, RUN, read_to)))
        assert (stored.offset, stored.history) == (folded.offset, folded.history), service
        assert stored.state == folded.state, service
    assert sum(log.end(DEAD_LETTERS, partition) for partition in range(DEAD_LETTERS.partitions)) == 0


def longest_stall(log: Log) -> float:
    """Seconds in which nothing happened in the run."""
    times = [at for _, at in history.events(log, RUN)]
    return max(later - earlier for earlier, later in pairwise(times))


@pytest.mark.parametrize(("log", "quorum"), [("sqlite", 1), ("kafka", 2)])
def test_killed_processes_change_neither_the_dataset_nor_the_bill(log, quorum, quiet, judge, tmp_path, request):
    """32 times SIGKILL while the run goes on; on Kafka with two replicas of the judge and of the state machine."""
    undisturbed = quiet(quorum)
    environment = {"CONCORD_JUDGE_CONCURRENCY": str(IN_FLIGHT), "CONCORD_REISSUE_AFTER_S": "5"}
    plan, lost_by_a_kill = each_its_own(), IN_FLIGHT
    if log == "kafka":
        environment["CONCORD_LOG_URL"] = request.getfixturevalue("kafka_url") + "&session_ms=3000"
        plan = each_its_own(labeling=2, runs=2)
        # A judge that comes back takes units over from the other one, whose calls for them end as well.
        lost_by_a_kill = 2 * IN_FLIGHT
    judge.behaviour.latency_s = LATENCY_S
    judge.paid.clear()
    with Fleet(tmp_path, environment, plan) as fleet:
        watched = open_log(from_environment(environment, home=str(tmp_path)))
        killer = killer_of(fleet, watched, judge, undisturbed, seed=11)
        killer.start()
        view = drive_through(fleet.where("runs"), fleet.where("tasks"), configuration(judge.url, quorum))
        killer.over.set()
        killer.join(60)
        assert killer.error is None, killer.error
        for name in fleet.names:
            fleet.wait_ready(name)
    figures = {"log": log, "kills": len(killer.kills), "of a judge": killer.costly, "paid again": judge.paid_again}
    print(json.dumps({**figures, "longest stall, s": round(longest_stall(watched), 1)}))
    assert len(killer.kills) >= 30 and killer.costly
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    assert view.dataset_sha256 == undisturbed.dataset_sha256
    assert judge.paid_again <= killer.costly * lost_by_a_kill
    assert_the_stores_are_what_the_log_says(environment, tmp_path)
