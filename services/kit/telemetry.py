"""Logs as JSON lines on standard error, and the metrics that an operator's dashboard reads."""

import logging
import sys
from collections.abc import Callable
from typing import TextIO

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from concord.kit.errors import InvalidInput

DUPLICATES = Counter("concord_duplicate_facts", "Facts dropped because their id was folded before")
UNKNOWN_FACTS = Counter("concord_unknown_facts", "Facts of a kind this version does not know")
FOLDED = Counter("concord_folded_facts", "Facts folded", ["service"])
UNITS = Counter("concord_units", "Units of work finished", ["service", "outcome"])
UNIT_SECONDS = Histogram("concord_unit_seconds", "Seconds from a unit's start to its end", ["service"])
IN_FLIGHT = Gauge("concord_units_in_flight", "Units being worked on", ["service"])
RPCS = Counter("concord_rpcs", "RPCs answered", ["method", "code"])


def log_json(level: str = "info", file: TextIO = sys.stderr) -> None:
    """One JSON object a line: time, level, service, event, fields."""
    # The Kafka client reports every try of an outage that we report once.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file),
    )


def serve_metrics(port: int, host: str = "127.0.0.1") -> Callable[[], None]:
    """Prometheus' text format on `http://host:port/metrics`; returns what ends it, so that the port is free again.

    Raises InvalidInput where nothing can listen there.
    """
    try:
        server, thread = start_http_server(port, addr=host)
    except OSError as error:
        raise InvalidInput(
            f"metrics cannot listen on {host}:{port}: {error.strerror}. Choose another port with CONCORD_METRICS_PORT"
        ) from error

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
