"""Ready means: in the group, and come to where the log ended. Health says so, and nothing earlier."""

import threading

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from concord import process
from concord.kit import rpc
from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import Unavailable
from concord.kit.ids import event_id, run_id
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, TRIAGE, fact_partition
from concord.kit.loop.reactor import Reactor
from concord.kit.loop.stepping import drive
from concord.kit.loop.worker import Worker
from concord.kit.settings import from_environment
from concord.kit.store.memory import MemoryStore
from concord.process import Running
from concord.runs import service as runs
from concord.v1.events_pb2 import Event
from concord.wiring import SERVICES, Service

RUN = run_id("ready", b"")
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def facts(count: int) -> list[Entry]:
    """Facts that no fold knows: they only have to be read."""
    events = [Event(event_id=event_id(RUN, "fact", n), run_id=RUN) for n in range(count)]
    return [Entry(FACTS, fact_partition(RUN), RUN.encode(), event.SerializeToString()) for event in events]


def test_a_reactor_is_ready_once_it_has_folded_what_the_log_held_and_no_earlier(open_log):
    log = open_log()
    log.append(facts(4_100))
    reactor = Reactor("runs", runs.fold(), log, MemoryStore(), MemoryBlobs(), lambda: 0.0)
    seen = []
    for _ in range(400):
        reactor.step(0.02)
        seen.append((reactor._reached(fact_partition(RUN)), reactor.ready()))
        if reactor.ready():
            break
    assert seen[-1] == (4_100, True)
    assert not any(ready for reached, ready in seen if reached < 4_100)
    log.append(facts(10))
    assert reactor.ready()
    reactor.close()


def test_a_worker_is_ready_once_its_group_took_it_in_even_with_nothing_to_do(open_kafka):
    log = open_kafka()

    def worker() -> Worker:
        return Worker("triage", TRIAGE, lambda work: None, log, MemoryBlobs(), lambda: 0.0, 1)

    workers = [worker() for _ in range(TRIAGE.partitions + 1)]
    assert not any(one.ready() for one in workers)
    for _ in range(400):
        for one in workers:
            one.step(0.01)
        if all(one.ready() for one in workers):
            break
    assert all(one.ready() for one in workers)
    for one in workers:
        one.close()


class Slow:
    """A loop that is away, then busy, and ready only when the test says so."""

    def __init__(self) -> None:
        self.steps, self.may = 0, threading.Event()

    def step(self, timeout_s: float) -> int:
        self.steps += 1
        if self.steps == 2:
            raise Unavailable("the store is away")
        return 0

    def ready(self) -> bool:
        return self.may.is_set()

    def drain(self) -> bool:
        return True

    def close(self) -> None: ...


def test_an_outage_before_the_first_fold_only_delays_readiness():
    slow, stop, ready = Slow(), threading.Event(), threading.Event()
    thread = threading.Thread(target=drive, args=("slow", lambda: slow, stop, ready))
    thread.start()
    while slow.steps < 4:
        assert not ready.is_set()
        stop.wait(0.01)
    slow.may.set()
    assert ready.wait(10)
    stop.set()
    thread.join()


class Busy(Slow):
    """A loop that is told to stop in its third step, with something under way that ends with the step that the test names."""

    def __init__(self, stop: threading.Event, ends_at: int) -> None:
        super().__init__()
        self._stop, self._ends_at, self.closed_at = stop, ends_at, 0

    def step(self, timeout_s: float) -> int:
        self.steps += 1
        if self.steps == 3:
            self._stop.set()
        threading.Event().wait(0.01)
        return 0

    def drain(self) -> bool:
        return self.steps >= self._ends_at

    def close(self) -> None:
        self.closed_at = self.steps


def test_what_is_under_way_when_a_loop_is_told_to_stop_has_its_grace_and_no_more():
    never = 10**9

    def closed_at(ends_at: int, grace_s: float) -> int:
        stop = threading.Event()
        busy = Busy(stop, ends_at)
        drive("busy", lambda: busy, stop, threading.Event(), grace_s)
        return busy.closed_at

    assert closed_at(ends_at=30, grace_s=60.0) == 30
    assert closed_at(ends_at=never, grace_s=0.0) == 3
    assert 3 < closed_at(ends_at=never, grace_s=1.0) < never


def test_health_says_serving_only_when_the_loop_is_ready_and_no_more_once_it_is_told_to_stop(tmp_path, monkeypatch):
    slow = Slow()
    parts = {
        **SERVICES,
        "training": lambda parts: Service(SERVICES["training"](parts).servicer, lambda: slow),
    }
    settings = from_environment({}, home=str(tmp_path), listen="127.0.0.1:0")
    monkeypatch.setattr(process, "START_S", 0.3)
    running = Running(["training"], settings, parts)
    with rpc.channel(running.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        names = ("concord.v1.TrainingService", "")

        def asked() -> list[int]:
            return [check(health_pb2.HealthCheckRequest(service=name), timeout=5).status for name in names]

        assert asked() == [NOT_SERVING, NOT_SERVING]
        slow.may.set()
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert SERVING in (answer.status for answer in watched)
        assert asked() == [SERVING, SERVING]
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(watched).status == SERVING
        threading.Thread(target=running.stop).start()
        try:
            assert next(watched).status == NOT_SERVING
        except grpc.RpcError as error:
            raise AssertionError("the server went before it said so") from error
