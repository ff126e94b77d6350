"""The wiring: settings become logs, stores and blobs, and these become running services. The only place that does so.

All services in one process, or each its own: the same functions, the same names.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog
from threadpoolctl import threadpool_limits

from concord.kit import telemetry
from concord.kit.blobs import Blobs
from concord.kit.errors import ConcordError, InvalidInput
from concord.kit.log import Log, topics
from concord.kit.loop.children import Children
from concord.kit.loop.reactor import Reactor
from concord.kit.loop.stepping import drive
from concord.kit.loop.worker import Worker
from concord.kit.rpc import Servicer, serve, serving
from concord.kit.settings import Settings, allowed_keys, host_of, is_loopback, open_blobs, open_log, open_store
from concord.kit.store import SqlStore
from concord.labeling import service as labeling
from concord.runs import service as runs
from concord.runs.state import restore
from concord.scoring import service as scoring
from concord.scoring.units import Units
from concord.tasks import service as tasks
from concord.tasks.slots import SqlSlots
from concord.training import service as training
from concord.triage import service as triage
from concord.v1.events_pb2 import Event
from concord.v1.runs_service_pb2 import RUN_STATUS_CANCELLED
from concord.v1.work_pb2 import Work

START_S = 60.0
CANCELLED_S = 1.0
GRACE_S = 5.0
LOOK_S = 0.2


@dataclass(frozen=True)
class Parts:
    """What a service may touch."""

    settings: Settings
    log: Log
    store: SqlStore
    blobs: Blobs
    stop: threading.Event


class Stepper(Protocol):
    """A reactor or a worker."""

    def step(self, timeout_s: float) -> int: ...

    def ready(self) -> bool: ...

    def drain(self) -> bool: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Service:
    """One service: what it answers over gRPC, what it drives, what runs beside that, what to end with it.

    `co_served`: what it answers for another service, where that is not in this process.
    """

    servicer: Servicer
    make: Callable[[], Stepper]
    background: Callable[[], None] | None = None
    end: Callable[[], None] | None = None
    co_served: tuple[Servicer, ...] = ()


def _runs(parts: Parts) -> Service:
    """The front door answers for tasks too, so that a client needs one address: both are stateless over one store."""
    fold = runs.fold(parts.settings.reissue_after_s)
    make = lambda: Reactor(runs.SERVICE, fold, parts.log, parts.store, parts.blobs, time.time)  # noqa: E731
    desk = tasks.servicer(parts.log, parts.store, parts.blobs, SqlSlots(parts.store), parts.settings.lease_s)
    return Service(runs.servicer(parts.log, parts.store, parts.blobs), make, co_served=(desk,))


def _tasks(parts: Parts) -> Service:
    slots = SqlSlots(parts.store)
    make = lambda: Reactor(  # noqa: E731
        tasks.SERVICE, tasks.fold(), parts.log, parts.store, parts.blobs, time.time, slots.project
    )
    served = tasks.servicer(parts.log, parts.store, parts.blobs, slots, parts.settings.lease_s)
    return Service(served, make, background=lambda: tasks.append_again(parts.log, slots, time.time, parts.stop))


def _labeling(parts: Parts) -> Service:
    """LLM calls of all units share one asyncio loop, so the pipe never drains at a shard's end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="labeling-calls", daemon=True)
    thread.start()
    keys = allowed_keys(parts.settings, os.environ)
    judging = labeling.Labeling(parts.blobs, parts.settings.state_url, parts.settings.judge_concurrency, keys)

    def start(work: Work) -> "Future[Event]":
        return asyncio.run_coroutine_threadsafe(judging.do(work), loop)

    async def let_go() -> None:
        """Whoever still waits for a verdict hears that there will be none."""
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        if waiting:
            # The loop must not stop before those who wait in other threads have heard.
            await asyncio.wait(waiting, timeout=GRACE_S / 2)
        await judging.close()

    def end() -> None:
        asyncio.run_coroutine_threadsafe(let_go(), loop).result(GRACE_S)
        loop.call_soon_threadsafe(loop.stop)

    make = _worker(parts, labeling.SERVICE, topics.LABEL, start, 2 * parts.settings.concurrency)
    return Service(labeling.servicer(judging, loop), make, end=end)


def _scoring(parts: Parts) -> Service:
    """Features are Python that computes: threads would take turns on one core."""
    served = scoring.servicer(scoring.Scoring(parts.blobs))
    if count := processes(parts.settings):
        told = {"CONCORD_BLOB_URL": parts.settings.blob_url, "CONCORD_LOG_LEVEL": parts.settings.log_level}
        children = Children(scoring.SERVICE, count, told)
        return Service(served, _worker(parts, scoring.SERVICE, topics.SCORE, children.start), end=children.close)
    doing = Units(parts.blobs)
    pool = ThreadPoolExecutor(parts.settings.concurrency, "scoring")
    make = _worker(parts, scoring.SERVICE, topics.SCORE, lambda work: pool.submit(doing.do, work))
    return Service(served, make, end=lambda: pool.shutdown(cancel_futures=True))


