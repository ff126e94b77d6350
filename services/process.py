"""A process: settings become a log, a store and blobs, and services run on them from their start to their end."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import structlog
from threadpoolctl import threadpool_limits

from concord.kit import allowance, secure, telemetry, tracing
from concord.kit.errors import ConcordError, InvalidInput, Unavailable
from concord.kit.loop.stepping import drive
from concord.kit.rpc import Servicer, serve, serving
from concord.kit.settings import Settings, host_of, is_loopback, open_blobs, open_log, open_store
from concord.kit.store import SqlStore
from concord.preference import request_bounds, rights
from concord.runs.cancelled import Cancelled, Look, Paces, at_door, in_store
from concord.wiring import GRACE_S, HOLD_STORE, SERVICES, Parts, Service, Stepper

START_S = 60.0
LOOK_S = 0.2


def _standing(
    names: Sequence[str], settings: Settings, opened: ExitStack, paces: Sequence[Paces]
) -> tuple[SqlStore | None, Look]:
    """The database, where one of the services holds it or nobody else could say which runs were cancelled; and who says so."""
    if settings.runs_address and not HOLD_STORE.intersection(names):
        look, close = at_door(settings.runs_address, lambda: [one for told in paces for one in told()])
        opened.callback(close)
        return None, look
    store = open_store(settings)
    opened.callback(store.close)
    return store, in_store(store)


class Running:
    """Services that run in this process until `stop`."""

    def __init__(
        self, names: Sequence[str], settings: Settings, known: Mapping[str, Callable[[Parts], Service]] = SERVICES
    ) -> None:
        """Starts the named services; raises the first error that keeps one of them from starting."""
        for name in names:
            if name not in known:
                raise InvalidInput(f"no service {name!r}; there are: {', '.join(known)}")
        allowance.widen()
        if lacks := allowance.lacking():
            raise InvalidInput("; ".join(lacks))
        # Results must not depend on how many cores a machine has.
        threadpool_limits(1)
        place, files = secure.parsed(settings.listen)
        if not is_loopback(place) and not (files and files.ca_file):
            structlog.get_logger().warning(
                "no authentication: whoever reaches this address may use it", listen=secure.shown(settings.listen)
            )
        self.settings = settings
        self._stop, self._ready = threading.Event(), threading.Event()
        self._services: dict[str, Service] = {}
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        # What is closed last; or at once where one of them does not open: who waits for it tries again every second.
        with ExitStack() as opened:
            if settings.traces:
                opened.callback(tracing.begin(names[0] if len(names) == 1 else "services", settings.traces))
            log = open_log(settings)
            opened.callback(log.close)
            paces: list[Paces] = []
            store, look = _standing(names, settings, opened, paces)
            parts = Parts(settings, log, store, open_blobs(settings), self._stop, Cancelled(look), paces)
            if settings.metrics_port:
                telemetry.PAGES.update({"/alive": lambda: {"alive": True}, "/ready": self._readiness})
                opened.callback(telemetry.serve_metrics(settings.metrics_port, host_of(place)))
            opened.callback(self._end_services)
            for name in names:
                self._services[name] = known[name](parts)
            self._server, self.port, self._health = serve(
                self._servicers(), settings.listen, check=request_bounds.check, rights=rights.why_not
            )
            self._opened = opened.pop_all()
        try:
            self._start_loops()
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str:
        """Where gRPC is answered."""
        return f"{secure.parsed(self.settings.listen)[0].rsplit(':', 1)[0]}:{self.port}"

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
        self._ready.set()

    def _readiness(self) -> Mapping[str, object]:
        """What gRPC health says of the process, for probes that speak no TLS."""
        if not self._ready.is_set():
            raise Unavailable("not ready: still coming to the log's end, or being told to stop")
        return {"ready": list(self._services)}

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
        self._ready.clear()
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
