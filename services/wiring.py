"""The wiring: what each service is, made of a log, a store and blobs; and what does a unit. The only place that says so.

All services in one process, or each its own: the same functions, the same names.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from concord.kit.blobs import Blobs
from concord.kit.errors import ConcordError, InvalidInput
from concord.kit.ids import unit_name
from concord.kit.log import Log, topics
from concord.kit.loop.children import Children
from concord.kit.loop.reactor import Reactor
from concord.kit.loop.units import Begun, in_thread, of_future
from concord.kit.loop.worker import Worker
from concord.kit.rpc import Servicer
from concord.kit.settings import Settings, allowed_keys, egress, key_homes
from concord.kit.store import SqlStore
from concord.labeling import service as labeling
from concord.preference.stages import STAGES
from concord.reward.models import KINDS, Kinds
from concord.runs import service as runs
from concord.runs import watchtower
from concord.runs.bearing import Bearing
from concord.scoring import service as scoring
from concord.scoring.units import Units
from concord.tasks import service as tasks
from concord.tasks.slots import SqlSlots
from concord.training import service as training
from concord.training.devices import Devices, found
from concord.training.trainer import Trainer
from concord.triage import service as triage
from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work

# Between two looks for batches of cancelled runs.
SWEEP_S = 30.0
# Between two looks for answers that are older than they are kept.
PRUNE_S = 3_600.0
# Whoever still waits when the process ends is given so long.
GRACE_S = 5.0
# Who does the units of a topic: made of the blobs, `do` makes a unit's fact. Labels are asked for all at once: `_judging`.
UNITS: Mapping[topics.Topic, Callable[[Settings, Blobs, Kinds], Any]] = {
    topics.SCORE: lambda settings, blobs, kinds: Units(blobs, Path(settings.home), kinds),
    topics.TRIAGE: lambda settings, blobs, kinds: triage.Triage(blobs),
    topics.TRAIN: lambda settings, blobs, kinds: training.Training(blobs, _trainer(settings, blobs, kinds)),
}


@dataclass(frozen=True)
class Parts:
    """What a service may touch."""

    settings: Settings
    log: Log
    # None: these services hold no database.
    stored: SqlStore | None
    blobs: Blobs
    stop: threading.Event
    # Whether a run was cancelled.
    cancelled: Callable[[str], bool]
    # What each service found out of endpoints, for who scales (`runs.cancelled.Paces`).
    paces: list[Callable[[], Sequence[tuple[str, int, int]]]] = field(default_factory=list)
    # What trains models and scores with them.
    kinds: Kinds = field(default_factory=lambda: KINDS)

    @property
    def store(self) -> SqlStore:
        """The database; of services in HOLD_STORE alone."""
        assert self.stored is not None
        return self.stored


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
    make = lambda: Reactor(  # noqa: E731
        runs.SERVICE, fold, parts.log, parts.store, parts.blobs, time.time, new_log=parts.settings.new_log
    )
    desk = tasks.servicer(parts.log, parts.store, parts.blobs, SqlSlots(parts.store), parts.settings.lease_s)
    bearing = Bearing()
    look = lambda: watchtower.keep_looking(parts.store, runs.SERVICE, parts.stop, bearing)  # noqa: E731
    known = runs.read_teams(parts.settings.teams_file)
    front = runs.servicer(parts.log, parts.store, parts.blobs, known, bearing)
    return Service(front, make, background=look, co_served=(desk,))


def _tasks(parts: Parts) -> Service:
    slots = SqlSlots(parts.store)
    make = lambda: Reactor(  # noqa: E731
        tasks.SERVICE,
        tasks.fold(),
        parts.log,
        parts.store,
        parts.blobs,
        time.time,
        slots.project,
        parts.settings.new_log,
    )
    served = tasks.servicer(parts.log, parts.store, parts.blobs, slots, parts.settings.lease_s)
    return Service(served, make, background=lambda: tasks.append_again(parts.log, slots, time.time, parts.stop))


def _judging(settings: Settings, blobs: Blobs) -> labeling.Labeling:
    keys = allowed_keys(settings, os.environ)
    most, look_s, homes = settings.judge_concurrency, settings.batch_look_s, key_homes(settings)
    return labeling.Labeling(blobs, settings.state_url, most, keys, look_s, homes, egress(settings))


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """Runs the loop until it is stopped; what began while the others were let go ends too, so that nothing is left half open."""
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=GRACE_S))


def _labeling(parts: Parts) -> Service:
    """LLM calls of all units share one asyncio loop, so the pipe never drains at a shard's end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=turn, args=(loop,), name="labeling-calls", daemon=True)
    thread.start()
    judging = _judging(parts.settings, parts.blobs)
    parts.paces.append(judging.paces)

    def start(work: Work) -> Begun:
        return of_future(asyncio.run_coroutine_threadsafe(judging.do(work), loop))

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
        thread.join(GRACE_S)

    def sweep() -> None:
        """Batches outlive their run: whoever cancels it should not go on paying."""
        while not parts.stop.wait(SWEEP_S):
            try:
                asyncio.run_coroutine_threadsafe(judging.sweep(parts.cancelled), loop).result(SWEEP_S)
            except (ConcordError, TimeoutError) as error:
                structlog.get_logger(service=labeling.SERVICE).warning("batches not looked through", error=repr(error))

    def keep_house() -> None:
        """Batches of cancelled runs, and answers that are older than they are kept."""
        if parts.settings.answer_days:
            threading.Thread(target=prune, name="labeling-answers", daemon=True).start()
        sweep()

    def prune() -> None:
        while not parts.stop.wait(PRUNE_S):
            before = time.time() - 86_400 * parts.settings.answer_days
            try:
                gone = asyncio.run_coroutine_threadsafe(judging.prune(before), loop).result()
                structlog.get_logger(service=labeling.SERVICE).info("old answers deleted", answers=gone)
            except (ConcordError, CancelledError) as error:
                structlog.get_logger(service=labeling.SERVICE).warning("old answers not deleted", error=repr(error))

    make = _worker(parts, labeling.SERVICE, topics.LABEL, start, 2 * parts.settings.concurrency)
    return Service(labeling.servicer(judging, loop), make, background=keep_house, end=end)


