"""A folder in which an input's files lie while it is tried: one for the whole process, empty again after each.

To make and remove a folder for each input takes ten times as long as to read its files; in memory where
the machine has a place there.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

IN_MEMORY = Path("/dev/shm")


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder; what lies in it is removed afterwards."""
    place = _own()
    try:
        yield place
    finally:
        for path in place.iterdir():
            path.unlink()


@cache
def _own() -> Path:
    made = tempfile.mkdtemp(prefix="concord-fuzz-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)
