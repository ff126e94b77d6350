"""Workers ask the front door which runs were cancelled: about all at once, now and then, and go on where nobody answers."""

import pytest

from concord.client.run import options
from concord.embedded import embedded
from concord.kit import rpc
from concord.kit.errors import Unavailable
from concord.kit.settings import from_environment
from concord.runs.cancelled import AWAY_S, FORGOTTEN_S, FRESH_S, MOST_ASKED, Cancelled, at_door
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from tests.test_services import new_run


class Door:
    """Who says which runs were cancelled, with a clock of its own; `away`: nobody answers."""

    def __init__(self) -> None:
        self.now, self.away = 0.0, False
        self.cancelled: set[str] = set()
        self.calls: list[list[str]] = []

    def look(self, run_ids):
        self.calls.append(list(run_ids))
        if self.away:
            raise Unavailable("away")
        return self.cancelled & set(run_ids)


@pytest.fixture
def door():
    return Door()


@pytest.fixture
def cancelled(door):
    return Cancelled(door.look, lambda: door.now)


def test_one_call_a_second_serves_all_runs(door, cancelled):
    for _ in range(100):
        assert not cancelled("a") and not cancelled("b")
    assert door.calls == [["a"], ["b", "a"]]
    door.cancelled, door.now = {"b"}, FRESH_S
    assert not cancelled("a") and cancelled("b")
    assert len(door.calls) == 3
    door.now = 10 * FRESH_S
    assert cancelled("b") and len(door.calls) == 3, "what was cancelled stays so"


def test_where_nobody_answers_work_goes_on_and_what_was_said_before_holds(door, cancelled):
    door.cancelled = {"b"}
    assert cancelled("b") and not cancelled("a")
    door.away, door.now = True, FRESH_S
    door.cancelled = {"a", "b"}
    calls = len(door.calls)
    for _ in range(100):
        assert cancelled("b") and not cancelled("a") and not cancelled("new")
    assert len(door.calls) == calls + 1, "who does not answer is not asked in every step"
    door.away, door.now = False, FRESH_S + AWAY_S
    assert cancelled("a") and not cancelled("new")


def test_a_run_that_nobody_asks_about_any_more_is_forgotten_and_a_call_stays_small(door, cancelled):
    for number in range(2 * MOST_ASKED):
        cancelled(f"run {number}")
    assert max(map(len, door.calls)) == MOST_ASKED
    door.now = 2 * FORGOTTEN_S
    assert not cancelled("alone")
    assert door.calls[-1] == ["alone"]


def test_the_front_door_knows_which_of_them_were_cancelled(tmp_path):
    settings = from_environment({}, home=str(tmp_path), processes=0, listen="127.0.0.1:0")
    with embedded(settings) as running, rpc.channel(running.address) as channel:
        runs, names = RunServiceStub(channel), [new_run(name) for name in ("goes on", "ends")]
        config = options.run_config(options.resolve({"judge": "sample"}), None)
        for name in names:
            runs.CreateRun(pb.CreateRunRequest(run_id=name, config=config, input_sha256="0" * 64, input_name="x"))
        look, close = at_door(running.address)
        asked = Cancelled(look)
        assert not asked(names[1])
        runs.CancelRun(pb.CancelRunRequest(run_id=names[1], request_id="enough"))
        assert look([*names, "0" * 36]) == {names[1]}
        assert not asked(names[0]) and asked(names[1])
        close()
        assert asked(names[1]) and not asked(names[0])
