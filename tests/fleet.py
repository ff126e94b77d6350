"""The services as processes, as in a cluster: started, killed with SIGKILL, started again."""

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from concord.kit import rpc
from concord.wiring import HOLD_STORE, SERVICES
from deploy.local.broker import free_port

ROOT = Path(__file__).parent.parent
READY_S = 60.0
# All is ended after so long, so that a run that hangs fails.
LIMIT_S = 400.0
# A database that cannot be opened.
NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"
# Name of a process → the services in it; none named: all of them.
Plan = Mapping[str, tuple[str, ...]]


def each_its_own(**replicas: int) -> Plan:
    """One process for each replica of each service, `NAME-0`, `NAME-1` …; one replica where no number is given."""
    return {f"{name}-{n}": (name,) for name in SERVICES for n in range(replicas.get(name, 1))}


class Fleet:
    """`with Fleet(…) as fleet`: all processes of the plan run, each on a port of its own, until the block ends.

    `tree`: the code that they run, this one's unless `start` says otherwise. `metered`: each shows its metrics, on a port
    more. `module`: what stands for `python -m concord`.
    """

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        plan: Plan | None = None,
        limit_s: float = LIMIT_S,
        tree: Path = ROOT,
        metered: bool = False,
        module: str = "concord",
    ) -> None:
        self.home, self._environment, self._tree = home, environment, tree
        self._plan = dict(plan or each_its_own())
        self._metered, self._module = metered, module
        self.ports: dict[str, int] = {}
        self.metrics: dict[str, int] = {}
        for name in self._plan:
            self._give_ports(name)
        self.processes: dict[str, subprocess.Popen] = {}
        self._limit = threading.Timer(limit_s, self._end)
        self._limit.daemon = True

    @property
    def names(self) -> list[str]:
        """The processes, in the plan's order."""
        return list(self._plan)

    def add(self, name: str, services: tuple[str, ...]) -> None:
        """Starts one process more."""
        self._plan[name] = services
        self._give_ports(name)
        self.start(name)

    def _give_ports(self, name: str) -> None:
        """Free ones, which none of the others will listen on either."""
        given = {*self.ports.values(), *self.metrics.values()}
        own: set[int] = set()
        while len(own) < 2:
            own |= {free_port()} - given
        self.ports[name], self.metrics[name] = own

    def __enter__(self) -> "Fleet":
        self._limit.start()
        try:
            for name in self.names:
                self.start(name)
            for name in self.names:
                self.wait_ready(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._limit.cancel()
        self._end()

    def _end(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def start(self, name: str, tree: Path | None = None) -> None:
        """Starts the process; `wait_ready` says when it serves."""
        code = tree or self._tree
        own = {
            "CONCORD_HOME": str(self.home),
            "CONCORD_LISTEN": self.address(name),
            "CONCORD_METRICS_PORT": str(self.metrics[name] if self._metered else 0),
            "PYTHONPATH": f"{code / 'src'}:{code}",
        }
        if code == ROOT:
            own |= self._without_store(name)
        # Equal hashes need equal instruction sets: whatever chose OpenBLAS's kernels here chooses them there.
        kernels = {key: value for key, value in os.environ.items() if key.startswith("OPENBLAS_")}
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), **kernels, **self._environment, **own}
        command = [sys.executable, "-m", self._module, *self._plan[name]]
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, env=environment, cwd=self.home, stdout=log, stderr=log)

    def _without_store(self, name: str) -> dict[str, str]:
        """What a process of workers alone has instead of the database: the front door; labeling keeps judges' answers there.

        Code of an earlier version holds the database in every process.
        """
        names = self._plan[name] or tuple(SERVICES)
        if HOLD_STORE.intersection(names) or not any("runs" in (one or SERVICES) for one in self._plan.values()):
            return {}
        out = {"CONCORD_RUNS_ADDRESS": self.replicas("runs")}
        return out if "labeling" in names else out | {"CONCORD_STATE_URL": NOWHERE}

    def kill(self, name: str) -> None:
        """SIGKILL: nothing is saved, nothing is said."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def terminate(self, name: str) -> int:
        """SIGTERM, as an orchestrator says it; returns the exit status."""
        self.processes[name].terminate()
        return self.processes[name].wait(READY_S)

    def replace(self, name: str, tree: Path) -> None:
        """Ends the process in good order and starts the code of `tree` in its place, on the same port."""
        if status := self.terminate(name):
            raise AssertionError(f"{name} ended with {status} when it was told to stop:\n{self.log(name)}")
        self.start(name, tree)
        self.wait_ready(name)

    def is_ready(self, name: str) -> bool:
        """Whether the process says that it serves: in its groups and caught up; fails with its log where it ended instead."""
        if self.processes[name].poll() is not None:
            raise AssertionError(f"{name} ended:\n{self.log(name)}")
        with rpc.channel(self.address(name)) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
                return answer.status == health_pb2.HealthCheckResponse.SERVING
            except grpc.RpcError:
                return False

    def wait_ready(self, name: str) -> None:
        """Waits until the process serves."""
        over = threading.Event()
        for _ in range(int(READY_S / 0.1)):
            if self.is_ready(name):
                return
            over.wait(0.1)
        raise AssertionError(f"{name} does not serve after {READY_S:.0f} s:\n{self.log(name)}")

    def where(self, service: str) -> str:
        """Address of the first process that has the service."""
        return self.address(next(name for name, services in self._plan.items() if service in (services or SERVICES)))

    def replicas(self, service: str) -> str:
        """All processes that have the service, as one name that a channel takes."""
        names = [name for name, services in self._plan.items() if service in (services or SERVICES)]
        return "ipv4:" + ",".join(map(self.address, names))

    def rpcs(self, name: str) -> dict[tuple[str, str], int]:
        """(method, status) → how many calls the process has answered since it started."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics[name]}/metrics", timeout=10) as page:
            found = re.findall(
                r'^concord_rpcs_total\{code="(\w+)",method="([^"]+)"\} (\S+)$', page.read().decode(), re.MULTILINE
            )
        return {(method, code): int(float(count)) for code, method, count in found}

    def address(self, name: str) -> str:
        """Where the process answers."""
        return f"127.0.0.1:{self.ports[name]}"

    def log(self, name: str) -> str:
        """The last lines that it wrote."""
        return (self.home / f"{name}.log").read_text()[-3000:]
