"""The gRPC shell: errors become statuses in one place, health and reflection answer, calls have deadlines."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from concord.kit import errors, rpc
from concord.v1 import training_service_pb2 as pb
from concord.v1 import training_service_pb2_grpc

NAME = "concord.v1.TrainingService"


class Failing(training_service_pb2_grpc.TrainingServiceServicer):
    """Raises whatever the test puts in."""

    error: Exception | None = None
    seen_s: float | None = None
    # Of the server that it runs in.
    status: HealthServicer

    def GetJob(self, request, context):
        self.seen_s = context.time_remaining()
        if self.error:
            raise self.error
        return pb.GetJobResponse(done=True)


@pytest.fixture
def served():
    failing = Failing()
    servicer = rpc.Servicer(NAME, training_service_pb2_grpc.add_TrainingServiceServicer_to_server, failing)
    server, port, status = rpc.serve([servicer], "127.0.0.1:0")
    with rpc.channel(f"127.0.0.1:{port}") as channel:
        failing.status = status
        yield failing, channel
    server.stop(None)


def call(channel):
    return training_service_pb2_grpc.TrainingServiceStub(channel).GetJob(pb.GetJobRequest())


TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ConcordError)]


@pytest.mark.parametrize(
    "kind", [kind for kind in TREE if kind.status != grpc.StatusCode.UNAVAILABLE], ids=lambda k: k.__name__
)
def test_every_error_of_the_tree_arrives_with_its_status_and_its_words(served, kind):
    failing, channel = served
    failing.error = kind("what happened, and what to do")
    with pytest.raises(grpc.RpcError) as caught:
        call(channel)
    assert (caught.value.code(), caught.value.details()) == (kind.status, "what happened, and what to do")


def test_a_bug_is_internal_and_hides_its_details(served):
    failing, channel = served
    failing.error = ZeroDivisionError("a secret")
    with pytest.raises(grpc.RpcError) as caught:
        call(channel)
    assert caught.value.code() == grpc.StatusCode.INTERNAL and "secret" not in caught.value.details()


def test_what_is_unavailable_is_tried_again_and_nothing_else_is(served):
    failing, _ = served
    tries = []

    def flaky(request, context):
        tries.append(1)
        if len(tries) < 3:
            raise errors.Unavailable("not yet")
        return pb.GetJobResponse(done=True)

    failing.GetJob = flaky  # type: ignore[method-assign]
    server, port, _ = rpc.serve(
        [rpc.Servicer(NAME, training_service_pb2_grpc.add_TrainingServiceServicer_to_server, failing)], "127.0.0.1:0"
    )
    with rpc.channel(f"127.0.0.1:{port}") as other:
        assert call(other).done and len(tries) == 3
    server.stop(None)


CALLERS, RESTARTS, BETWEEN_S = 16, 16, 0.1


def test_no_caller_hears_of_replicas_that_are_restarted_in_turn():
    """A call that arrives in the moment in which a server stops is told CANCELLED by gRPC, and was never begun."""
    servicers = [rpc.Servicer(NAME, training_service_pb2_grpc.add_TrainingServiceServicer_to_server, Failing())]
    servers, ports = zip(*[rpc.serve(servicers, "127.0.0.1:0")[:2] for _ in range(2)], strict=True)
    servers, over = list(servers), threading.Event()

    def calls() -> int:
        done = 0
        with rpc.channel("ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)) as channel:
            while not over.is_set():
                done += call(channel).done
        return done

    with ThreadPoolExecutor(CALLERS) as callers:
        answered = [callers.submit(calls) for _ in range(CALLERS)]
        try:
            for restart in range(RESTARTS):
                over.wait(BETWEEN_S)
                at = restart % 2
                servers[at].stop(5).wait()
                servers[at] = rpc.serve(servicers, f"127.0.0.1:{ports[at]}")[0]
        finally:
            over.set()
        # Raises what any of them has heard.
        assert all(one.result() for one in answered)
    for server in servers:
        server.stop(None)


def test_a_call_without_a_deadline_gets_one(served):
    failing, channel = served
    call(channel)
    assert failing.seen_s is not None and failing.seen_s < rpc.DEADLINE_S + 1


def test_health_says_for_the_server_and_for_each_service_whether_they_are_ready(served):
    failing, channel = served
    check, health = health_pb2_grpc.HealthStub(channel).Check, health_pb2.HealthCheckResponse
    asked = [health_pb2.HealthCheckRequest(service=name) for name in ("", NAME)]
    assert [check(one).status for one in asked] == [health.NOT_SERVING] * 2
    rpc.serving(failing.status, [NAME, ""])
    assert [check(one).status for one in asked] == [health.SERVING] * 2


def test_reflection_lists_the_services(served):
    _, channel = served
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked)
    assert NAME in {service.name for service in answer.list_services_response.service}


def test_an_address_in_use_is_said_with_the_setting_to_change():
    with pytest.raises(errors.InvalidInput, match=r"cannot listen on 203.0.113.1:1.*CONCORD_LISTEN"):
        rpc.serve([], "203.0.113.1:1")
