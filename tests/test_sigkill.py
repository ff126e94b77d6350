"""Processes are killed at random moments, and nothing changes: the same dataset, nothing paid twice that was kept."""

import json
import random
import threading
from collections.abc import Callable, Sequence

import pytest

from concord.kit.log import Log
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.settings import from_environment, open_log
from concord.v1 import runs_service_pb2 as pb
from tests.endpoint import Endpoint
from tests.fleet import Fleet, each_its_own
from tests.judged_run import (
    IN_FLIGHT,
    LATENCY_S,
    RUN,
    Quiet,
    assert_nothing_was_lost,
    configuration,
    drive_through,
    endpoint,
    longest_stall,
    quiet_run,
)

pytestmark = pytest.mark.slow


KILLS_WHILE_LABELLING, KILLS_AFTERWARDS = 12, 20


@pytest.fixture(scope="module")
def judge():
    with endpoint(flips=0.2) as running:
        yield running


@pytest.fixture(scope="module")
def quiet(judge, tmp_path_factory):
    """A function: number of votes a task takes → the quiet run."""
    return lambda quorum: quiet_run(judge, configuration(judge.url, quorum), tmp_path_factory.mktemp("quiet"))


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
    assert_nothing_was_lost(environment, tmp_path)
