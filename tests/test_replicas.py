"""Replicas behind one name: calls are spread, a killed one costs no call, one that is added or comes back gets its share."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import grpc
import pytest

from concord.client.run import drive, options
from concord.kit import ids, rpc
from concord.kit.errors import InvalidInput
from concord.kit.log import Log
from concord.kit.loop.run_records import records
from concord.kit.settings import from_environment, open_log
from concord.operate import run_log
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import Event
from concord.v1.runs_service_pb2_grpc import RunServiceStub, add_RunServiceServicer_to_server
from concord.v1.tasks_service_pb2 import GetQueueRequest
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from deploy.local.broker import free_port
from tests.fleet import Fleet
from tests.names import Names
from tests.small_pairs import pair

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
FRONT = "concord.v1.RunService"
AGE_S = 1.0
SOON_S = 30.0


class Counting:
    """Enough of RunService to count calls, and streams of which the first ones break before or after a message."""

    def __init__(self) -> None:
        self.calls = 0
        self.tried: list[bool] = []
        self.breaks_before = self.breaks_after = 0

    def GetRun(self, request, context):
        self.calls += 1
        return pb.GetRunResponse()

    def WatchRun(self, request, context):
        self.calls += 1
        self.tried.append(rpc.was_tried(context))
        if self.breaks_before:
            self.breaks_before -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "before")
        yield pb.WatchRunResponse()
        if self.breaks_after:
            self.breaks_after -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "after")

    def __getattr__(self, name):
        return lambda request, context: context.abort(grpc.StatusCode.UNIMPLEMENTED, name)


@contextmanager
def replica(host: str, port: int, age_s: float = rpc.CONNECTION_AGE_S) -> Iterator[Counting]:
    counting = Counting()
    servicer = rpc.Servicer(FRONT, add_RunServiceServicer_to_server, counting)
    server, _, _ = rpc.serve([servicer], f"{host}:{port}", age_s)
    try:
        yield counting
    finally:
        server.stop(None).wait()


def ask(stub: RunServiceStub) -> None:
    stub.GetRun(pb.GetRunRequest())


def ask_until(stub: RunServiceStub, reached: Callable[[], bool]) -> None:
    """Calls one after the other until it is so; every one of them must be answered."""
    deadline = time.monotonic() + SOON_S
    while not reached():
        assert time.monotonic() < deadline, f"not so after {SOON_S:.0f} s of calls"
        ask(stub)


def test_calls_are_spread_over_all_replicas_behind_a_name():
    port = free_port()
    with ExitStack() as stack:
        replicas = [stack.enter_context(replica(host, port)) for host in HOSTS]
        names = stack.enter_context(Names(HOSTS))
        stub = RunServiceStub(stack.enter_context(rpc.channel(names.target(port))))
        ask_until(stub, lambda: all(one.calls for one in replicas))
        before = [one.calls for one in replicas]
        for _ in range(30):
            ask(stub)
        assert [one.calls - was for one, was in zip(replicas, before, strict=True)] == [10, 10, 10]


def test_an_added_replica_gets_calls_once_connections_have_aged_and_no_call_is_lost_to_that():
    port = free_port()
    with ExitStack() as stack:
        replicas = [stack.enter_context(replica(host, port, AGE_S)) for host in HOSTS]
        names = stack.enter_context(Names(HOSTS[:2]))
        stub = RunServiceStub(stack.enter_context(rpc.channel(names.target(port))))
        ask_until(stub, lambda: all(one.calls for one in replicas[:2]))
        assert not replicas[2].calls
        names.hosts = HOSTS
        ask_until(stub, lambda: replicas[2].calls > 0)


def test_a_replica_that_ends_costs_no_call_and_gets_calls_again_when_it_is_back():
    port = free_port()
    with ExitStack() as stack:
        one = stack.enter_context(replica(HOSTS[0], port))
        names = stack.enter_context(Names(HOSTS[:2]))
        stub = RunServiceStub(stack.enter_context(rpc.channel(names.target(port))))
        with replica(HOSTS[1], port) as other, ThreadPoolExecutor(8) as callers:
            asked = [callers.submit(ask_until, stub, lambda: one.calls > 400) for _ in range(8)]
            ask_until(stub, lambda: other.calls > 50)
        for call in asked:
            call.result()
        with replica(HOSTS[1], port) as other:
            ask_until(stub, lambda: other.calls > 0)


def test_a_stream_is_tried_again_before_its_first_message_and_not_after_it():
    port = free_port()
    with replica(HOSTS[0], port) as one, rpc.channel(f"{HOSTS[0]}:{port}") as channel:
        stub = RunServiceStub(channel)
        one.breaks_before = 2
        assert len(list(stub.WatchRun(pb.WatchRunRequest()))) == 1
        assert one.tried == [False, True, True]
        one.breaks_after, got = 1, []
        with pytest.raises(grpc.RpcError, match="after"):
            got.extend(stub.WatchRun(pb.WatchRunRequest()))
        assert one.tried == [False, True, True, False]


def test_a_stream_without_a_deadline_gets_one():
    left: list[float] = []

    class Slow(Counting):
        def WatchRun(self, request, context):
            left.append(context.time_remaining())
            yield pb.WatchRunResponse()

    server, port, _ = rpc.serve([rpc.Servicer(FRONT, add_RunServiceServicer_to_server, Slow())], "127.0.0.1:0")
    with rpc.channel(f"127.0.0.1:{port}") as channel:
        list(RunServiceStub(channel).WatchRun(pb.WatchRunRequest()))
        list(RunServiceStub(channel).WatchRun(pb.WatchRunRequest(), timeout=5))
    server.stop(None)
    assert rpc.STREAM_DEADLINE_S - 60 < left[0] <= rpc.STREAM_DEADLINE_S and left[1] < 6


def test_servers_take_pings_more_often_than_clients_send_them_and_calls_outlive_no_connection():
    server, client = dict(rpc.server_options(rpc.CONNECTION_AGE_S)), dict(rpc.CHANNEL_OPTIONS)
    assert server["grpc.http2.min_ping_interval_without_data_ms"] < client["grpc.keepalive_time_ms"]
    assert server["grpc.keepalive_permit_without_calls"] == client["grpc.keepalive_permit_without_calls"] == 1
    longest_s = max(rpc.DEADLINE_S, rpc.STREAM_DEADLINE_S, drive.WATCH_S)
    assert server["grpc.max_connection_age_grace_ms"] >= 1000 * longest_s


@pytest.mark.parametrize("megabytes", [5, 9])
def test_a_message_that_is_too_large_is_refused_in_words(megabytes):
    port = free_port()
    large = pb.SubmitPairsRequest(pairs=[pair("a", "b" * megabytes * 1_000_000)])
    words = rf"SubmitPairs has {megabytes}.0 MB.*4.2 MB at most.*fewer pairs"
    with (
        replica(HOSTS[0], port),
        rpc.channel(f"{HOSTS[0]}:{port}") as channel,
        pytest.raises(InvalidInput, match=words),
    ):
        RunServiceStub(channel).SubmitPairs(large)


def test_whoever_does_not_use_our_channel_hears_of_it_too():
    port = free_port()
    with replica(HOSTS[0], port), grpc.insecure_channel(f"{HOSTS[0]}:{port}") as channel:
        with pytest.raises(grpc.RpcError, match=r"SubmitPairs has 5.0 MB.*fewer pairs") as caught:
            RunServiceStub(channel).SubmitPairs(pb.SubmitPairsRequest(pairs=[pair("a", "b" * 5_000_000)]))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


# ── whole processes ─────────────────────────────────────────────────────────────────────────────────────────────────

CALLERS, PAIRS, ORDERS = 8, 6, 4
CONFIG = options.run_config(options.resolve({"judge": "sample", "shard_pairs": 4}), None)
# What a caller's commands become in each run, each just once.
SAID = {
    "run_created": 1,
    "pairs_added": PAIRS,
    "run_started": 1,
    "budget_changed": ORDERS,
    "run_paused": ORDERS,
    "run_resumed": ORDERS,
    "run_cancelled": 1,
}


class Callers:
    """Each makes one run after the other, with every command and questions in between; no call may fail."""

    def __init__(self, front: str) -> None:
        self._front = front
        self.answered = 0
        self._lock = threading.Lock()

    def run(self, number: int, enough: threading.Event) -> list[str]:
        """The runs that were made until `enough` was set."""
        made: list[str] = []
        with rpc.channel(self._front) as channel:
            runs, tasks = RunServiceStub(channel), TaskServiceStub(channel)
            while not enough.is_set():
                made.append(ids.run_id(f"caller {number}, run {len(made)}", b""))
                self._whole(runs, tasks, made[-1])
        return made

    def _whole(self, runs: RunServiceStub, tasks: TaskServiceStub, run_id: str) -> None:
        self._say(runs.CreateRun, pb.CreateRunRequest(run_id=run_id, config=CONFIG))
        for n in range(PAIRS):
            one = [pair(f"answer {n}", f"another {n} of {run_id}", pair_id=f"row-{n}")]
            sent = pb.SubmitPairsRequest(run_id=run_id, request_id=str(n), pairs=one, first_index=n)
            assert self._say(runs.SubmitPairs, sent).pairs == n + 1
        self._say(runs.StartRun, pb.StartRunRequest(run_id=run_id, request_id="start"))
        for n in range(ORDERS):
            of = {"run_id": run_id, "request_id": str(n)}
            assert self._say(runs.SetBudget, pb.SetBudgetRequest(human_budget=n, **of)).run.human_budget == n
            assert self._say(runs.PauseRun, pb.PauseRunRequest(**of)).run.status == pb.RUN_STATUS_PAUSED
            assert self._say(runs.ResumeRun, pb.ResumeRunRequest(**of)).run.status == pb.RUN_STATUS_RUNNING
            assert self._say(runs.GetRun, pb.GetRunRequest(run_id=run_id)).run.human_budget == n
            self._say(tasks.GetQueue, GetQueueRequest(run_id=run_id))
        self._say(runs.CancelRun, pb.CancelRunRequest(run_id=run_id, request_id="over"))

    def _say(self, method, request):
        answer = method(request)
        with self._lock:
            self.answered += 1
        return answer

    def wait_for(self, count: int, calls: list) -> None:
        """Until so many calls were answered; raises what a caller met."""
        over = threading.Event()
        for _ in range(1200):
            for call in calls:
                if call.done():
                    call.result()
            if self.answered >= count:
                return
            over.wait(0.1)
        raise AssertionError(f"{self.answered} of {count} calls were answered in two minutes")


def answered(fleet: Fleet, name: str) -> Counter[str]:
    """Calls of RunService and TaskService that this process answered well, by method."""
    counts: Counter[str] = Counter()
    for (method, code), count in fleet.rpcs(name).items():
        if code == "OK" and method.startswith("/concord.v1."):
            counts[method.rpartition("/")[2]] += count
    return counts


@pytest.mark.slow
def test_a_front_door_killed_under_load_fails_no_call_and_applies_none_twice(tmp_path, kafka_url):
    """Two front doors; SIGKILL of each in turn while eight callers speak; a new one in its place gets calls again."""
    environment = {"CONCORD_LOG_URL": kafka_url + "&session_ms=3000"}
    plan = {"runs-0": ("runs",), "runs-1": ("runs",), "tasks-0": ("tasks",)}
    with Fleet(tmp_path, environment, plan, metered=True) as fleet, ThreadPoolExecutor(CALLERS) as pool:
        callers, enough = Callers(fleet.replicas("runs")), threading.Event()
        calls = [pool.submit(callers.run, number, enough) for number in range(CALLERS)]
        try:
            for name in ("runs-0", "runs-1"):
                callers.wait_for(callers.answered + 200, calls)
                spread = {one: answered(fleet, one) for one in ("runs-0", "runs-1")}
                for method in ("SubmitPairs", "PauseRun", "GetRun", "GetQueue"):
                    assert all(spread[one][method] for one in spread), spread
                fleet.kill(name)
                callers.wait_for(callers.answered + 100, calls)
                fleet.start(name)
                fleet.wait_ready(name)
                over = threading.Event()
                for _ in range(300):
                    callers.wait_for(0, calls)
                    if answered(fleet, name)["SubmitPairs"]:
                        break
                    over.wait(0.1)
                assert answered(fleet, name)["SubmitPairs"], f"{name} came back and got no calls"
        finally:
            enough.set()
        made = [run_id for call in calls for run_id in call.result()]
        with closing(open_log(from_environment(environment, home=str(tmp_path)))) as log:
            said_again = sum(assert_said_once(log, run_id) for run_id in made)
        print({"calls": callers.answered, "runs": len(made), "commands said again": said_again})


def assert_said_once(log: Log, run_id: str) -> int:
    """Every command of the caller's changed the run just once; returns how many facts stand in the log a second time."""
    facts = [Event.FromString(record.value) for record in records(log, run_id)]
    said = Counter(event.WhichOneof("kind") for event in {event.event_id: event for event in facts}.values())
    assert {kind: said[kind] for kind in SAID} == SAID
    run = run_log.fold(log, run_id)
    assert (run.state.view.pairs, run.state.view.human_budget) == (PAIRS, ORDERS - 1)
    assert not run.state.view.refused and run.duplicates == len(facts) - len(run.ids)
    return run.duplicates
