"""A server as a process of its own, on an address that stays: it may be killed and started again."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.waiting import until

SERVICES = """
import sys, threading
from dataclasses import replace
from concord.embedded import Running
from concord.kit.settings import from_environment
from concord.wiring import SERVICES
running = Running(list(SERVICES), replace(from_environment(), processes=0, grace_s=0.0))
threading.Event().wait()
"""


@dataclass
class Stoppable:
    """The server; `address` is host:port."""

    address: str
    command: list[str]
    environment: Mapping[str, str]
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Returns once it listens."""
        self.process = subprocess.Popen(self.command, env={**os.environ, **self.environment})
        until(self._listens, f"the start of {self.command[-1][:40]}")

    def kill(self) -> None:
        """As a machine that loses its power does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _listens(self) -> bool:
        assert self.process is not None and self.process.poll() is None, "it ended by itself"
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", int(self.address.rpartition(":")[2]))) == 0


@contextmanager
def stoppable(command: list[str], setting: str, **environment: str) -> Iterator[Stoppable]:
    """The server of this command, which listens where `setting` says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    made = Stoppable(address, [sys.executable, *command], {**environment, setting: address})
    made.start()
    try:
        yield made
    finally:
        made.kill()
