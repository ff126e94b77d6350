"""gRPC: one server, one place where errors become statuses, one way to open a channel.

`serve` adds health (per service and overall), reflection and the interceptor to whatever servicers it is given.

Replicas stand behind one name. A channel resolves it to all of them and takes them in turn; a call that finds its
replica gone goes to another one. That is safe because every command may be said twice: see `commands.append_and_wait`.
"""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from concord.kit import caller, secure, telemetry, tracing
from concord.kit.errors import ConcordError, InvalidInput

# Calls without a deadline of their own get these: nothing hangs for ever, not on a replica that was frozen either.
DEADLINE_S = 30.0
STREAM_DEADLINE_S = 600.0
# A dead peer that said nothing (a lost node) is found out after these two. Servers must accept pings that often, or
# they answer GOAWAY too_many_pings; ours take them twice as often.
KEEPALIVE_S = 60.0
KEEPALIVE_TIMEOUT_S = 20.0
# A client looks its name up again only when a connection ends. Without an end, replicas that were added would get no
# calls from those who are connected. Calls under way may take as long as any deadline lets them.
CONNECTION_AGE_S = 300.0
CONNECTION_GRACE_S = STREAM_DEADLINE_S
RESOLVE_AGAIN_S = 5.0
# A replica that comes back is called again within this; gRPC's own limit is two minutes.
RECONNECT_S = 5.0
# A thread is made when it is first needed; a stream of a dataset or of facts holds one for as long as its reader takes.
THREADS = 64
# What one message may have. gRPC itself would cut at this and say so in its own words; the double is read so that
# whoever sends too much hears what to do.
MOST_MESSAGE_BYTES = 4 * 1024 * 1024
READ_BYTES = 2 * MOST_MESSAGE_BYTES
# An error's words travel in a header, each byte as up to three; a header over 8 KB may be refused.
MOST_WORDS_BYTES = 2_000
# The name by which health says that the process is alive.
ALIVE = "alive"


@dataclass(frozen=True)
class Servicer:
    """A servicer, the generated function that adds it to a server, and its full name."""

    name: str
    add: Callable[[object, grpc.Server], None]
    servicer: object


# Raises InvalidInput for a request that no servicer is to see.
Check = Callable[[Message], None]


def anything_goes(request: Message) -> None:
    """The check of a server whose servicers look at their requests themselves."""


class ErrorsToStatuses(grpc.ServerInterceptor):
    """Checks each request, turns each error of the tree into its status and counts every answer; anything else is a bug and
    INTERNAL."""

    def __init__(self, check: Check, rights: caller.Rights) -> None:
        self._check, self._rights = check, rights

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None or handler.request_streaming:
            return handler
        method = details.method
        if getattr(handler.unary_stream, _OURS, False):
            opened = _opened(handler.unary_stream, method, self._check, self._rights)
            # What is sent is bytes already.
            return grpc.unary_stream_rpc_method_handler(opened, handler.request_deserializer)
        if getattr(handler.unary_stream, _OPEN, False):
            return grpc.unary_stream_rpc_method_handler(
                _open_already(handler.unary_stream, method, self._check, self._rights),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _streaming(handler.unary_stream, method, self._check, self._rights),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            _single(handler.unary_unary, method, self._check, self._rights),
            handler.request_deserializer,
            handler.response_serializer,
        )


def _admitted(context: grpc.ServicerContext, method: str, request: Message, check: Check, rights: caller.Rights):
    """Who calls, once he may and his request can be looked at; raises Denied or InvalidInput."""
    who = caller.let_in(context, method, request, rights)
    check_size(method, request)
    check(request)
    return who


def _single(behaviour, method: str, check: Check, rights: caller.Rights):
    def call(request, context):
        with (
            telemetry.RPC_SECONDS.labels(method).time(),
            _traced(context, method, request),
            _translated(context, method),
            caller.answering(_admitted(context, method, request, check, rights)),
        ):
            return behaviour(request, context)

    return call


def _streaming(behaviour, method: str, check: Check, rights: caller.Rights):
    def answers(request, context):
        with _translated(context, method):
            _admitted(context, method, request, check, rights)
            yield from behaviour(request, context)

    def call(request, context):
        said = answers(request, context)
        return tracing.over(said, **_about(context, method, request)) if tracing.on() else said

    return call


