"""What the tests' servers share: `python tests/servers.py SIGNAL USER COMMAND…` becomes the command, which dies with its parent.

A program of its own and no `preexec_fn`: gRPC's threads do not outlive a fork, and its care for them ends the new process now
and then before it is a server.
"""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def dies_with_parent(command: Sequence[str], sign: signal.Signals, user: str = "") -> list[str]:
    """The command, as `user` if one is named: a test run that is killed leaves no server behind (Linux; elsewhere it may)."""
    return [sys.executable, "-S", __file__, str(int(sign)), user, *command]


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
