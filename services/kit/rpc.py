"""gRPC: one server, one place where errors become statuses, one way to open a channel.

`serve` adds health (per service and overall), reflection and the interceptor to whatever servicers it is given.
"""
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.kit import telemetry
from services.kit.errors import ConcordError, InvalidInput

# Calls without a deadline of their own get this one: nothing hangs for ever.
DEADLINE_S = 30.0
# No shorter than servers allow by default (5 min without calls), else they answer GOAWAY too_many_pings.
KEEPALIVE_MS = 300_000
THREADS = 32
# The name by which health says that the process is alive.
ALIVE = "alive"


@dataclass(frozen=True)
class Servicer:
    """A servicer, the generated function that adds it to a server, and its full name."""

    name: str
    add: Callable[[object, grpc.Server], None]
    servicer: object


class ErrorsToStatuses(grpc.ServerInterceptor):
    """Turns each error of the tree into its status and counts every answer; anything else is a bug and INTERNAL."""

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None or handler.request_streaming:
            return handler
        method = details.method
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _streaming(handler.unary_stream, method), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _single(handler.unary_unary, method), handler.request_deserializer, handler.response_serializer
        )


def _single(behaviour, method: str):
    def call(request, context):
        with _translated(context, method):
            return behaviour(request, context)

    return call


def _streaming(behaviour, method: str):
    def call(request, context):
        with _translated(context, method):
            yield from behaviour(request, context)

    return call


@contextlib.contextmanager
def _translated(context: grpc.ServicerContext, method: str) -> Iterator[None]:
    status, words = grpc.StatusCode.OK, ""
    try:
        yield
    except ConcordError as error:
        status, words = error.status, str(error)
    except Exception as error:  # a bug: its trace goes to the log, the caller hears that it is ours
        if context.code() is not None:  # aborted on purpose
            raise
        structlog.get_logger().exception("rpc failed", method=method)
        status, words = grpc.StatusCode.INTERNAL, f"{type(error).__name__} in {method}; the server's log has the trace"
    finally:
        telemetry.RPCS.labels(method, status.name).inc()
    if status is not grpc.StatusCode.OK:
        context.abort(status, words)


def serve(servicers: Sequence[Servicer], address: str) -> tuple[grpc.Server, int, health.HealthServicer]:
    """Starts a server; returns it, the port it listens on (asked-for port 0 picks one) and its health.

    Health says NOT_SERVING until `serving` is called: a server listens before its services are ready.
    """
    options = [("grpc.so_reuseport", 0), ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2)]
    server = grpc.server(ThreadPoolExecutor(THREADS), interceptors=[ErrorsToStatuses()], options=options)
    for servicer in servicers:
        servicer.add(servicer.servicer, server)
    status = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    names = [servicer.name for servicer in servicers]
    for name in (*names, ""):
        status.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise InvalidInput(f"cannot listen on {address}: {error}. Choose another with CONCORD_LISTEN or --listen") from None
    server.start()
    # No more than that the process answers, ready or not: for whoever restarts those that do not.
    status.set(ALIVE, health_pb2.HealthCheckResponse.SERVING)
    return server, port, status


def serving(status: health.HealthServicer, names: Sequence[str]) -> None:
    """From now on health says SERVING for the services of these full names and for the server as a whole."""
    for name in (*names, ""):
        status.set(name, health_pb2.HealthCheckResponse.SERVING)


RETRIES = """{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.1s",
"maxBackoff": "2s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}],
"loadBalancingConfig": [{"round_robin": {}}]}"""


def channel(address: str) -> grpc.Channel:
    """A channel that spreads calls over all replicas behind a name and retries what was UNAVAILABLE, nothing else."""
    target = address if "://" in address or address.startswith("dns:") else f"dns:///{address}"
    options = [("grpc.service_config", RETRIES), ("grpc.keepalive_time_ms", KEEPALIVE_MS)]
    return grpc.intercept_channel(grpc.insecure_channel(target, options), _Deadline())


class _Deadline(grpc.UnaryUnaryClientInterceptor):
    """Gives a deadline to every single call that has none."""

    def intercept_unary_unary(self, continuation, details, request):
        if details.timeout is None:
            details = _Details(details.method, DEADLINE_S, details.metadata, details.credentials, details.wait_for_ready)
        return continuation(details, request)


@dataclass(frozen=True)
class _Details(grpc.ClientCallDetails):
    method: str
    timeout: float | None
    metadata: object
    credentials: object
    wait_for_ready: bool | None
    compression: object = None