class Stream:
    """A stream of answers that holds no thread of the server: whoever has it sends, from any thread, one at a time."""

    def __init__(
        self,
        put: Callable[[bytes | None], None],
        context: grpc.ServicerContext,
        method: str,
        over: Callable[[], None] = lambda: None,
    ) -> None:
        """`over` is called once, when it has ended."""
        self._put, self._context, self._method, self._over = put, context, method, over
        self._lock, self._counted = threading.Lock(), False

    def on_hang_up(self, call: Callable[[], None]) -> bool:
        """Calls once the stream is over, whoever ended it; False where it is over already."""
        return self._context.add_callback(call)

    def send(self, answer: bytes) -> None:
        """A message in bytes; waits while the caller's window is full. What is sent to nobody any more is dropped."""
        self._put(answer)

    def end(self, error: ConcordError | None = None) -> None:
        """Nothing follows."""
        if error is not None:
            self._context.set_code(error.status)
            self._context.set_details(str(error).encode()[:MOST_WORDS_BYTES].decode(errors="ignore"))
        self.count(error.status if error is not None else grpc.StatusCode.OK)
        self._put(None)

    def count(self, status: grpc.StatusCode) -> None:
        """How it ended, once: who hangs up after the end did not end it."""
        with self._lock:
            if self._counted:
                return
            self._counted = True
        telemetry.RPCS.labels(self._method, status.name).inc()
        self._over()


# gRPC's own mark of what holds no thread, and ours of what is given a Stream.
_OPEN, _OURS = "experimental_non_blocking", "given_a_stream"


def holds_no_thread(behaviour: Any) -> Any:
    """Marks a servicer's method `(self, request, context, stream)` that returns at once and leaves the stream open."""
    setattr(behaviour, _OURS, True)
    return behaviour


def _left_open(call: Any) -> Any:
    """Marks a call as gRPC's own health service does, which waits without a thread for each who watches."""
    setattr(call, _OPEN, True)
    return call


def _opened(behaviour, method: str, check: Check, rights: caller.Rights):
    @_left_open
    def call(request, context, put):
        over = tracing.lasting(**_about(context, method, request)) if tracing.on() else lambda: None
        stream = Stream(put, context, method, over)
        with _translated(context, method, counted=False):
            try:
                _admitted(context, method, request, check, rights)
                behaviour(request, context, stream)
            except Exception as error:
                stream.count(getattr(error, "status", grpc.StatusCode.INTERNAL))
                raise
        if not stream.on_hang_up(lambda: stream.count(grpc.StatusCode.OK)):
            stream.count(grpc.StatusCode.OK)

    return call


def _open_already(behaviour, method: str, check: Check, rights: caller.Rights):
    """gRPC's own: it sends messages, and is counted when it is opened."""

    @_left_open
    def call(request, context, send):
        with _translated(context, method):
            _admitted(context, method, request, check, rights)
            behaviour(request, context, send)

    return call


def _traced(context: grpc.ServicerContext, method: str, request: Message) -> contextlib.AbstractContextManager[object]:
    """The call as a span under the caller's, or by itself in its run's trace."""
    return tracing.span(**_about(context, method, request)) if tracing.on() else contextlib.nullcontext()


def _about(context: grpc.ServicerContext, method: str, request: Message) -> dict[str, Any]:
    """What the span of a call says, and where it stands."""
    run_id = getattr(request, "run_id", "")
    came = tracing.of_headers(context.invocation_metadata())
    parent, links = (came, ()) if came and tracing.trace_id(run_id) in ("", came[3:35]) else ("", (came,))
    name, said = method.removeprefix("/"), {"rpc__system": "grpc", "rpc__method": method}
    return {"name": name, "run_id": run_id, "kind": "server", "links": links, "parent": parent, **said}


@contextlib.contextmanager
def _translated(context: grpc.ServicerContext, method: str, counted: bool = True) -> Iterator[None]:
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
        if counted:
            telemetry.RPCS.labels(method, status.name).inc()
    if status is not grpc.StatusCode.OK:
        words += f" (trace {trace})" if (trace := tracing.current()) else ""
        context.abort(status, words.encode()[:MOST_WORDS_BYTES].decode(errors="ignore"))


def was_tried(context: grpc.ServicerContext | None) -> bool:
    """Whether this is the caller's second try or a later one: the first may have done its work before it was lost.

    None: called in the process, not over gRPC.
    """
    return context is not None and any(
        name == "grpc-previous-rpc-attempts" for name, _ in context.invocation_metadata()
    )


def check_size(method: str, message: Message) -> None:
    """Raises InvalidInput, with what to do, for a message that does not fit into one of gRPC."""
    if (size := message.ByteSize()) > MOST_MESSAGE_BYTES:
        raise InvalidInput(
            f"the request to {method} has {size / 1e6:.1f} MB; a message takes {MOST_MESSAGE_BYTES / 1e6:.1f} MB at most: "
            "send fewer pairs in one call, and shorten a pair that is too long by itself"
        )


