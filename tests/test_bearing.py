"""A judge that turns requests away and never says its limits lowers how many replicas are wanted, as one that says them does."""

import pytest

from concord.kit import rpc
from concord.kit.errors import InvalidInput
from concord.preference.judges import networked
from concord.runs.bearing import CAUTIOUS_S, FRESH_S, Bearing
from concord.runs.cancelled import at_door
from concord.runs.demand import UNITS_A_REPLICA, Waits, bears, survey
from concord.runs.service import servicer
from tests.manifests import built, of_kind
from tests.test_demand import LLM, labelling

URL = LLM.url


class Told:
    """A bearing with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bearing = Bearing(lambda: self.now)

    def by(self, *windows: int, most: int = 64, url: str = URL) -> None:
        for number, window in enumerate(windows):
            self.bearing.hear(f"worker-{number}", [(url, window, most)])


@pytest.fixture
def told():
    return Told()


def wanted(told: Told, runs: int, window: int = 16) -> int:
    states = [labelling(window=window, judge=LLM).state] * runs
    return survey(states, 0.0, Waits(), told.bearing.replicas()).wanted["labeling"]


def test_an_endpoint_that_turns_nobody_away_has_no_limit(told):
    told.by(64, 64, 64)
    assert told.bearing.replicas() == {}
    assert wanted(told, 10) == 160


def test_replicas_that_shrank_to_a_quarter_are_as_many_as_a_quarter_of_them(told):
    told.by(*[16] * 12)
    assert told.bearing.replicas() == {URL: 3.0}
    assert wanted(told, 100) == 3 * UNITS_A_REPLICA


def test_no_run_gets_less_than_one_unit_out(told):
    told.by(1)
    assert wanted(told, 100) == 1
    assert wanted(told, 0) == 0


def test_another_endpoints_runs_are_as_they_were(told):
    told.by(8, url="http://other/v1")
    assert wanted(told, 10) == 160


def test_a_limit_that_is_stated_holds_beside_what_was_found_out(told):
    told.by(64, 32)
    slow = type(LLM)()
    slow.CopyFrom(LLM)
    slow.requests_per_minute = 24
    state = labelling(window=16, judge=slow).state
    assert networked(slow) and bears(state, told.bearing.replicas()) == 24
    assert survey([state] * 10, 0.0, Waits(), told.bearing.replicas()).wanted["labeling"] == 3


def test_once_all_is_answered_again_replicas_come_back_one_at_a_time_and_then_as_before(told):
    told.by(32, 32, 32)
    told.now = 10
    told.by(64, 64, 64)
    assert told.bearing.replicas() == {URL: 4.0}
    told.now = CAUTIOUS_S
    told.by(64, 64, 64)
    assert told.bearing.replicas() == {}


def test_who_is_gone_counts_no_longer(told):
    told.by(32, 32)
    told.now = FRESH_S - 1
    told.by(32)
    told.now = FRESH_S + 1
    assert told.bearing.replicas() == {URL: 0.5}
    told.now = 3 * FRESH_S
    assert told.bearing.replicas() == {}, "where nobody asks nothing is known"


def test_what_cannot_be_is_refused(told):
    for window, most in ((0, 64), (65, 64), (1, 0)):
        with pytest.raises(InvalidInput, match="from 1 to the most is expected"):
            told.bearing.hear("w", [(URL, window, most)])


def test_a_worker_tells_it_with_the_question_that_it_asks_anyway(told, tmp_path):
    """Over gRPC, as labeling's processes do every second."""
    from concord.kit.blobs import MemoryBlobs
    from concord.kit.log.sqlite import SqliteLog
    from concord.kit.store.memory import MemoryStore

    front = servicer(SqliteLog(tmp_path / "log.db"), MemoryStore(), MemoryBlobs(), bearing=told.bearing)
    server, port, _ = rpc.serve([front], "127.0.0.1:0")
    look, close = at_door(f"127.0.0.1:{port}", lambda: [(URL, 16, 64)])
    try:
        assert look([]) == set()
        assert told.bearing.replicas() == {URL: 0.25}
    finally:
        close()
        server.stop(None)


def test_a_replica_is_what_its_autoscaler_takes_for_one():
    (trigger,) = of_kind("ScaledObject", built("prod"))["labeling"]["spec"]["triggers"]
    assert int(trigger["metadata"]["targetValue"]) == UNITS_A_REPLICA
