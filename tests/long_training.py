"""`python -m tests.long_training FOLDER INTERVALS INTERVAL_S`: a training service whose unit takes long and leaves checkpoints.

The process, its loop and its group are the product's; only the training is made up: each interval hashes the state once
and waits. FOLDER/begun holds a line for each interval that any process began: its pid and the interval's number.
"""

import hashlib
import os
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError, Future
from functools import partial
from pathlib import Path

from concord.kit.blobs import Blobs
from concord.kit.log.topics import TRAIN
from concord.kit.loop.units import Begun, of_future
from concord.kit.loop.worker import Worker
from concord.kit.settings import from_environment
from concord.kit.telemetry import log_json
from concord.process import Running
from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work
from concord.wiring import SERVICES, Parts, Service

START = b"an untrained model"


def after(state: bytes) -> bytes:
    """The model after one interval more."""
    return hashlib.sha256(state).digest()


def last_checkpoint(blobs: Blobs, work_id: str) -> tuple[int, bytes]:
    """How many intervals are done, and the model after them."""
    done, state = 0, START
    while (found := blobs.marker(f"checkpoint/{work_id}.{done + 1}")) is not None:
        done, state = done + 1, found
    return done, state


def train(work: Work, blobs: Blobs, begun: Path, intervals: int, interval_s: float, over: threading.Event) -> Event:
    """Goes on from the last checkpoint; raises CancelledError where the process ends first."""
    done, state = last_checkpoint(blobs, work.work_id)
    while done < intervals:
        with begun.open("a") as file:
            file.write(f"{os.getpid()} {done + 1}\n")
        if over.wait(interval_s):
            raise CancelledError
        done, state = done + 1, after(state)
        blobs.put_if_absent(f"checkpoint/{work.work_id}.{done}", state)
    return Event(final_trained={"model_uri": blobs.put(state)})


def service(parts: Parts, begun: Path, intervals: int, interval_s: float) -> Service:
    """Training with this unit in place of the product's."""
    over = threading.Event()

    def start(work: Work) -> Begun:
        future: Future[Event] = Future()

        def run() -> None:
            try:
                future.set_result(train(work, parts.blobs, begun, intervals, interval_s, over))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return of_future(future)

    make = lambda: Worker("training", TRAIN, start, parts.log, parts.blobs, time.monotonic, 1)  # noqa: E731
    return Service(SERVICES["training"](parts).servicer, make, end=over.set)


def main(folder: str, intervals: str, interval_s: str) -> None:
    """As `python -m concord training`."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: over.set())
    settings = from_environment()
    log_json(settings.log_level)
    made = partial(service, begun=Path(folder) / "begun", intervals=int(intervals), interval_s=float(interval_s))
    running = Running(["training"], settings, {"training": made})
    try:
        while not over.wait(0.1) and not running.wait(0):
            pass
    finally:
        running.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
