"""One trace from a command through gRPC, the log and a worker to the model's call and the person's answer; off, it is nothing."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import grpc
import pytest
import structlog
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collected
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collecting
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from concord.client.run import session
from concord.embedded import embedded, serving
from concord.kit import rpc, telemetry, tracing
from concord.kit.errors import InvalidInput
from concord.kit.loop.run_records import records
from concord.kit.settings import open_log
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, GetRunRequest
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from tests.fleet import Fleet
from tests.test_away import job, settings_in
from tests.test_sigkill import endpoint

# One process with every service.
ALL = {"all": ()}
RUN = "96d72a33-7b1c-5a5e-9f35-6f0f6a6c2b11"


class Collector(collecting.TraceServiceServicer):
    """Keeps what it is sent, as an OTLP collector is."""

    def __init__(self) -> None:
        self.spans: list = []

    def Export(self, request, context):
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return collected.ExportTraceServiceResponse()


@contextmanager
def collector():
    kept = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    collecting.add_TraceServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield kept, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def memory():
    """Spans as they end, kept in memory."""
    exporter = InMemorySpanExporter()
    end = tracing.install("test", SimpleSpanProcessor(exporter))
    yield exporter
    end()


def assert_one_tree(spans) -> None:
    """One of them has no parent, the run itself, and every other one's is among them."""
    known = {span.span_id for span in spans}
    assert {span.name for span in spans if span.parent_span_id and span.parent_span_id not in known} == set()
    assert [span.name for span in spans if not span.parent_span_id] == ["run"]


def test_a_run_over_services_of_another_process_is_one_tree_as_well(tmp_path):
    with (
        collector() as (kept, address),
        endpoint() as judge,
        Fleet(tmp_path, {"CONCORD_TRACES": address}, ALL) as fleet,
    ):
        asked = job(tmp_path, f"{judge.url}#some-model", budget="4")
        with serving(settings_in(tmp_path, traces=address), fleet.address("all"), 16, asked.config) as there:
            assert session.run(asked, there, lambda view: None).status == RUN_STATUS_FINISHED
        # In order, so that it sends what it still has.
        assert fleet.terminate("all") == 0
    mine = [span for span in kept.spans if span.trace_id.hex() == tracing.trace_id(asked.run_id)]
    assert_one_tree(mine)
    names = {span.name for span in mine}
    assert {"concord run", "append run_created", "end LABEL/0", "append annotation_submitted"} <= names
    assert {f"concord.v1.RunService/{name}" for name in ("CreateRun", "SubmitPairs", "WatchRun")} <= names


def test_between_two_items_of_a_stream_the_thread_is_in_no_span_of_it_and_one_that_is_left_ends(memory):
    def items():
        try:
            yield tracing.current()
            yield tracing.current()
        finally:
            left.append(True)

    left: list[bool] = []
    stream = tracing.over(items(), "stream", RUN)
    assert (next(stream), tracing.current()) == (tracing.trace_id(RUN), "")
    stream.close()
    (span,) = memory.get_finished_spans()
    assert (span.name, left, span.status.is_ok) == ("stream", [True], True)


def test_a_run_is_one_trace_from_the_command_to_the_models_call_and_the_persons_answer(tmp_path):
    with collector() as (kept, address), endpoint() as judge:
        settings = replace(settings_in(tmp_path), traces=address)
        asked = job(tmp_path, f"{judge.url}#some-model", budget="4")
        with embedded(settings) as running:
            assert session.run(asked, running, lambda view: None).status == RUN_STATUS_FINISHED
    own = tracing.trace_id(asked.run_id)
    mine = [span for span in kept.spans if span.trace_id.hex() == own]
    by_id, names = {span.span_id: span for span in mine}, {span.name for span in mine}
    assert {"concord run", "append run_created", "begin LABEL/0", "end LABEL/0", "chat some-model"} <= names
    assert {"concord.v1.RunService/CreateRun", "append annotation_submitted"} <= names
    assert_one_tree(mine)
    assert {"concord.v1.RunService/WatchRun"} <= names
    # The call of the model is part of the unit, and the unit is linked to whoever issued it.
    call = next(span for span in mine if span.name == "chat some-model")
    unit = by_id[call.parent_span_id]
    assert unit.name.startswith("begin ") and by_id[unit.links[0].span_id].name.startswith("due ")
    said = {one.key: one.value for one in call.attributes}
    assert said["gen_ai.operation.name"].string_value == "chat" and said["gen_ai.usage.input_tokens"].int_value > 0
    # The command's span leads to the server's.
    created = next(span for span in mine if span.name == "concord.v1.RunService/CreateRun")
    assert by_id[created.parent_span_id].name == "concord run"
    # No text of a pair in any of it, and every fact names its span.
    everything = b"".join(span.SerializeToString() for span in kept.spans)
    pairs = [row.pair for row in asked.given.rows]
    assert not any(
        text.encode() in everything for pair in pairs for text in (pair.prompt[0].content, pair.first.text) if text
    )
    with closing(open_log(settings)) as log:
        assert all(
            dict(record.headers)["traceparent"].split(b"-")[1].decode() == own for record in records(log, asked.run_id)
        )


def test_where_tracing_is_off_nothing_is_added_anywhere():
    assert not tracing.on() and tracing.headers(RUN) == () and tracing.outgoing() == tracing.current() == ""
    with tracing.span("anything", RUN) as span:
        assert span is None


def test_a_span_of_another_runs_trace_is_linked_and_not_mixed_in(memory):
    with tracing.span("call"), tracing.span("fact", RUN):
        pass
    fact, call = memory.get_finished_spans()
    assert f"{fact.context.trace_id:032x}" == tracing.trace_id(RUN) != f"{call.context.trace_id:032x}"
    assert [link.context.span_id for link in fact.links] == [call.context.span_id]


@pytest.mark.parametrize("text", ["", "nothing", "00-zz-1-01", "00-0-0-00", "99-" + "1" * 32 + "-" + "1" * 16 + "-01"])
def test_what_names_no_span_counts_as_nothing(memory, text):
    with tracing.span("one", RUN, links=(text,), parent=text):
        pass
    (one,) = memory.get_finished_spans()
    assert not one.links and f"{one.context.trace_id:032x}" == tracing.trace_id(RUN)


def test_a_log_line_names_its_runs_trace(memory):
    written = io.StringIO()
    telemetry.log_json("info", written)
    try:
        structlog.get_logger().info("something", run=RUN)
        with tracing.span("call"):
            structlog.get_logger().info("else")
            here = tracing.current()
    finally:
        structlog.reset_defaults()
    first, second = map(json.loads, written.getvalue().splitlines())
    assert (first["trace"], second["trace"]) == (tracing.trace_id(RUN), here)


def test_an_error_tells_its_trace_to_the_caller(tmp_path, memory):
    with (
        embedded(settings_in(tmp_path)) as running,
        rpc.channel(running.address) as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        RunServiceStub(channel).GetRun(GetRunRequest(run_id=RUN))
    assert error.value.details().endswith(f"(trace {tracing.trace_id(RUN)})")


def test_an_address_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="CONCORD_TRACES='collector:4317'"):
        tracing.begin("runs", "collector:4317")
