"""Child processes that do units: Python computes on one core a process, whatever its threads.

A child is `python -m concord.child NAME`; it reads one Work from its standard input and writes one answer to its
standard output, in turn. It ends when its input does, so none outlives the process that started it.
"""

import json
import os
import queue
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from typing import IO

import structlog

from concord.kit import errors
from concord.kit.loop.units import Begun, Stop, in_thread
from concord.v1.events_pb2 import Event
from concord.v1.work_pb2 import Work

LENGTH = struct.Struct(">I")
DONE, FAILED = b"D", b"F"
CLOSE_S = 5.0
# Results must not depend on how many cores a machine has. Set from outside: a library loaded late reads it as well.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# Arrays of megabytes come and go all the time; given back to the system each time, each costs its page faults anew.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


class Children:
    """As many units at once as there are children; a child that died is replaced for the next unit."""

    def __init__(self, name: str, count: int, environment: Mapping[str, str]) -> None:
        """Starts `count` children for the units of service `name`; they get ready while the service does."""
        self._name, self._environment = name, dict(environment)
        self._pool = ThreadPoolExecutor(count, f"{name}-child")
        self._all: set[subprocess.Popen] = set()
        # The child used last comes first: its caches are warm.
        self._idle: queue.LifoQueue[subprocess.Popen] = queue.LifoQueue()
        self._closed = False
        for _ in range(count):
            self._idle.put(self._born())

    def start(self, work: Work) -> Begun:
        """Begins the unit in an idle child; stopped, the unit's child is killed, and replaced for the next one."""
        return in_thread(self._pool, self._do, work)

    def processes(self) -> Sequence[subprocess.Popen]:
        """The children that live now."""
        return [child for child in list(self._all) if child.poll() is None]

    def _born(self) -> subprocess.Popen:
        # -P: what lies in the folder that the user stands in is not ours.
        command = [sys.executable, "-P", "-m", "concord.child", self._name]
        environment = os.environ | ONE_THREAD | KEEP_MEMORY | self._environment
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._all.add(child)
        if self._closed:
            # Whoever closes may have counted the children a moment before this one came.
            child.kill()
        return child

    def _do(self, work: Work, stop: Stop) -> Event:
        stop.check()
        child = self._idle.get()
        if child.poll() is not None:
            child = self._replaced(child)
        with stop.then(child.kill):
            answer = _asked(child, work)
        # Where there is none the next unit replaces the child.
        self._idle.put(child)
        if answer is None:
            code = child.wait()
            if stop.asked:
                raise CancelledError
            raise RuntimeError(f"the child process that did the unit {_ended(code)}")
        if answer[:1] == DONE:
            return Event.FromString(answer[1:])
        raise _error_of(answer[1:])

    def _replaced(self, child: subprocess.Popen) -> subprocess.Popen:
        structlog.get_logger(service=self._name).warning("child process is replaced", ended=_ended(child.wait()))
        self._forget(child)
        try:
            return self._born()
        except OSError as error:
            # The place stays, with the dead child in it, or units would wait for a child that never comes.
            self._idle.put(child)
            why = f"no child process can be started for {self._name} ({error}); is there memory left?"
            raise errors.Unavailable(why) from error

    def _forget(self, child: subprocess.Popen) -> None:
        self._all.discard(child)
        for pipe in (child.stdin, child.stdout):
            # What was written and not yet sent has nobody to go to.
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def close(self) -> None:
        """Ends all children, also in the middle of a unit: nothing counts before its fact is said."""
        self._closed = True
        for child in list(self._all):
            child.kill()
        self._pool.shutdown(cancel_futures=True)
        for child in list(self._all):
            with suppress(subprocess.TimeoutExpired):
                child.wait(CLOSE_S)
            self._forget(child)


def _asked(child: subprocess.Popen, work: Work) -> bytes | None:
    """The child's answer; None where it is gone."""
    assert child.stdin is not None and child.stdout is not None
    try:
        write(child.stdin, work.SerializeToString(deterministic=True))
        return read(child.stdout)
    except OSError:
        return None


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    why = " (out of memory?)" if code == -9 else ""
    return f"was killed by signal {-code}{why}"


def _error_of(said: bytes) -> Exception:
    """The child's error as this process would have raised it; of an unknown kind: in its words."""
    told = json.loads(said)
    kind = getattr(errors, told["kind"], None)
    if kind is errors.Deferred:
        return errors.Deferred(told["text"], told["retry_after_s"])
    if isinstance(kind, type) and issubclass(kind, errors.ConcordError):
        return kind(told["text"])
    return RuntimeError(f"{told['kind']}: {told['text']}")


def write(pipe: IO[bytes], message: bytes) -> None:
    """One message, with its length before it."""
    pipe.write(LENGTH.pack(len(message)) + message)
    pipe.flush()


def read(pipe: IO[bytes]) -> bytes | None:
    """The next message; None where the other side is gone."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    message = pipe.read(length)
    return message if len(message) == length else None


def answer_all(do: Callable[[Work], Event], asked: IO[bytes], said: IO[bytes]) -> None:
    """The child's side: units in turn until the input ends. Whatever a unit raises is its answer."""
    while (message := read(asked)) is not None:
        try:
            answer = DONE + do(Work.FromString(message)).SerializeToString(deterministic=True)
        except Exception as error:  # handed to the process that asked, which raises it
            told = {
                "kind": type(error).__name__,
                "text": str(error),
                "retry_after_s": getattr(error, "retry_after_s", 0),
            }
            answer = FAILED + json.dumps(told).encode()
        try:
            write(said, answer)
        except BrokenPipeError:
            return
