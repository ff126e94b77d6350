"""Files of a folder of blobs: each has its name only once it is whole, and what a disk raises is an outage."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TypeVar

from concord.kit.blobs.pieces import PIECE
from concord.kit.errors import Unavailable

Made = TypeVar("Made")


@contextmanager
def nameless(folder: Path) -> Iterator[tuple[FileIO, str]]:
    """A file that has no name of its own yet, and where it is meanwhile; gone when the block ends."""
    with translated(folder):
        handle, partial = tempfile.mkstemp(dir=folder)
    try:
        # Without a buffer: to be closed it needs no room that a full disk has not.
        with FileIO(handle, "wb") as file:
            yield file, partial
    finally:
        os.unlink(partial)


def write(file: FileIO, content: bytes) -> None:
    """All of the content: the system takes two gigabytes at most at a time, and less where the disk gets full."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def link(file: FileIO, partial: str, path: Path) -> bool:
    """Gives the whole file its name, also after a power cut; False where another one has it already."""
    os.fsync(file.fileno())
    try:
        in_its_folder(path, lambda: os.link(partial, path))
    except FileExistsError:
        return False
    return True


def in_its_folder(path: Path, make: Callable[[], Made]) -> Made:
    """What `make` makes of the path; where its folder is missing, that is made first. Most often it is there."""
    try:
        return make()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return make()


def read(path: Path) -> bytes | None:
    """The file's content; None where there is none."""
    with translated(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def pieces(path: Path) -> Iterator[bytes] | None:
    """The file's content, a piece at a time; None where there is none."""
    with translated(path):
        try:
            return _pieces(path, path.open("rb", buffering=0))
        except FileNotFoundError:
            return None


def _pieces(path: Path, file: FileIO) -> Iterator[bytes]:
    with translated(path), file:
        while piece := file.read(PIECE):
            yield piece


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """A full, unreadable or read-only disk may be mended while we run: whoever wanted the file tries again."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the file {path} cannot be read or written: {error.strerror or error}") from error
