"""`python guard.py GRACE_S COMMAND…`: runs the command, and ends it with all that it started once standard input ends.

So a training stops when its worker says so, and when its worker is killed: either closes the pipe. Ending is SIGTERM to the
command and, GRACE_S later, SIGKILL to every process that came of it; when the command ends by itself, to what it left behind.
The exit code is the command's, 128 + N for signal N. A program of its own that needs the standard library alone.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LOOK_S = 0.05
# So long it is tried to end processes that SIGKILL does not reach (in a system call that hangs).
KILLED_S = 5.0


def main(grace_s: str, *command: str) -> int:
    """The exit code."""
    linux = os.uname().sysname == "Linux"
    if linux:
        # Whose parent ends becomes a child of this process: nothing gets away by a session of its own, as torchrun's do.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Whoever wants an end closes the pipe.
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_dies_with_parent if linux else _as_usual
    )
    _wait(child, float(grace_s))
    _kill(child)
    code = child.poll()
    return 128 + signal.SIGKILL if code is None else code if code >= 0 else 128 - code


def _dies_with_parent() -> None:
    _as_usual()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _as_usual() -> None:
    """What is ignored here stays ignored in a new process unless it is said otherwise."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _wait(child: subprocess.Popen, grace_s: float) -> None:
    """Until the command ends by itself, or was asked to and its grace is over."""
    while child.poll() is None:
        if select.select([sys.stdin], [], [], LOOK_S)[0] and not os.read(0, 4096):
            break
    else:
        return
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(grace_s)


def _kill(child: subprocess.Popen) -> None:
    """SIGKILL to every process that came of the command, until there is none."""
    until = time.monotonic() + KILLED_S
    while time.monotonic() < until:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        left = _descendants(os.getpid())
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        child.poll()
        _reap(child)
        if not left:
            return
        time.sleep(LOOK_S / 10)


def _reap(child: subprocess.Popen) -> None:
    """Takes note of the ends of those that became children of this process; the command's own is taken by `child`."""
    if child.poll() is None:
        return
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _descendants(pid: int) -> list[int]:
    """Processes below this one that live, as /proc has them; elsewhere than on Linux none are known."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{int(name)}/stat") as file:
                # A name in brackets may hold blanks and brackets itself.
                state, parent = file.read().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(name)] = int(parent)
    found, before = {pid}, 0
    while len(found) > before:
        before = len(found)
        found |= {one for one, parent in parents.items() if parent in found}
    return sorted(found - {pid})


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
