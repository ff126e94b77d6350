"""Rolling upgrades: processes of an earlier commit and of this one share a log, a store and blobs, and finish one run.

Both orders: the earlier one's processes are replaced by this one's, and the other way round (an upgrade taken back). Each
replacement is SIGTERM and a start on the same port, at a point of the run that the log shows. Where a process has two
replicas, both versions are in one consumer group for a while.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from concord.client.run import drive, options, people
from concord.embedded import embedded
from concord.kit import ids, rpc
from concord.kit.ids import unit_name
from concord.kit.log import Log
from concord.kit.settings import from_environment, open_log
from concord.operate import run_log
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import Event, Stage
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from tests import earlier as earlier_versions
from tests import fleet as fleets
from tests import the_sample
from tests.endpoint import Endpoint
from tests.fleet import Fleet, each_its_own
from tests.test_sigkill import endpoint

pytestmark = pytest.mark.slow


ROWS = the_sample.given().rows[:240]
PAIRS = [row.pair for row in ROWS]
RUN = ids.run_id("upgrades", b"")
ANSWER = people.simulated(ROWS, seed=3, rate=0.1)
# Seconds of a call, and of one while a process is being replaced: so the stage outlasts that on any machine.
QUICK_S, SLOW_S = 0.02, 1.0
IN_FLIGHT = 8
READ_AGAIN_S = 0.05
# Of a fact, what says who was slow and what was paid, and not what was found.
UNCOUNTED = ("event_id", "run_id", "usage")


def run_of(kind: str) -> Callable[[Event], str]:
    """Facts of this kind as `STAGE.ROUND`."""

    def place(event: Event) -> str:
        said = getattr(event, kind)
        return (
            f"{Stage.Name(said.stage).removeprefix('STAGE_')}.{said.round}" if event.WhichOneof("kind") == kind else ""
        )

    return place


def opened(stage: str, round_: int = 0) -> Callable[[Sequence[Event]], bool]:
    """Whether the stage has been opened."""
    return lambda facts: f"{stage}.{round_}" in map(run_of("stage_opened"), facts)


def labelled(shards: int) -> Callable[[Sequence[Event]], bool]:
    """Whether so many shards have their labels."""
    return lambda facts: sum(event.WhichOneof("kind") == "shard_labeled" for event in facts) >= shards


# In order: where the run must have come to, in words and as a condition, and which process is replaced then.
STEPS = [
    ("LABEL was opened", opened("LABEL"), "labeling-0"),
    ("2 shards were labelled", labelled(2), "runs-0"),
    ("5 shards were labelled", labelled(5), "labeling-1"),
    ("FEATURES was opened", opened("FEATURES"), "scoring-0"),
    ("TRAIN 1 was opened", opened("TRAIN", 1), "training-0"),
    ("people were asked, round 1", opened("ANNOTATE", 1), "tasks-0"),
    ("people were asked, round 2", opened("ANNOTATE", 2), "runs-1"),
    ("TRIAGE 3 was opened", opened("TRIAGE", 3), "triage-0"),
]
# People of round 1, 2, 3 … answer once so many steps are done, so that none is left for after the run.
FIRST = (6, 7, 8)


@pytest.fixture(scope="module", params=["RELEASE_CANDIDATE", "OLDEST"])
def earlier(request, tmp_path_factory) -> Path:
    """The earlier commit's tree with its own stubs, made by its own build hook."""
    folder = earlier_versions.tree(getattr(earlier_versions, request.param), tmp_path_factory.mktemp("earlier"))
    subprocess.run([sys.executable, "hatch_build.py", "."], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def judge() -> Iterator[Endpoint]:
    with endpoint(flips=0.2) as running:
        yield running


def configuration(url: str):
    asked = {
        "judge": f"{url}#stub",
        # The default's model of wrong labels learns otherwise since the oldest of them, so datasets differ; this method's do not.
        "method": "margin",
        "budget": "10%",
        "batch": 0.02,
        "shard_pairs": 24,
        "seed": 7,
        "window": 3,
        "pilot": 0,
        # The default of today, -1, is one that versions before it refuse.
        "audit": 0.1,
    }
    return options.run_config(options.resolve(asked), None)


def drive_through(runs_at: str, tasks_at: str, url: str, answer: drive.Answerer) -> pb.RunView:
    """The run from its creation to its end, or to a pause that needs a person."""
    with rpc.channel(runs_at) as one, rpc.channel(tasks_at) as other:
        runs = RunServiceStub(one)
        drive.begin(runs, RUN, configuration(url), PAIRS, "0" * 64, "the sample's first pairs")
        annotators = drive.People(TaskServiceStub(other), RUN, answer, "people")
        try:
            return drive.watch(runs, RUN, annotators, lambda view: None)
        finally:
            annotators.stop()


@pytest.fixture(scope="module")
def quiet(judge, tmp_path_factory) -> tuple[str, list[Event]]:
    """The dataset's hash and the facts where this version runs alone, in one process."""
    judge.behaviour.latency_s = 0.0
    settings = from_environment({}, home=str(tmp_path_factory.mktemp("quiet")), judge_concurrency=IN_FLIGHT)
    with embedded(settings) as running:
        view = drive_through(running.address, running.address, judge.url, ANSWER)
        facts = [event for event, _ in run_log.events(open_log(settings), RUN)]
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    return view.dataset_sha256, facts


class Upgrader(threading.Thread):
    """Replaces one process after the other, each once the run has come to its step."""

    def __init__(self, fleet: Fleet, log: Log, judge: Endpoint, tree: Path) -> None:
        super().__init__(daemon=True)
        self._fleet, self._log, self._judge, self._tree = fleet, log, judge, tree
        self.over = threading.Event()
        # Step → how many facts the run had when the process was told to end, and when the other one served.
        self.done: dict[str, tuple[int, int]] = {}
        self.late = threading.Condition()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for words, reached, name in STEPS:
                while not reached(self.facts()):
                    if self.over.wait(READ_AGAIN_S):
                        return
                before = len(self.facts())
                self._judge.behaviour.latency_s = SLOW_S
                self._fleet.replace(name, self._tree)
                self._judge.behaviour.latency_s = QUICK_S
                with self.late:
                    self.done[f"{name}, once {words}"] = before, len(self.facts())
                    self.late.notify_all()
        except BaseException as error:
            self.error = error
        finally:
            self.over.set()
            with self.late:
                self.late.notify_all()

    def facts(self) -> list[Event]:
        return [event for event, _ in run_log.events(self._log, RUN)]

    def wait_for(self, steps: int) -> None:
        """Returns once so many steps are done, or there will be no more."""
        with self.late:
            self.late.wait_for(lambda: len(self.done) >= steps or self.over.is_set(), fleets.READY_S)


def first_difference(facts: Sequence[Event], undisturbed: Sequence[Event]) -> str:
    """Which unit's fact says something else than this version's own run does, the first in that one's order."""
    found = {name: event for name, event in map(_told, facts) if name}
    for name, event in map(_told, undisturbed):
        if name and name not in found:
            return f"the mixed run has no {name}"
        if name and found[name] != event:
            return f"{name} says\n{str(found[name])[:600]}\nand in this version's own run\n{str(event)[:600]}"
    return "every unit's fact is the same, so the order of decisions is not"


def _told(event: Event) -> tuple[str, Event]:
    kind, plain = event.WhichOneof("kind"), Event()
    plain.CopyFrom(event)
    for name in UNCOUNTED:
        plain.ClearField(name)
    return (f"{kind} of {unit_name(event.unit)}" if event.HasField("unit") and kind else ""), plain


def upgraded(fleet: Fleet, log: Log, judge: Endpoint, tree: Path) -> tuple[pb.RunView, Upgrader]:
    """The run on the fleet, whose processes are replaced by those of `tree` meanwhile."""
    upgrader = Upgrader(fleet, log, judge, tree)

    def answer(pair: int, vote: int):
        # Those asked in round n have their leases by now: the desk is replaced under their hands.
        rounds = sum(place.startswith("ANNOTATE") for place in map(run_of("stage_opened"), upgrader.facts()))
        upgrader.wait_for(FIRST[min(rounds, len(FIRST)) - 1])
        return ANSWER(pair, vote)

    upgrader.start()
    try:
        view = drive_through(fleet.replicas("runs"), fleet.where("tasks"), judge.url, answer)
    finally:
        upgrader.over.set()
        upgrader.join(fleets.READY_S)
    return view, upgrader


@pytest.mark.parametrize("order", ["upgrade", "rollback"])
def test_an_earlier_version_and_this_one_finish_a_run_together(order, earlier, quiet, judge, tmp_path, kafka_url):
    dataset_sha256, undisturbed = quiet
    before, after = (earlier, fleets.ROOT) if order == "upgrade" else (fleets.ROOT, earlier)
    environment = {"CONCORD_LOG_URL": kafka_url + "&session_ms=6000", "CONCORD_JUDGE_CONCURRENCY": str(IN_FLIGHT)}
    judge.behaviour.latency_s = QUICK_S
    watched = closing(open_log(from_environment(environment, home=str(tmp_path))))
    with watched as log, Fleet(tmp_path, environment, each_its_own(runs=2, labeling=2), tree=before) as fleet:
        view, upgrader = upgraded(fleet, log, judge, after)
        facts = upgrader.facts()
        assert upgrader.error is None, f"{order}: after {list(upgrader.done)}: {upgrader.error}"
        assert view.status == pb.RUN_STATUS_FINISHED, (
            f"{order}: the run is {pb.RunStatus.Name(view.status)}: {view.detail}; replaced by then: {list(upgrader.done)}"
        )
        assert len(upgrader.done) == len(STEPS), (
            f"{order}: the run ended before all were replaced; were: {list(upgrader.done)}"
        )
        assert max(after for _, after in upgrader.done.values()) < len(facts)
        for name in fleet.names:
            assert fleet.is_ready(name)
    print({"order": order, "facts when replaced": upgrader.done, "facts": len(facts)})
    assert view.dataset_sha256 == dataset_sha256, f"{order}: another dataset: {first_difference(facts, undisturbed)}"
