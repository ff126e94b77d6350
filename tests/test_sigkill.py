"""Processes are killed at random moments, and nothing changes: the same dataset, nothing paid twice that was kept."""
import asyncio
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from concord.v1 import runs_service_pb2 as pb
from concord.v1.config_pb2 import RunConfig
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from services.client import drive, history, intake, options, session
from services.kit import ids, rpc
from services.kit.fold import restore_run
from services.kit.settings import from_environment, open_log, open_store
from services.kit.topics import DEAD_LETTERS
from services.runs import service as runs_service
from tests.endpoint import Endpoint
from tests.fleet import Fleet

ROWS = intake.read_sample().rows[:400]
PAIRS = [row.pair for row in ROWS]
IN_FLIGHT = 8
KILLS = 30
# Calls are slow enough that a kill finds some in flight, and the run long enough for all kills to fall into it.
LATENCY_S = 0.25


@contextmanager
def endpoint(**behaviour: object) -> Iterator[Endpoint]:
    """A real HTTP judge in a loop of its own; it outlives every process that asks it."""
    judge, loop = Endpoint(**behaviour), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(judge.start(), loop).result(10)
    try:
        yield judge
    finally:
        asyncio.run_coroutine_threadsafe(judge.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def configuration(url: str) -> RunConfig:
    asked = {"judge": f"{url}#stub", "budget": "15%", "batch": 0.02, "shard_pairs": 8, "seed": 7, "window": 8}
    return options.run_config(options.resolve(asked), None)


def answer(pair: int, vote: int) -> "Choice.ValueType | None":
    return ROWS[pair].truth


def drive_through(runs_at: str, tasks_at: str, run_id: str, config: RunConfig) -> pb.RunView:
    """What `concord run` does, against a front door and a task desk of their own."""
    with rpc.channel(runs_at) as one, rpc.channel(tasks_at) as other:
        runs, tasks = RunServiceStub(one), TaskServiceStub(other)
        drive.begin(runs, run_id, config, PAIRS, "0" * 64, "the sample's first pairs")
        people = drive.People(tasks, run_id, answer, "people")
        try:
            return drive.watch(runs, run_id, people, lambda view: None)
        finally:
            people.stop()


@dataclass(frozen=True)
class Quiet:
    """What came of the run where nothing was killed, all services in one process."""

    dataset_sha256: str
    calls: int


@pytest.fixture(scope="module")
def judge():
    with endpoint(latency_s=LATENCY_S, flips=0.2) as running:
        yield running


@pytest.fixture(scope="module")
def quiet(judge, tmp_path_factory) -> Quiet:
    settings = from_environment({}, home=str(tmp_path_factory.mktemp("quiet")), judge_concurrency=IN_FLIGHT)
    config, before = configuration(judge.url), judge.calls
    with session.embedded(settings) as running:
        view = drive_through(running.address, running.address, ids.run_id("kills", b""), config)
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    return Quiet(view.dataset_sha256, judge.calls - before)


class Killer(threading.Thread):
    """Kills one process after the other at seeded moments and starts each again, until it is told to stop."""

    def __init__(self, fleet: Fleet, judge: Endpoint, seed: int) -> None:
        super().__init__(daemon=True)
        self._fleet, self._judge, self._random = fleet, judge, random.Random(seed)
        self.over = threading.Event()
        self.kills: list[str] = []
        self.in_flight_at_kills = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while len(self.kills) < KILLS and not self.over.wait(self._random.uniform(0.05, 0.8)):
                # Each in turn, in a new order every round: all of them are hit often.
                if not self.kills or len(self.kills) % len(self._fleet.names) == 0:
                    order = self._random.sample(self._fleet.names, len(self._fleet.names))
                name = order[len(self.kills) % len(order)]
                if name.startswith("labeling"):
                    self.in_flight_at_kills += IN_FLIGHT
                self._fleet.kill(name)
                self.kills.append(name)
                self._fleet.start(name)
                self._fleet.wait_ready(name)
        except BaseException as error:
            self.error = error


def state_in_the_store_is_that_of_the_log(environment: dict[str, str], home: Path, run_id: str) -> None:
    settings = from_environment(environment, home=str(home))
    log, store = open_log(settings), open_store(settings)
    fold = runs_service.fold()
    stored = history.as_json(restore_run(fold, run_id, store.rows(runs_service.SERVICE, run_id)))
    folded = history.as_json(history.fold(log, run_id))
    for read_only in ("duplicates", "unknown"):
        stored.pop(read_only), folded.pop(read_only)
    assert stored == folded
    assert sum(log.end(DEAD_LETTERS, partition) for partition in range(DEAD_LETTERS.partitions)) == 0


@pytest.mark.parametrize("log", ["sqlite", "kafka"])
def test_thirty_kills_change_neither_the_dataset_nor_the_bill(log, quiet, judge, tmp_path, request):
    """SIGKILL of any process; on Kafka with two replicas of the judge and of the state machine."""
    environment = {"CONCORD_JUDGE_CONCURRENCY": str(IN_FLIGHT), "CONCORD_REISSUE_AFTER_S": "5"}
    replicas = {}
    if log == "kafka":
        url = request.getfixturevalue("kafka_url")
        environment["CONCORD_LOG_URL"] = f"{url}&session_ms=3000"
        replicas = {"labeling": 2, "runs": 2}
    run_id, config = ids.run_id("kills", b""), configuration(judge.url)
    judge.paid.clear()
    with Fleet(tmp_path, environment, replicas) as fleet:
        killer = Killer(fleet, judge, seed=11)
        runs_at, tasks_at = fleet.address("runs-0"), fleet.address("tasks-0")
        killer.start()
        try:
            view = drive_through(runs_at, tasks_at, run_id, config)
            # A run that ended before the last kill goes on being killed: its end must hold, too.
            killer.join(120)
        finally:
            killer.over.set()
            killer.join(120)
    assert killer.error is None, killer.error
    print(json.dumps({"log": log, "kills": len(killer.kills), "paid_again": judge.paid_again, "bound": killer.in_flight_at_kills}))
    assert len(killer.kills) == KILLS
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    assert view.dataset_sha256 == quiet.dataset_sha256
    assert judge.paid_again <= killer.in_flight_at_kills
    state_in_the_store_is_that_of_the_log(environment, tmp_path, run_id)
