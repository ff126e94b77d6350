"""What the local servers share: `python servers.py SIGNAL USER COMMAND…` becomes the command, which dies with its parent.

A program of its own and no `preexec_fn`: gRPC's threads do not outlive a fork, and its care for them ends the new process now
and then before it is a server.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1


def dies_with_parent(command: Sequence[str], sign: signal.Signals, user: str = "") -> list[str]:
    """The command, as `user` if one is named: a test run that is killed leaves no server behind (Linux; elsewhere it may)."""
    return [sys.executable, "-S", __file__, str(int(sign)), user, *command]


def started(
    what: str,
    command: Sequence[str],
    log: Path,
    answers: Callable[[], bool],
    up_s: float,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen:
    """The command's process, once it answers. Raises RuntimeError with what it wrote where it ends or stays silent."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
    deadline = time.monotonic() + up_s
    while not answers():
        try:
            process.wait(0.05)
            how = f"ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
            process.kill()
            how = f"did not answer within {up_s:.0f} s"
        tail = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{what} {how}; it wrote:\n{tail}")
    return process


def ended(process: subprocess.Popen, sign: signal.Signals, patience_s: float = 30.0) -> None:
    """Ends it by this signal; by SIGKILL where it does not listen."""
    if process.poll() is None:
        process.send_signal(sign)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(sign: str, user: str, *command: str) -> None:
    """Becomes the command."""
    if user:
        account = pwd.getpwnam(user)
        os.chdir("/")
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    # After that: a change of the user takes it back.
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(sign))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