def _scoring(parts: Parts) -> Service:
    """Features are Python that computes: threads would take turns on one core."""
    served = scoring.servicer(scoring.Scoring(parts.blobs, Path(parts.settings.home), parts.kinds))
    if count := processes(parts.settings):
        told = {
            f"CONCORD_{name.upper()}": str(getattr(parts.settings, name)) for name in ("home", "blob_url", "log_level")
        }
        children = Children(scoring.SERVICE, count, told)
        return Service(served, _worker(parts, scoring.SERVICE, topics.SCORE, children.start), end=children.close)
    return _in_threads(parts, scoring.SERVICE, topics.SCORE, lambda doing: served)


def processes(settings: Settings) -> int:
    """So many child processes do the units of scoring; 0: threads of this one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, settings.concurrency) if settings.processes < 0 else settings.processes


def _triage(parts: Parts) -> Service:
    return _in_threads(parts, triage.SERVICE, topics.TRIAGE, triage.servicer)


def _training(parts: Parts) -> Service:
    """A unit that trains a language model is a thread that waits for a program of its own, and stops it."""
    return _in_threads(parts, training.SERVICE, topics.TRAIN, training.servicer, in_thread)


def _trainer(settings: Settings, blobs: Blobs, kinds: Kinds) -> Trainer:
    return Trainer(blobs, Path(settings.home), Devices(found(os.environ), settings.unit_devices), kinds)


def _submitted(pool: ThreadPoolExecutor, do: Callable[[Work], Event], work: Work) -> Begun:
    """A unit that takes moments: once begun it comes to its end."""
    return of_future(pool.submit(do, work))


def _in_threads(
    parts: Parts,
    name: str,
    topic: topics.Topic,
    served: Callable[[Any], Servicer],
    begun: Callable[..., Begun] = _submitted,
) -> Service:
    doing = UNITS[topic](parts.settings, parts.blobs, parts.kinds)
    pool = ThreadPoolExecutor(parts.settings.concurrency, name)
    make = _worker(parts, name, topic, lambda work: begun(pool, doing.do, work))
    return Service(served(doing), make, end=lambda: pool.shutdown(cancel_futures=True))


def _worker(
    parts: Parts, name: str, topic: topics.Topic, start: Callable[[Work], Begun], concurrency: int = 0
) -> Callable[[], Worker]:
    units = concurrency or parts.settings.concurrency
    return lambda: Worker(name, topic, start, parts.log, parts.blobs, time.monotonic, units, parts.cancelled)


SERVICES: dict[str, Callable[[Parts], Service]] = {
    "runs": _runs,
    "tasks": _tasks,
    "labeling": _labeling,
    "scoring": _scoring,
    "triage": _triage,
    "training": _training,
}
# Which of them hold the database of runs and tasks; the others take work, and say what came of it.
HOLD_STORE = frozenset({"runs", "tasks"})


def done(settings: Settings, blobs: Blobs, work: Work) -> Event:
    """The unit's fact without its names, made here and now by what does it in its service."""
    topic = STAGES[work.unit.stage].topic
    if topic is None:
        raise InvalidInput(f"unit {unit_name(work.unit)} is people's, and no service does it")
    return (
        asyncio.run(_judged(settings, blobs, work))
        if topic is topics.LABEL
        else UNITS[topic](settings, blobs, KINDS).do(work)
    )


async def _judged(settings: Settings, blobs: Blobs, work: Work) -> Event:
    judging = _judging(settings, blobs)
    try:
        return await judging.do(work)
    finally:
        await judging.close()
