"""A cluster in which everything can go wrong: processes, brokers, databases, the network between them, the disk for blobs.

    with World(folder, judge_environment, plan) as world:
        fault = draw("silent", world, random)      # which link, is drawn
        fault.begin() … fault.end()

Use it from the main thread: servers die with the thread that started them.
"""

import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from deploy.local import s3 as s3_servers
from deploy.local.broker import free_port, start_broker
from deploy.local.postgres import start_postgres
from tests.fleet import Fleet, Plan
from tests.wire import Wire

# A member of a group that is silent for so long is given up; a zombie sleeps longer.
SESSION_S = 4.0
ZOMBIE_S = SESSION_S + 2.5
DISK_MB = 48
KAFKA, POSTGRES, S3, DISK = "kafka", "postgres", "s3", "disk"
LINKS = (KAFKA, POSTGRES, S3)
OBJECTS = "objects"


class World:
    """Kafka, PostgreSQL and S3, each behind a wire of its own, and the plan's processes on the far side of the wires."""

    def __init__(self, environment: Mapping[str, str], plan: Plan, limit_s: float, module: str = "concord") -> None:
        self._given, self._plan, self._limit_s, self._module = dict(environment), plan, limit_s, module
        self._stack = ExitStack()
        self.left_out: dict[str, str] = {}

    def __enter__(self) -> "World":
        try:
            self._set_up()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _set_up(self) -> None:
        # Its own folder: PostgreSQL's user must be able to enter it.
        folder = Path(tempfile.mkdtemp(prefix="concord-chaos-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        port = free_port()
        self.wires = {KAFKA: self._wire(port)}
        self.broker = start_broker(folder / "kafka", port, advertised=self.wires[KAFKA].port)
        self._stack.callback(self.broker.kill)
        self.postgres = start_postgres(folder / "postgres")
        self._stack.callback(self.postgres.kill)
        self.wires[POSTGRES] = self._wire(self.postgres.port)
        self.disk = folder / "s3" / OBJECTS
        self.disk.mkdir(parents=True)
        self._mount()
        self.s3 = s3_servers.start_s3("versity" if s3_servers.VERSITY.exists() else "moto", folder / "s3")
        self._stack.callback(self.s3.kill)
        self.wires[S3] = self._wire(self.s3.port)
        self.home = folder / "home"
        self.home.mkdir()
        self.environment = self._given | self._urls()
        fleet = Fleet(self.home, self.environment, self._plan, self._limit_s, module=self._module)
        self.fleet = self._stack.enter_context(fleet)
        # Before the fleet ends, for a process that sleeps does not.
        self._stack.callback(self.mend)

    def _wire(self, target: int) -> Wire:
        """On a port that no outgoing connection is ever given: while it is cut, clients knock there all the time."""
        return self._stack.enter_context(Wire(target, free_port()))

    def _urls(self) -> dict[str, str]:
        kafka, postgres, s3 = (self.wires[name].port for name in LINKS)
        database = self.postgres.url(self.postgres.make_database()).replace(f":{self.postgres.port}/", f":{postgres}/")
        blobs = self.s3.url(uuid4().hex[:8]).replace(self.s3.endpoint, f"http://127.0.0.1:{s3}")
        return {
            "CONCORD_LOG_URL": f"kafka://127.0.0.1:{kafka}?session_ms={SESSION_S * 1000:.0f}",
            "CONCORD_STATE_URL": database,
            "CONCORD_BLOB_URL": blobs,
            **self.s3.variables,
            **s3_servers.ALONE,
        }

    def _mount(self) -> None:
        """The blobs' disk is a small one of its own; where that is not allowed, it cannot be filled."""
        if not s3_servers.VERSITY.exists():
            self.left_out["full disk"] = "moto keeps its objects in memory; `make s3` builds a server with a disk"
            self.left_out["S3 killed"] = "moto forgets its objects; `make s3` builds a server that keeps them"
            return
        mount = ("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(self.disk))
        try:
            done = subprocess.run(mount, capture_output=True, text=True)
            why = done.stderr.strip() if done.returncode else ""
        except OSError as error:
            why = str(error)
        if not why:
            self._stack.callback(subprocess.run, ["umount", "-l", str(self.disk)], capture_output=True)
            why = _keeps_attributes(self.disk)
            if why:
                subprocess.run(["umount", str(self.disk)], check=True)
        if why:
            self.left_out["full disk"] = f"a small disk cannot be mounted: {why}"

    def fill(self) -> None:
        """Takes the last byte of the blobs' disk."""
        with open(self.disk / "filler", "wb", buffering=0) as file:
            for piece in (1 << 20, 4096, 1):
                try:
                    while file.write(b"\0" * piece) == piece:
                        pass
                except OSError:
                    continue

    def empty(self) -> None:
        """Gives it back."""
        (self.disk / "filler").unlink(missing_ok=True)

    def mend(self) -> None:
        """All well again, whatever was wrong."""
        for process in self.fleet.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
        for server in (self.broker, self.postgres, self.s3):
            server.restart()
        for wire in self.wires.values():
            wire.mend()
        self.empty()


def _keeps_attributes(folder: Path) -> str:
    """Why the S3 server could not keep an object's attributes there; empty where it can."""
    try:
        (folder / "try").touch()
        os.setxattr(folder / "try", "user.try", b"1")
        (folder / "try").unlink()
        return ""
    except OSError as error:
        return f"no extended attributes there ({error})"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong for a while, to one target: a process, a server, or the disk."""

    kind: str
    target: str
    lasts_s: float
    begin: Callable[[], object]
    end: Callable[[], object]


def killed(world: World, draw: random.Random) -> Fault:
    """SIGKILL of any process; it is started again at once."""
    name = _process(world, draw)

    def begin() -> None:
        world.fleet.kill(name)
        world.fleet.start(name)

    return Fault("killed", name, 0.0, begin, _nothing)


def zombie(world: World, draw: random.Random) -> Fault:
    """Any process stops for longer than its session lasts, and wakes up with all that it was about to do."""
    name = _process(world, draw)

    def signalled(sign: signal.Signals) -> Callable[[], None]:
        return lambda: world.fleet.processes[name].send_signal(sign)

    return Fault("zombie", name, ZOMBIE_S, signalled(signal.SIGSTOP), signalled(signal.SIGCONT))


def broker_killed(world: World, draw: random.Random) -> Fault:
    """kill -9 of the broker."""
    return Fault("broker killed", KAFKA, draw.uniform(0.5, 3), world.broker.kill, world.broker.restart)


def broker_restarted(world: World, draw: random.Random) -> Fault:
    """The broker ends in good order."""
    return Fault("broker restarted", KAFKA, draw.uniform(0.5, 3), world.broker.stop, world.broker.restart)


def postgres_killed(world: World, draw: random.Random) -> Fault:
    """PostgreSQL's immediate mode: no checkpoint, and it recovers when it starts."""
    return Fault("PostgreSQL killed", POSTGRES, draw.uniform(0.2, 3), world.postgres.kill, world.postgres.restart)


def s3_killed(world: World, draw: random.Random) -> Fault:
    """kill -9 of the S3 server."""
    return Fault("S3 killed", S3, draw.uniform(0.2, 3), world.s3.kill, world.s3.restart)


def full_disk(world: World, draw: random.Random) -> Fault:
    """No byte more fits on the disk that the S3 server keeps blobs on."""
    return Fault("full disk", DISK, draw.uniform(2, 5), world.fill, world.empty)


def slow(world: World, draw: random.Random) -> Fault:
    """Everything to one of the servers and back takes longer."""
    name = draw.choice(LINKS)
    wire, by = world.wires[name], draw.uniform(0.1, 0.3)
    return Fault("slow network", name, draw.uniform(3, 6), lambda: wire.slow(by), wire.mend)


def cut(world: World, draw: random.Random) -> Fault:
    """Connections to one of the servers are reset, and new ones refused."""
    name = draw.choice(LINKS)
    return Fault("cut network", name, draw.uniform(1, 4), world.wires[name].cut, world.wires[name].mend)


def silent(world: World, draw: random.Random) -> Fault:
    """One of the servers says nothing for longer than a session lasts; half of the times the connections then are lost."""
    name = draw.choice(LINKS)
    wire, is_lost = world.wires[name], draw.random() < 0.5

    def end() -> None:
        if is_lost:
            wire.cut()
        wire.mend()

    return Fault("silent network", name, draw.uniform(SESSION_S + 1, SESSION_S + 3), wire.hold, end)


# Each kind, and how often beside the others.
KINDS: dict[str, tuple[Callable[[World, random.Random], Fault], int]] = {
    "killed": (killed, 16),
    "zombie": (zombie, 8),
    "broker killed": (broker_killed, 3),
    "broker restarted": (broker_restarted, 3),
    "PostgreSQL killed": (postgres_killed, 4),
    "S3 killed": (s3_killed, 2),
    "full disk": (full_disk, 4),
    "slow network": (slow, 4),
    "cut network": (cut, 4),
    "silent network": (silent, 4),
}


def _process(world: World, draw: random.Random) -> str:
    """Any; the judges twice as often, for there the money is."""
    names = world.fleet.names
    return draw.choice([*names, *(name for name in names if name.startswith("labeling"))])


def _nothing() -> None: ...
