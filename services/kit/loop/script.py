"""A program run for a unit, in a process of its own: what it says line by line, how it ended, and how it is stopped."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from concord.kit.errors import Unavailable
from concord.kit.loop import guard

# From the word that it is to stop to SIGKILL: with the looks and kills that come to it, under five seconds in all.
GRACE_S = 4.0
# So much of what it wrote to standard error is told where it fails.
TOLD = 4_000


class Script:
    """The program and all that it starts, from its beginning to its end; `stop` may be called from any thread."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], grace_s: float = GRACE_S
    ) -> None:
        """Starts it in `folder`, where its standard error goes to `stderr.txt`; raises Unavailable where that cannot be."""
        self._errors = folder / "stderr.txt"
        # The guard's own: it needs no library, and nothing of the user's folder.
        guarded = [sys.executable, "-I", "-S", guard.__file__, str(grace_s), *command]
        try:
            with self._errors.open("wb") as errors:
                self._process = subprocess.Popen(
                    guarded,
                    cwd=folder,
                    env=os.environ | dict(environment),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    # ^C is for whoever started us.
                    start_new_session=True,
                )
        except OSError as error:
            raise Unavailable(f"no process can be started for {command[0]} ({error}); is there memory left?") from error

    def lines(self) -> Iterator[str]:
        """What it writes to standard output, a line each, until it and all that it started have ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield line.decode(errors="replace").rstrip("\n")

    def stop(self) -> None:
        """Asks it to end, SIGTERM now and SIGKILL soon, and returns at once."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait(self) -> int:
        """Its exit code, once it has ended; 128 + N where signal N ended it."""
        code = self._process.wait()
        self.stop()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code if code >= 0 else 128 - code

    def complaints(self) -> str:
        """The end of what it wrote to standard error."""
        with self._errors.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TOLD))
            return file.read().decode(errors="replace").strip()
