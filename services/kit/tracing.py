"""Traces by OpenTelemetry, off unless CONCORD_TRACES says where to: one trace a run, whose id is the run's own without its dashes.

So every process knows a run's trace without having been told, be it days later; what led to what is told by links: a record's
headers name the span that appended it, and whoever takes the record links to that. Spans hold names, numbers and models; never
texts. Where it is off each function here costs one comparison, and nothing of OpenTelemetry is imported.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from hashlib import sha256
from typing import Any, TypeVar
from uuid import UUID

from concord.kit.errors import InvalidInput

# Of records of the log and of gRPC: W3C's Trace Context.
HEADER = "traceparent"
Value = str | int | float | bool
# A tracer once tracing is on.
_tracer: Any = None
_NOTHING: AbstractContextManager[Any] = nullcontext()
# The ids that the next span gets; None: random ones.
_ids: ContextVar[Any] = ContextVar("ids", default=None)
T = TypeVar("T")


def on() -> bool:
    """Whether anything is traced in this process."""
    return _tracer is not None


def begin(service: str, endpoint: str) -> Callable[[], None]:
    """Traces from now on to the OTLP collector at `endpoint`, http://HOST:4317 (gRPC); returns what sends the rest and ends it.

    Raises InvalidInput where the extra is not installed, or for what is no address.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise InvalidInput(
            f"CONCORD_TRACES={endpoint!r}: http://HOST:PORT of an OTLP collector is expected, port 4317 as a rule"
        )
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{error}: tracing needs the extra, pip install 'concord-preference[tracing]'") from None
    return install(service, BatchSpanProcessor(OTLPSpanExporter(endpoint, insecure=endpoint.startswith("http://"))))


def install(service: str, processor: Any) -> Callable[[], None]:
    """The same with a span processor of one's own, such as one that keeps spans in memory."""
    global _tracer
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        """Random ones, but where `began` says whose."""

        def generate_trace_id(self) -> int:
            return said.trace_id if (said := _ids.get()) else super().generate_trace_id()

        def generate_span_id(self) -> int:
            return said.span_id if (said := _ids.get()) else super().generate_span_id()

    resource = Resource.create({"service.name": f"concord-{service}"})
    provider = TracerProvider(resource=resource, id_generator=Ids())
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("concord")

    def end() -> None:
        global _tracer
        _tracer = None
        provider.shutdown()

    return end


def trace_id(run_id: str) -> str:
    """The trace of a run, 32 hexadecimal digits; empty for what is no run's id."""
    try:
        return UUID(run_id).hex
    except ValueError:
        return ""


def current() -> str:
    """The trace that this thread is in, empty where none."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def span(
    name: str,
    run_id: str = "",
    kind: str = "internal",
    links: Sequence[str] = (),
    parent: str = "",
    **said: Value,
) -> AbstractContextManager[Any]:
    """A span around a block, within the one that this thread is in if that is of the same run.

    `kind`: internal, server, client, producer or consumer. `links`, `parent`: texts as HEADER has them; what is none counts as
    nothing. `said`: attributes, with a dot for each double underscore in their names. An error of the block is the span's status.
    """
    if _tracer is None:
        return _NOTHING
    return _span(name, run_id, kind, links, parent, said)


def over(
    items: Iterator[T],
    name: str,
    run_id: str = "",
    kind: str = "internal",
    links: Sequence[str] = (),
    parent: str = "",
    **said: Value,
) -> Iterator[T]:
    """The items, with a span over all of them; this thread is in it only while one of them is made, for between two of them it is
    somebody else's."""
    if _tracer is None:
        return items
    return _over(items, _begun(name, run_id, kind, links, parent, said))


def lasting(
    name: str, run_id: str = "", kind: str = "internal", links: Sequence[str] = (), parent: str = "", **said: Value
) -> Callable[[], None]:
    """Begins a span and answers with what ends it, from any thread; no thread is in it meanwhile."""
    return (lambda: None) if _tracer is None else _begun(name, run_id, kind, links, parent, said).end


def _over(items: Iterator[T], made: Any) -> Iterator[T]:
    from opentelemetry import trace

    try:
        while True:
            with trace.use_span(made, record_exception=False):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
    finally:
        made.end()
        if isinstance(items, Generator):
            items.close()


@contextmanager
def _span(
    name: str, run_id: str, kind: str, links: Sequence[str], parent: str, said: Mapping[str, Value]
) -> Iterator[Any]:
    from opentelemetry import trace

    with trace.use_span(
        _begun(name, run_id, kind, links, parent, said), end_on_exit=True, record_exception=False
    ) as made:
        yield made


def _begun(name: str, run_id: str, kind: str, links: Sequence[str], parent: str, said: Mapping[str, Value]) -> Any:
    from opentelemetry import trace

    around = trace.get_current_span().get_span_context()
    context = None
    if parent and (given := _context(parent)) is not None:
        context = trace.set_span_in_context(trace.NonRecordingSpan(given))
    elif (own := trace_id(run_id)) and f"{around.trace_id:032x}" != own:
        context = trace.set_span_in_context(trace.NonRecordingSpan(_root(own)))
        if around.is_valid:
            links = (*links, _text(around))
    about = {key.replace("__", "."): value for key, value in said.items()} | ({"concord.run": run_id} if run_id else {})
    return _tracer.start_span(
        name,
        context,
        kind=trace.SpanKind[kind.upper()],
        attributes=about,
        links=[trace.Link(one) for one in map(_context, links) if one is not None],
    )


def began(run_id: str) -> None:
    """Tells of the run itself: the span under which all that happens to it stands. To be called by whoever records the run; it
    lasts no time, for nobody could end it days later."""
    if _tracer is None or not (own := trace_id(run_id)):
        return
    from opentelemetry import context

    said = _ids.set(_root(own))
    try:
        _tracer.start_span("run", context.Context(), attributes={"concord.run": run_id}).end()
    finally:
        _ids.reset(said)


def headers(run_id: str = "") -> tuple[tuple[str, bytes], ...]:
    """What a record that is appended now says of where it comes from; nothing where tracing is off."""
    if _tracer is None:
        return ()
    said = outgoing() or (_text(_root(own)) if (own := trace_id(run_id)) else "")
    return ((HEADER, said.encode()),) if said else ()


def outgoing() -> str:
    """The span that this thread is in, as HEADER has it; empty where there is none."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return _text(context) if context.is_valid else ""


def of_headers(said: Sequence[tuple[str, str | bytes]]) -> str:
    """What these headers of a record or a call say of where it comes from; empty: nothing."""
    for name, value in said if _tracer is not None else ():
        if name == HEADER:
            return value.decode(errors="replace") if isinstance(value, bytes) else value
    return ""


def _root(own: str) -> Any:
    """The run itself as a span, by ids that everybody knows: under it stands all that happens to the run. `began` makes it."""
    from opentelemetry import trace

    span_id = int.from_bytes(sha256(own.encode()).digest()[:8]) or 1
    return trace.SpanContext(int(own, 16), span_id, True, trace.TraceFlags(trace.TraceFlags.SAMPLED))


def _text(context: Any) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _context(text: str) -> Any:
    """The span that the text names; None for what names none."""
    from opentelemetry import trace

    try:
        version, own, span_id, flags = text.split("-")
        context = trace.SpanContext(int(own, 16), int(span_id, 16), True, trace.TraceFlags(int(flags, 16)))
    except ValueError:
        return None
    return context if context.is_valid and version == "00" else None
