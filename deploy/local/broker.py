"""A real Kafka broker on this machine: its jars fetched once, started where asked, killed and restarted at will.

By hand: `python -m deploy.local.broker [--port 9092] FOLDER` runs one until Ctrl-C.
"""

import argparse
import base64
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import string
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from deploy.local import programs
from deploy.local.servers import dies_with_parent, ended, started

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy" / "kafka"
LIBS = ROOT / ".tools" / "kafka" / "libs"
# Holds the hash of the pom.xml that the jars beside it were fetched for.
MARK = "pom.sha256"
JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
# Some 3 s on a quiet machine; on a very busy one it has taken more than a minute.
UP_S = 180.0
# The variable that says which ports may be drawn, FIRST-LAST; no setting of the services, which refuse names that they do not know.
PORTS = "LOCAL_SERVER_PORTS"


@dataclass
class Broker:
    """One broker process. Start and restart it from the main thread: it dies with the thread that started it."""

    folder: Path
    port: int
    process: subprocess.Popen

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """Ends it in good order."""
        ended(self.process, signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a power cut of the process would: kill -9."""
        ended(self.process, signal.SIGKILL)

    def restart(self) -> None:
        """Starts it again on the same port and data, if it does not run."""
        if self.process.poll() is not None:
            self.process = launch(self.folder, self.port)


def start_broker(folder: Path, port: int | None = None, advertised: int | None = None) -> Broker:
    """Fetches the jars where they are missing, formats `folder` the first time, starts it and waits until it answers.

    `advertised`: the port that clients are sent to, where that is a relay before the broker's own.
    Raises RuntimeError that says what to install, or what the broker wrote before it ended.
    """
    install()
    folder.mkdir(parents=True, exist_ok=True)
    formatted = (folder / "data" / "meta.properties").exists()
    # The controller's port is also recorded inside the data, so a folder keeps its ports.
    old_port, controller_port = _ports(folder) if formatted else (0, 0)
    port = port or old_port or free_port()
    _write_settings(folder, port, controller_port or free_port(port), advertised or port)
    if not formatted:
        format_storage(folder)
    return Broker(folder, port, launch(folder, port))


def missing() -> str:
    """What stands in the way of a broker, in words; empty where there can be one."""
    if _fetched() or shutil.which("mvn"):
        return ""
    return "Kafka's jars come by Maven, which is not installed: `apt-get install maven` (Debian)"


def install() -> None:
    """Fetches the jars by Maven into `.tools/kafka/libs`, unless those of this pom.xml are there. Raises RuntimeError."""
    if _fetched():
        return
    if why := missing():
        raise RuntimeError(why)
    LIBS.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=LIBS.parent))
    _run(
        "mvn",
        "-q",
        "-B",
        "-f",
        str(DEPLOY / "pom.xml"),
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={fresh}",
    )
    (fresh / MARK).write_text(_stamp())
    shutil.rmtree(LIBS, ignore_errors=True)
    fresh.rename(LIBS)


def _fetched() -> bool:
    """Whether the jars of this pom.xml are there."""
    mark = LIBS / MARK
    return mark.exists() and mark.read_text() == _stamp()


def _stamp() -> str:
    return hashlib.sha256((DEPLOY / "pom.xml").read_bytes()).hexdigest()


def free_port(but: int = 0) -> int:
    """A port that nobody listens on (nor `but`), below those of outgoing connections: a client that knocks while the broker is
    away would otherwise now and then be given the broker's own port, and connect to itself.

    Nothing holds it until whoever wanted it listens there: who starts servers side by side gives each its own `PORTS`.
    """
    first, last = map(int, os.environ.get(PORTS, "15000-31999").split("-"))
    while True:
        port = random.randint(first, last)
        if port == but:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def _ports(folder: Path) -> tuple[int, int]:
    """The broker's and the controller's port of a folder that was used before."""
    settings = (folder / "server.properties").read_text()
    port, controller_port = re.search(r"^listeners=.*:(\d+),.*:(\d+)$", settings, re.MULTILINE).groups()
    return int(port), int(controller_port)


def _write_settings(folder: Path, port: int, controller_port: int, advertised: int) -> None:
    template = string.Template((DEPLOY / "server.properties").read_text())
    text = template.substitute(PORT=port, CONTROLLER_PORT=controller_port, FOLDER=folder)
    text = re.sub(r"^(advertised\.listeners=.*:)\d+$", rf"\g<1>{advertised}", text, flags=re.MULTILINE)
    (folder / "server.properties").write_text(text)


def format_storage(folder: Path, *more: str) -> None:
    """Makes the folder a new cluster's, with further words for Kafka's own tool."""
    # The form that Kafka's own random-uuid prints; its first character must not be a dash.
    cluster = "C" + base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")[1:]
    settings = str(folder / "server.properties")
    _run(*_java(), "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", settings, *more)


def launch(folder: Path, port: int) -> subprocess.Popen:
    """Starts the broker whose settings lie in `folder` and waits until it answers on `port`."""
    command = dies_with_parent([*_java(), "kafka.Kafka", str(folder / "server.properties")], signal.SIGKILL)
    return started(f"the Kafka broker on port {port}", command, folder / "broker.log", lambda: _answers(port), UP_S)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
        return True
    except OSError:
        return False


def _java() -> tuple[str, ...]:
    return (str(programs.java()), *JVM, f"-Dlog4j2.configurationFile={DEPLOY / 'log4j2.yaml'}", "-cp", f"{LIBS}/*")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` failed:\n{(done.stdout + done.stderr)[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    broker = start_broker(given.folder.resolve(), given.port)
    print(f"CONCORD_LOG_URL=kafka://{broker.bootstrap}   (pid {broker.pid}; Ctrl-C ends it)", flush=True)
    try:
        broker.process.wait()
    except KeyboardInterrupt:
        broker.stop()


if __name__ == "__main__":
    main()