def server_options(connection_age_s: float) -> list[tuple[str, int]]:
    """How long connections live, which pings are accepted, how large messages may be."""
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", int(KEEPALIVE_S * 500)),
        ("grpc.keepalive_permit_without_calls", 1),
        # gRPC spreads this by 10 % either way, so that not all clients come back at once.
        ("grpc.max_connection_age_ms", int(connection_age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", int(CONNECTION_GRACE_S * 1000)),
        ("grpc.max_receive_message_length", READ_BYTES),
    ]


def serve(
    servicers: Sequence[Servicer],
    address: str,
    connection_age_s: float = CONNECTION_AGE_S,
    check: Check = anything_goes,
    rights: caller.Rights = caller.everybody,
) -> tuple[grpc.Server, int, health.HealthServicer]:
    """Starts a server; returns it, the port it listens on (asked-for port 0 picks one) and its health.

    `address`: HOST:PORT, or with files as `secure` says. `check` is asked about every request before its servicer is, `rights`
    about every caller that has shown a certificate. Health says NOT_SERVING until `serving` is called: a server
    listens before its services are ready.
    """
    options = server_options(connection_age_s)
    pool = ThreadPoolExecutor(THREADS, "rpc")
    server = grpc.server(pool, interceptors=[ErrorsToStatuses(check, rights)], options=options)
    for servicer in servicers:
        servicer.add(servicer.servicer, server)
    status = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    names = [servicer.name for servicer in servicers]
    for name in (*names, ""):
        status.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        place, files = secure.parsed(address)
        port = (
            server.add_secure_port(place, secure.server(address, files)) if files else server.add_insecure_port(place)
        )
    except RuntimeError as error:
        raise InvalidInput(
            f"cannot listen on {secure.shown(address)}: {error}. Choose another with CONCORD_LISTEN or --listen"
        ) from None
    server.start()
    # No more than that the process answers, ready or not: for whoever restarts those that do not.
    status.set(ALIVE, health_pb2.HealthCheckResponse.SERVING)
    return server, port, status


def serving(status: health.HealthServicer, names: Sequence[str]) -> None:
    """From now on health says SERVING for the services of these full names; an empty one is the server as a whole."""
    for name in names:
        status.set(name, health_pb2.HealthCheckResponse.SERVING)


# What a caller hears where no replica has done what he asked, and it is worth asking again. CANCELLED, where the caller did not
# cancel, is what gRPC's server says to calls that arrive in the moment in which it stops and that it has not begun.
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)

# Up to four seconds for a replica to come back where there is no other; then the caller hears of it. gRPC varies each
# wait by a fifth. A stream is tried again only until its first message has come; what follows is its reader's to do.
RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "3s",
    "backoffMultiplier": 3,
    # After a deadline there is no time left for another try.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
SERVICE_CONFIG = {
    "methodConfig": [{"name": [{}], "retryPolicy": RETRY_POLICY}],
    "loadBalancingConfig": [{"round_robin": {}}],
}
CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    # The zone's own TXT records must not change how calls are made.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.keepalive_time_ms", int(KEEPALIVE_S * 1000)),
    ("grpc.keepalive_timeout_ms", int(KEEPALIVE_TIMEOUT_S * 1000)),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A fact of an earlier version may hold more words than a message may have now.
    ("grpc.max_receive_message_length", READ_BYTES),
    ("grpc.max_reconnect_backoff_ms", int(RECONNECT_S * 1000)),
    ("grpc.dns_min_time_between_resolutions_ms", int(RESOLVE_AGAIN_S * 1000)),
]
SCHEMES = re.compile(r"(dns|ipv4|ipv6|unix|xds):")


def target(address: str) -> str:
    """gRPC's name for HOST:PORT, HOST standing for as many replicas as it has addresses; what is one already stays.

    Replicas without a common name: `ipv4:10.0.0.1:7070,10.0.0.2:7070`.
    """
    return address if SCHEMES.match(address) else f"dns:///{address}"


def channel(address: str) -> grpc.Channel:
    """A channel that spreads calls over all replicas behind a name and retries what no replica took, nothing else.

    `address`: HOST:PORT, or with files as `secure` says. Raises InvalidInput for files that cannot be used.
    """
    place, files = secure.parsed(address)
    made = (
        grpc.secure_channel(target(place), secure.client(files), CHANNEL_OPTIONS)
        if files
        else grpc.insecure_channel(target(place), CHANNEL_OPTIONS)
    )
    return grpc.intercept_channel(made, _Single(), _Stream())


class _Single(grpc.UnaryUnaryClientInterceptor):
    """Gives a deadline to every single call that has none; refuses a message that cannot arrive."""

    def intercept_unary_unary(self, continuation, details, request):
        check_size(details.method, request)
        return continuation(_within(details, DEADLINE_S), request)


class _Stream(grpc.UnaryStreamClientInterceptor):
    """Gives a deadline to every stream of answers that has none."""

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(_within(details, STREAM_DEADLINE_S), request)


def _within(details: grpc.ClientCallDetails, seconds: float) -> grpc.ClientCallDetails:
    said, came = caller.metadata(), tracing.outgoing()
    if details.timeout is not None and not (said or came):
        return details
    metadata = (*(details.metadata or ()), *said, *([(tracing.HEADER, came)] if came else []))
    timeout = seconds if details.timeout is None else details.timeout
    return _Details(details.method, timeout, metadata, details.credentials, details.wait_for_ready)


@dataclass(frozen=True)
class _Details(grpc.ClientCallDetails):
    method: str
    timeout: float | None
    metadata: object
    credentials: object
    wait_for_ready: bool | None
    compression: object = None
