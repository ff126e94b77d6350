"""Every method from pairs to a dataset through the services, on the sample."""

import json

import numpy as np
import pytest

from concord.client.run import drive, options
from concord.embedded import embedded
from concord.kit import ids, rpc
from concord.kit.settings import from_environment
from concord.preference.methods import METHODS
from concord.v1 import runs_service_pb2 as pb
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from tests import the_sample
from tests.dataset_stream import read_dataset

ROWS = the_sample.given().rows[:400]
NAMES = {Choice.CHOICE_FIRST: "first", Choice.CHOICE_SECOND: "second", Choice.CHOICE_TIE: "tie"}
TRUTH = [NAMES[row.truth] for row in ROWS]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with embedded(from_environment({}, home=str(tmp_path_factory.mktemp("methods")))) as running:
        yield running


def finished(running, **flags) -> tuple[pb.RunView, list[dict]]:
    """The run's end and its rows."""
    run_id = ids.run_id("methods", json.dumps(flags, sort_keys=True).encode())
    config = options.run_config(options.resolve({"judge": "sample", "budget": "10%", "pilot": 0, **flags}), None)
    with rpc.channel(running.address) as channel:
        runs = RunServiceStub(channel)
        drive.begin(runs, run_id, config, [row.pair for row in ROWS], "0" * 64, "made up")
        people = drive.People(TaskServiceStub(channel), run_id, lambda pair, vote: ROWS[pair].truth, "somebody")
        view = drive.watch(runs, run_id, people, lambda view: None)
        people.stop()
        assert view.status == pb.RUN_STATUS_FINISHED, view.detail
        return view, [json.loads(line) for line in b"".join(read_dataset(runs, run_id)).splitlines()]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_spends_its_budget_and_takes_people_at_their_word(method, running):
    view, rows = finished(running, method=method)
    wanted = 0 if not METHODS[method].asks else len(ROWS) if method == "all-human" else 40
    assert view.votes == wanted
    assert len(rows) == len(ROWS)
    by_people = [row for row in rows if row["source"] == "people"]
    assert len(by_people) == wanted
    assert all(row["label"] == TRUTH[row["index"]] for row in by_people)


@pytest.mark.slow
def test_the_ablations_of_rlthf_run_through_the_services(running):
    labels = {}
    for name, flags in {
        "whole": {},
        "nobody": {"nobody": True},
        "one shot": {"batch": 1.0},
        "plain": {"amplification": "1", "back_off": "0"},
        "all pairs": {"subset": 1.0},
        "out of fold": {"folds": 4},
    }.items():
        view, rows = finished(running, method="rlthf", **flags)
        assert view.votes == (0 if name == "nobody" else 40), name
        labels[name] = np.array([row["label"] for row in rows])
    assert all((labels["whole"] != other).any() for name, other in labels.items() if name != "whole")
