"""Folders to train in: one for each training, gone with it, be it by a crash and the next process's care."""

import fcntl
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from concord.kit.errors import Unavailable

LOCK = ".lock"
# Until its lock is held a folder looks like one that was left behind.
_one_by_one = threading.Lock()


@contextmanager
def place(home: Path) -> Iterator[Path]:
    """A folder below `home` for as long as the block lasts. Raises Unavailable where none can be made."""
    try:
        with _one_by_one:
            home.mkdir(parents=True, exist_ok=True)
            _sweep(home)
            folder = Path(tempfile.mkdtemp(dir=home))
            held = (folder / LOCK).open("wb")
            fcntl.flock(held, fcntl.LOCK_EX)
    except OSError as error:
        raise Unavailable(f"no folder can be made in {home} to train in: {error.strerror or error}") from error
    with held:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Removes what processes that are gone left behind; whose folder it is holds a lock in it."""
    for folder in home.iterdir():
        with suppress(OSError), (folder / LOCK).open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
