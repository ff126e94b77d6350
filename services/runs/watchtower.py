"""Looks over all runs every few seconds and says what it saw: as metrics, and as `/wanted`, which replicas are scaled by."""

import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import structlog

from concord.kit import telemetry
from concord.kit.errors import Unavailable
from concord.kit.store import Store
from concord.runs import demand, state
from concord.runs.bearing import Bearing

LOOK_S = 5.0
# Looking takes no more than this share of the time, however many runs there are.
SHARE = 20
WANTED = "/wanted"


def looked(
    store: Store,
    service: str,
    waits: demand.Waits,
    now: float,
    replicas: Mapping[str, float] = MappingProxyType({}),
) -> demand.Survey:
    """What the store says of all runs that are not over; `replicas` as in `demand.survey`. Raises Unavailable."""
    active = store.runs(service, active_only=True)
    rows = store.rows_of(service, active, ["state"])
    return demand.survey(
        [state.restore(run_id, rows[run_id]) for run_id in active if run_id in rows], now, waits, replicas
    )


def show(seen: demand.Survey) -> None:
    """The survey as metrics and as a page."""
    for service, count in seen.wanted.items():
        telemetry.WANTED.labels(service).set(count)
        telemetry.WAIT_SECONDS.labels(service).set(seen.waits[service])
    for gauge, values in ((telemetry.RUNS, seen.statuses), (telemetry.PAUSED, seen.paused)):
        gauge.clear()
        for name, count in values.items():
            gauge.labels(name).set(count)
    telemetry.QUESTIONS.set(seen.questions)
    telemetry.RUN_DOLLARS.clear()
    for run_id, dollars in seen.dollars.items():
        telemetry.RUN_DOLLARS.labels(run_id).set(dollars)
    telemetry.PAGES[WANTED] = lambda: seen.wanted


def keep_looking(
    store: Store, service: str, stop: threading.Event, bearing: Bearing, clock: Callable[[], float] = time.time
) -> None:
    """Until `stop` is set. A store that is away leaves what was seen last."""
    waits = demand.Waits()
    logger = structlog.get_logger(service=service)
    while not stop.is_set():
        began = time.monotonic()
        try:
            show(looked(store, service, waits, clock(), bearing.replicas()))
        except Unavailable as error:
            logger.warning("the runs were not looked over", why=str(error))
        stop.wait(max(LOOK_S, SHARE * (time.monotonic() - began)))
