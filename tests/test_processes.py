"""The same services in one process, in two, each in its own: the same dataset."""

import subprocess

import pytest

from concord import embedded as embedding
from concord.client.run import drive, options, people
from concord.kit import ids, rpc
from concord.kit.settings import from_environment
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from concord.wiring import SERVICES
from tests import the_sample
from tests.dataset_stream import read_dataset
from tests.fleet import READY_S, Fleet, each_its_own

ROWS = the_sample.given().rows[:300]
RUN = ids.run_id("processes", b"")
ANSWER = people.simulated(ROWS, seed=5, rate=0.1)
PLANS = {
    "no names": {"everything": ()},
    "two processes": {"people": ("runs", "tasks"), "workers": ("labeling", "scoring", "triage", "training")},
    "each its own": each_its_own(),
}


def dataset(runs_at: str, tasks_at: str) -> tuple[str, bytes]:
    """Hash and rows of the run, driven to its end through these two doors."""
    asked = options.resolve({"judge": "sample", "budget": "10%", "quorum": 2, "shard_pairs": 32, "batch": 0.02})
    with rpc.channel(runs_at) as one, rpc.channel(tasks_at) as other:
        runs = RunServiceStub(one)
        drive.begin(runs, RUN, options.run_config(asked, None), [row.pair for row in ROWS], "0" * 64, "made up")
        annotators = drive.People(TaskServiceStub(other), RUN, ANSWER, "people")
        try:
            view = drive.watch(runs, RUN, annotators, lambda view: None)
        finally:
            annotators.stop()
        assert view.status == pb.RUN_STATUS_FINISHED, view.detail
        assert view.votes == view.human_budget == 30
        return view.dataset_sha256, b"".join(read_dataset(runs, RUN))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """What `concord run` makes of it."""
    with embedding.embedded(from_environment({}, home=str(tmp_path_factory.mktemp("embedded")))) as running:
        return dataset(running.address, running.address)


@pytest.mark.parametrize("log", ["sqlite", pytest.param("kafka", marks=pytest.mark.slow)])
@pytest.mark.parametrize("plan", PLANS)
def test_the_dataset_is_the_same_however_the_services_are_spread(plan, log, embedded, tmp_path, request):
    environment = {"CONCORD_LOG_URL": request.getfixturevalue("kafka_url")} if log == "kafka" else {}
    with Fleet(tmp_path, environment, PLANS[plan]) as fleet:
        assert dataset(fleet.where("runs"), fleet.where("tasks")) == embedded


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_needs_no_other_to_start_and_ends_in_good_order(service, tmp_path):
    with Fleet(tmp_path, {}, {service: (service,)}) as fleet:
        assert fleet.terminate(service) == 0, fleet.log(service)


def test_a_second_process_of_a_service_says_so_where_the_log_allows_only_one(tmp_path):
    with Fleet(tmp_path, {}, {"triage-0": ("triage",)}) as fleet:
        fleet.add("triage-1", ("triage",))
        try:
            status = fleet.processes["triage-1"].wait(READY_S)
        except subprocess.TimeoutExpired:
            status = None
        assert status == 2
        assert "another process already runs the group 'triage'" in fleet.log("triage-1")
        assert "Traceback" not in fleet.log("triage-1")
        assert fleet.is_ready("triage-0")
