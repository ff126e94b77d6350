"""A Docker engine: the one that answers, else one of this machine's own for as long as it is wanted (engine.sh)."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.broker import ROOT

WORK = Path(os.environ.get("COMPOSE_WORK", "/var/tmp/concord-compose"))


def why_no_engine() -> str:
    """Why no engine can be started here; empty where one can."""
    if os.geteuid() != 0:
        return "no Docker engine answers, and starting one needs root"
    for program in ("dockerd", "containerd", "runc", "iptables", "debootstrap"):
        if shutil.which(program) is None:
            packages = "docker.io containerd runc iptables debootstrap"
            return f"no Docker engine answers, and `{program}` is not installed (Debian: apt-get install {packages})"
    return ""


@contextmanager
def engine() -> Iterator[tuple[str, str]]:
    """Its address for as long as the block lasts, and ""; or "", and why there is none."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        yield os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"), ""
        return
    if reason := why_no_engine():
        yield "", reason
        return
    script = str(ROOT / "deploy/local/engine.sh")
    started = subprocess.run([script, "start", str(WORK)], capture_output=True, text=True)
    if started.returncode:
        yield "", f"the engine does not start here: {started.stderr.strip()}"
        return
    try:
        yield started.stdout.strip(), ""
    finally:
        subprocess.run([script, "stop", str(WORK)], check=True)
