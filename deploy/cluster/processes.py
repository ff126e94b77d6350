"""Processes that outlive the command that starts them: each with a pid file and a log, found again and ended by name.

A pid alone may belong to somebody else by now, so the file also says when the process began; nothing else is ever ended.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK_S = 0.1


@dataclass(frozen=True)
class Processes:
    """Those of one folder: `pids/NAME` and `logs/NAME.log`."""

    folder: Path

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def names(self) -> list[str]:
        """Whatever was started and not ended since; some may have ended by themselves."""
        pids = self.folder / "pids"
        return sorted(path.name for path in pids.iterdir()) if pids.is_dir() else []

    def running(self, name: str) -> int | None:
        """The process's id, None where it does not run."""
        try:
            pid, then = (self.folder / "pids" / name).read_text().split(maxsplit=1)
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if began(int(pid)) == then else None

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], where: Path) -> None:
        """Starts it in a session of its own: neither Ctrl-C nor the end of the terminal reaches it."""
        for part in ("pids", "logs"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=where,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.folder / "pids" / name).write_text(f"{process.pid} {began(process.pid)}")

    def end(self, names: Sequence[str], sign: signal.Signals, patience_s: float) -> list[str]:
        """Ends these, all at once; returns those that did not end in time and were killed."""
        for name in names:
            if pid := self.running(name):
                os.kill(pid, sign)
        deadline = time.monotonic() + patience_s
        while (left := [name for name in names if self.running(name)]) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        for name in left:
            if pid := self.running(name):
                # Its own session: the children that it started end with it.
                os.killpg(pid, signal.SIGKILL)
        while any(self.running(name) for name in left):
            time.sleep(LOOK_S)
        for name in names:
            (self.folder / "pids" / name).unlink(missing_ok=True)
        return left


def began(pid: int) -> str:
    """When the process began, in the system's words; empty where there is none, or only its remains."""
    if Path("/proc/self/stat").exists():
        try:
            # The name, which stands in brackets, may hold anything.
            rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if rest[0] in "ZX" else rest[19]
    said = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True).stdout.split()
    return "" if not said or said[0].startswith("Z") else " ".join(said[1:])
