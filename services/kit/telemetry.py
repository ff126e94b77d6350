"""Logs as JSON lines on standard error, and the metrics that an operator's dashboard reads.

Labels are few and bounded: services, outcomes, reasons, and at most MOST_NAMES judges' hosts; what comes beyond is `other`.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from socketserver import ThreadingMixIn
from typing import TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app

from concord.kit import tracing
from concord.kit.errors import InvalidInput, Unavailable

# Units take from a moment to hours, calls of a judge from a tenth of a second to minutes, RPCs less.
UNIT_BUCKETS = (0.05, 0.2, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 3600, 10_800)
JUDGE_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
RPC_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

DUPLICATES = Counter("concord_duplicate_facts", "Facts dropped because their id was folded before")
UNKNOWN_FACTS = Counter("concord_unknown_facts", "Facts of a kind this version does not know")
FOLDED = Counter("concord_folded_facts", "Facts folded", ["service"])
FOLD_LAG = Gauge("concord_fold_lag", "Facts of this replica's partitions that it has not folded yet", ["service"])
UNITS = Counter("concord_units", "Units of work finished", ["service", "outcome"])
UNIT_SECONDS = Histogram(
    "concord_unit_seconds", "Seconds from a unit's start to its end", ["service"], buckets=UNIT_BUCKETS
)
IN_FLIGHT = Gauge("concord_units_in_flight", "Units being worked on", ["service"])
WORK_LAG = Gauge("concord_work_lag", "Work of this replica's partitions that is not settled yet", ["service"])
DEAD_LETTERS = Counter("concord_dead_letters", "Work given up and kept as a dead letter", ["service"])
BACKEND_ERRORS = Counter("concord_backend_errors", "Times that a log, store or blob store did not answer", ["what"])
RPCS = Counter("concord_rpcs", "RPCs answered", ["method", "code"])
RPC_SECONDS = Histogram(
    "concord_rpc_seconds", "Seconds to the answer; streams left out", ["method"], buckets=RPC_BUCKETS
)
JUDGE_CALLS = Counter("concord_judge_calls", "Requests to a judge's endpoint", ["endpoint", "outcome"])
JUDGE_SECONDS = Histogram("concord_judge_seconds", "Seconds to a judge's answer", ["endpoint"], buckets=JUDGE_BUCKETS)
JUDGE_TOKENS = Counter("concord_judge_tokens", "Tokens that a judge's endpoint counted", ["endpoint", "kind"])
JUDGE_DOLLARS = Counter("concord_judge_dollars", "Dollars by the prices that runs give", ["endpoint"])
# Of the training on these devices, by the names that CUDA takes; `cpu` where there are none. Absent where nothing is trained.
TRAINING_STEP = Gauge("concord_training_step", "Steps that the training has done", ["devices"])
TRAINING_STEPS = Gauge("concord_training_steps", "Steps that the training has in all", ["devices"])
TRAINING_TOKENS = Gauge("concord_training_tokens_a_second", "Tokens that the training takes a second", ["devices"])
TRAINING_LEFT = Gauge("concord_training_seconds_left", "Seconds that the training will take yet", ["devices"])
TRAINING_MFU = Gauge("concord_training_mfu", "Share of the devices' peak FLOP/s that is used, where known", ["devices"])
ANSWERS = Counter("concord_answers", "Answers that people handed in")
# Of the whole cluster, and the same from every replica of runs: an alert takes the greatest.
WANTED = Gauge("concord_units_wanted", "Units that are out or may go out now", ["service"])
WAIT_SECONDS = Gauge("concord_wait_seconds", "Longest that a run has waited for the next of its units", ["service"])
RUNS = Gauge("concord_runs", "Runs that are not over", ["status"])
PAUSED = Gauge("concord_runs_paused", "Paused runs", ["reason"])
QUESTIONS = Gauge("concord_open_questions", "Questions that wait for people")
RUN_DOLLARS = Gauge("concord_run_dollars", "Dollars spent by the dearest runs that are not over", ["run"])

MOST_NAMES = 20
_names: set[str] = set()
_names_lock = threading.Lock()
# Path → what is answered there as JSON, beside the metrics; where it raises Unavailable the answer is 503.
PAGES: dict[str, Callable[[], Mapping[str, object]]] = {}


def bounded(name: str) -> str:
    """The name as a label; `other` once there are MOST_NAMES of them, for whoever starts runs chooses names freely."""
    with _names_lock:
        if name not in _names and len(_names) >= MOST_NAMES:
            return "other"
        _names.add(name)
        return name


def _with_trace(logger: object, method: str, line: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """The line with the trace that it belongs to: its run's, or the call's that is answered."""
    if tracing.on() and (trace := tracing.trace_id(str(line.get("run", ""))) or tracing.current()):
        line["trace"] = trace
    return line


def log_json(level: str = "info", file: TextIO = sys.stderr) -> None:
    """One JSON object a line: time, level, service, event, fields."""
    # The Kafka client reports every try of an outage that we report once.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _with_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file),
    )


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """A scrape is no event."""


def serve_metrics(port: int, host: str = "127.0.0.1") -> Callable[[], None]:
    """Prometheus' text format on `http://host:port/metrics`, and PAGES; returns what ends it, so that the port is free again.

    Raises InvalidInput where nothing can listen there.
    """
    metrics = make_wsgi_app()

    def answer(environ, start_response):
        page = PAGES.get(environ["PATH_INFO"])
        if page is None:
            return metrics(environ, start_response)
        try:
            status, said = "200 OK", page()
        except Unavailable as error:
            status, said = "503 Service Unavailable", {"why": str(error)}
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(said).encode()]

    try:
        server = make_server(host, port, answer, _Server, _Quiet)
    except OSError as error:
        raise InvalidInput(
            f"metrics cannot listen on {host}:{port}: {error.strerror}. Choose another port with CONCORD_METRICS_PORT"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
