"""The plan on arrays, which the benchmarks run, gives the very dataset that the services give."""

import pytest

from benchmarks import straight
from concord.client.run import drive, options
from concord.embedded import embedded
from concord.kit import ids, rpc
from concord.kit.settings import from_environment
from concord.preference.methods import METHODS
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from tests import the_sample

ROWS = the_sample.given().rows[:500]
PAIRS = [row.pair for row in ROWS]


def answer(pair: int, vote: int):
    """What people say; now and then nothing."""
    return None if pair % 41 == 0 else ROWS[pair].truth


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with embedded(from_environment({}, home=str(tmp_path_factory.mktemp("planner")))) as running:
        yield running


@pytest.mark.parametrize("method", METHODS)
def test_the_plan_on_arrays_and_the_services_make_the_same_dataset(method, running):
    flags = {"judge": "sample", "budget": "30%", "batch": 0.06, "seed": 5, "components": 32, "subset": 0.5}
    config = options.run_config(options.resolve({**flags, "method": method}), None)
    run_id = ids.run_id("planner", method.encode())
    with rpc.channel(running.address) as channel:
        runs = RunServiceStub(channel)
        drive.begin(runs, run_id, config, PAIRS, "0" * 64, "made up")
        people = drive.People(TaskServiceStub(channel), run_id, answer, "somebody")
        view = drive.watch(runs, run_id, people, lambda view: None)
        people.stop()
    made = straight.run(PAIRS, config, answer)
    assert made.votes == view.votes
    assert made.dataset_sha256 == view.dataset_sha256
