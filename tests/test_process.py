"""The wiring: a service that cannot go on is heard of, and everything ends in order."""

import asyncio
import socket
import threading
from dataclasses import replace

import grpc
import pytest

from concord.client.run import options, session
from concord.client.run.job import Job, prepare
from concord.embedded import embedded
from concord.kit import rpc
from concord.kit.errors import Refused, Unavailable
from concord.kit.settings import from_environment
from concord.process import Running
from concord.runs.cancelled import FRESH_S
from concord.v1.labeling_service_pb2 import LabelPairsRequest
from concord.v1.labeling_service_pb2_grpc import LabelingServiceStub
from concord.v1.runs_service_pb2 import CancelRunRequest
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.wiring import SERVICES, Parts, Service, turn
from tests.endpoint import Endpoint
from tests.small_pairs import pair
from tests.test_sigkill import endpoint


class Failing:
    """A loop with a bug that shows once the test says so."""

    def __init__(self) -> None:
        self.now = threading.Event()

    def step(self, timeout_s: float) -> int:
        return 1 // 0 if self.now.wait(timeout_s) else 0

    def ready(self) -> bool:
        return True

    def drain(self) -> bool:
        return True

    def close(self) -> None: ...


def settings_in(folder, **more):
    return from_environment({}, home=str(folder), listen="127.0.0.1:0", **more)


def job(judge: str = "sample", **flags) -> Job:
    return prepare("sample", options.resolve({"judge": judge, **flags}), None, "")


def test_a_run_does_not_wait_for_ever_for_a_service_that_died(tmp_path):
    failing = Failing()

    def broken(parts: Parts) -> Service:
        return replace(SERVICES["training"](parts), make=lambda: failing)

    running = Running(list(SERVICES), settings_in(tmp_path), {**SERVICES, "training": broken})
    with pytest.raises(ZeroDivisionError):
        session.run(job(), running, lambda view: failing.now.set())
    running.stop()


def test_people_who_break_end_the_run_in_their_own_words(tmp_path):
    def crash(pair: int, vote: int):
        raise RuntimeError("the annotator's page is gone")

    with embedded(settings_in(tmp_path)) as running, pytest.raises(RuntimeError, match="page is gone"):
        session.run(replace(job(), answer=crash), running, lambda view: None)


def test_a_second_process_in_the_same_folder_is_told_so(tmp_path):
    with embedded(settings_in(tmp_path)), pytest.raises(Refused, match="another process already runs"):
        Running(["runs"], settings_in(tmp_path))


def test_a_start_that_fails_leaves_nothing_running(tmp_path):
    """Services wait for what they need by starting again every second; the port of the metrics is free again as well."""

    def away(parts: Parts) -> Service:
        raise Unavailable("the store is away")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = settings_in(tmp_path, metrics_port=free.getsockname()[1], processes=1)
    before = set(threading.enumerate())
    for _ in range(2):
        with pytest.raises(Unavailable, match="the store is away"):
            Running(["labeling", "scoring", "training"], settings, {**SERVICES, "training": away})
    for thread in set(threading.enumerate()) - before:
        thread.join(5.0)
        assert not thread.is_alive(), thread.name


def test_stopping_does_not_wait_for_a_judge_that_never_answers(tmp_path):
    with endpoint(hold_until=10_000) as judge:
        running = Running(["labeling"], settings_in(tmp_path))
        config = options.run_config(options.resolve({"judge": f"{judge.url}#stub"}), None).judge
        with rpc.channel(running.address) as channel:
            request = LabelPairsRequest(judge=config, pairs=[pair("a", "b")])
            waiting = LabelingServiceStub(channel).LabelPairs.future(request, timeout=600)
            wait_for_calls(judge, 1)
            running.stop()
            with pytest.raises(grpc.RpcError):
                waiting.result(30)


@pytest.mark.filterwarnings("error")
def test_what_begins_while_the_calls_are_let_go_is_ended_and_not_left_half_open():
    loop = asyncio.new_event_loop()
    began = []

    def late() -> None:
        began.append(loop.create_task(asyncio.sleep(10_000)))
        loop.stop()

    loop.call_soon(late)
    turn(loop)
    assert began[0].cancelled()
    loop.close()


def test_a_cancelled_run_stops_spending(tmp_path):
    with endpoint(latency_s=0.2) as judge, embedded(settings_in(tmp_path, judge_concurrency=4)) as running:
        asked = job(f"{judge.url}#stub", pilot=0)

        def cancel(view) -> None:
            if view.stages:
                with rpc.channel(running.address) as channel:
                    RunServiceStub(channel).CancelRun(
                        CancelRunRequest(run_id=view.run_id, request_id="enough", reason="enough")
                    )

        view = session.run(asked, running, cancel)
        assert view.detail == "enough"
        threading.Event().wait(FRESH_S + 1.0)
        before = judge.calls
        threading.Event().wait(1.0)
        assert judge.calls == before < 3_200


def wait_for_calls(judge: Endpoint, count: int) -> None:
    for _ in range(500):
        if judge.calls >= count:
            return
        threading.Event().wait(0.02)
    raise AssertionError(f"{judge.calls} of {count} calls arrived")
