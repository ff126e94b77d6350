"""Every service as a process of its own, as in a cluster: started, killed with SIGKILL, started again."""
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.app import SERVICES
from services.kit import rpc

ROOT = Path(__file__).parent.parent
READY_S = 60.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Fleet:
    """`with Fleet(...) as fleet`: all services run, `replicas` says which of them more than once."""

    def __init__(self, home: Path, environment: Mapping[str, str], replicas: Mapping[str, int] | None = None) -> None:
        self.home, self._environment = home, environment
        counts = {name: (replicas or {}).get(name, 1) for name in SERVICES}
        self.names = [f"{name}-{n}" for name, count in counts.items() for n in range(count)]
        self.ports = {name: free_port() for name in self.names}
        self.processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Fleet":
        for name in self.names:
            self.start(name)
        for name in self.names:
            self.wait_ready(name)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def start(self, name: str) -> None:
        """Starts the process; `wait_ready` says when it serves."""
        own = {"CONCORD_HOME": str(self.home), "CONCORD_LISTEN": f"127.0.0.1:{self.ports[name]}", "PYTHONPATH": str(ROOT)}
        # Equal hashes need equal instruction sets: whatever chose OpenBLAS's kernels here chooses them there.
        kernels = {key: value for key, value in os.environ.items() if key.startswith("OPENBLAS_")}
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), **kernels, **self._environment, **own}
        command = [sys.executable, "-m", "services", name.rsplit("-", 1)[0]]
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, env=environment, cwd=self.home, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """SIGKILL: nothing is saved, nothing is said."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def wait_ready(self, name: str) -> None:
        """Waits until the process answers; fails with its log where it ended instead."""
        over = threading.Event()
        with rpc.channel(self.address(name)) as channel:
            for _ in range(int(READY_S / 0.1)):
                if self.processes[name].poll() is not None:
                    raise AssertionError(f"{name} ended:\n{self.log(name)}")
                try:
                    health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
                    return
                except grpc.RpcError:
                    over.wait(0.1)
        raise AssertionError(f"{name} does not answer after {READY_S:.0f} s:\n{self.log(name)}")

    def address(self, name: str) -> str:
        """Where the process answers."""
        return f"127.0.0.1:{self.ports[name]}"

    def log(self, name: str) -> str:
        """The last lines that it wrote."""
        return (self.home / f"{name}.log").read_text()[-3000:]