def processes(settings: Settings) -> int:
    """So many child processes do the units of scoring; 0: threads of this one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, settings.concurrency) if settings.processes < 0 else settings.processes


def _triage(parts: Parts) -> Service:
    doing = triage.Triage(parts.blobs)
    pool = ThreadPoolExecutor(parts.settings.concurrency, "triage")
    make = _worker(parts, triage.SERVICE, topics.TRIAGE, lambda work: pool.submit(doing.do, work))
    return Service(triage.servicer(doing), make, end=lambda: pool.shutdown(cancel_futures=True))


def _training(parts: Parts) -> Service:
    doing = training.Training(parts.blobs)
    pool = ThreadPoolExecutor(parts.settings.concurrency, "training")
    make = _worker(parts, training.SERVICE, topics.TRAIN, lambda work: pool.submit(doing.do, work))
    return Service(training.servicer(doing), make, end=lambda: pool.shutdown(cancel_futures=True))


def _worker(parts: Parts, name: str, topic: topics.Topic, start, concurrency: int = 0) -> Callable[[], Worker]:
    units = concurrency or parts.settings.concurrency
    return lambda: Worker(name, topic, start, parts.log, parts.blobs, time.monotonic, units, _cancelled(parts.store))


def _cancelled(store: SqlStore) -> Callable[[str], bool]:
    """Whether a run was cancelled, at most CANCELLED_S stale: a cancelled run must not go on spending."""
    known: dict[str, tuple[float, bool]] = {}

    def cancelled(run_id: str) -> bool:
        now = time.monotonic()
        if run_id not in known or now - known[run_id][0] > CANCELLED_S:
            view = restore(run_id, store.rows(runs.SERVICE, run_id, ["state"])).view
            known[run_id] = (now, view.status == RUN_STATUS_CANCELLED)
        return known[run_id][1]

    return cancelled


SERVICES: dict[str, Callable[[Parts], Service]] = {
    "runs": _runs,
    "tasks": _tasks,
    "labeling": _labeling,
    "scoring": _scoring,
    "triage": _triage,
    "training": _training,
}


class Running:
    """Services that run in this process until `stop`."""

    def __init__(
        self, names: Sequence[str], settings: Settings, known: Mapping[str, Callable[[Parts], Service]] = SERVICES
    ) -> None:
        """Starts the named services; raises the first error that keeps one of them from starting."""
        for name in names:
            if name not in known:
                raise InvalidInput(f"no service {name!r}; there are: {', '.join(known)}")
        # Results must not depend on how many cores a machine has.
        threadpool_limits(1)
        if not is_loopback(settings.listen):
            structlog.get_logger().warning(
                "no authentication: whoever reaches this address may use it", listen=settings.listen
            )
        self.settings = settings
        self._stop = threading.Event()
        self._services: dict[str, Service] = {}
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        # What is closed last; or at once where one of them does not open: who waits for it tries again every second.
        with ExitStack() as opened:
            log = open_log(settings)
            opened.callback(log.close)
            store = open_store(settings)
            opened.callback(store.close)
            parts = Parts(settings, log, store, open_blobs(settings), self._stop)
            if settings.metrics_port:
                opened.callback(telemetry.serve_metrics(settings.metrics_port, host_of(settings.listen)))
            opened.callback(self._end_services)
            for name in names:
                self._services[name] = known[name](parts)
            self._server, self.port, self._health = serve(self._servicers(), settings.listen)
            self._opened = opened.pop_all()
        try:
            self._start_loops()
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str:
        """Where gRPC is answered."""
        return f"{self.settings.listen.rsplit(':', 1)[0]}:{self.port}"

    def _servicers(self) -> list[Servicer]:
        """A service that is here itself answers, not another for it."""
        servicers = {also.name: also for service in self._services.values() for also in service.co_served}
        return list(
            (servicers | {service.servicer.name: service.servicer for service in self._services.values()}).values()
        )

    def _start_loops(self) -> None:
        begun: dict[str, threading.Event] = {}
        for name, service in self._services.items():
            ready = begun[name] = threading.Event()
            self._thread(name, partial(self._drive, name, service.make, ready))
            if service.background:
                self._thread(f"{name}-background", service.background)
        self._thread("becoming-ready", partial(self._become_ready, begun))
        deadline = time.monotonic() + START_S
        for ready in begun.values():
            ready.wait(max(0.0, deadline - time.monotonic()))
        if self._errors:
            raise self._errors[0]

    def _become_ready(self, begun: Mapping[str, threading.Event]) -> None:
        """Health says SERVING of a service once its loop is ready, and of the process once all are, however long that takes."""
        for name, ready in begun.items():
            while not ready.wait(LOOK_S):
                if self._stop.is_set():
                    return
            if self._stop.is_set():
                return
            served = self._services[name]
            serving(self._health, [served.servicer.name, *(also.name for also in served.co_served)])
        serving(self._health, [""])

    def _thread(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _drive(self, name: str, make: Callable[[], Stepper], ready: threading.Event) -> None:
        """A loop that cannot go on takes the whole process down with it: half a service helps nobody."""
        try:
            drive(name, make, self._stop, ready, self.settings.grace_s)
        except BaseException as error:
            self._errors.append(error)
            if not isinstance(error, ConcordError):
                structlog.get_logger(service=name).exception("the loop ended")
            self._stop.set()
            # Whoever waits for an answer hears of it now.
            self._server.stop(None)
        finally:
            ready.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until the services stop; raises what stopped them."""
        over = self._stop.wait(timeout_s)
        if self._errors:
            raise self._errors[0]
        return over

    def stop(self) -> None:
        """NOT_SERVING, no new work, calls and units finished within a grace, groups left."""
        self._stop.set()
        # Whatever still becomes ready in this moment is too late.
        self._health.enter_graceful_shutdown()
        calls = self._server.stop(GRACE_S)
        for thread in self._threads:
            thread.join(START_S + self.settings.grace_s)
        self._end_services()
        calls.wait()
        self._opened.close()

    def _end_services(self) -> None:
        """Once: what was ended is not ended again."""
        while self._services:
            name, service = self._services.popitem()
            if service.end:
                try:
                    service.end()
                except (TimeoutError, ConcordError) as error:
                    structlog.get_logger(service=name).warning("did not end in time", why=str(error))
