"""Folders as blobs: a file each, under its hash; written back whole or not at all."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from concord.kit.blobs import Blobs
from concord.kit.blobs.pieces import write
from concord.kit.errors import Corrupt, InvalidInput, Unavailable


@dataclass(frozen=True)
class Filed:
    """A file of a folder: its name below it with slashes, the blob of its bytes, how many there are."""

    name: str
    uri: str
    size: int


def put(blobs: Blobs, folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> tuple[Filed, ...]:
    """Stores the folder's files whose names are wanted; by name. A link counts as what it leads to.

    Raises InvalidInput where there is no such folder or a file cannot be read, Unavailable where there is no room.
    """
    if not folder.is_dir():
        raise InvalidInput(f"there is no folder {folder}")
    kept = [name for name in _names(folder) if wanted(name)]
    return tuple(Filed(name, blobs.put_file(folder / name), _size(folder / name)) for name in kept)


def _names(folder: Path) -> list[str]:
    """The files below the folder; raises InvalidInput where it changes too fast to be listed."""
    try:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise InvalidInput(f"the folder {folder} changes while it is read: {error.strerror}") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InvalidInput(f"the file {path} is gone: {error.strerror}") from error


class Pieces(Protocol):
    """Whoever has blobs and gives them a piece at a time."""

    def pieces(self, uri: str) -> Iterator[bytes]: ...


def get(blobs: Pieces, files: Iterable[Filed], folder: Path) -> None:
    """Makes the folder of these files; where there is one already it stays as it is: it came from here.

    Raises NotFound or Corrupt where a blob is gone or broken, Unavailable where there is no room; then there is no folder.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise Unavailable(f"the folder {folder} cannot be made: {error.strerror or error}") from error
    try:
        for file in files:
            write(blobs.pieces(file.uri), unfinished / _inside(file.name))
        _named(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def name_of(files: Iterable[Filed]) -> str:
    """A name that follows from what is in the folder, and from nothing else."""
    return hashlib.sha256("".join(f"{file.name}\n{file.uri}\n" for file in files).encode()).hexdigest()[:32]


def _inside(name: str) -> PurePosixPath:
    """The name, if it leads to a place below its folder."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise Corrupt(f"a file of a stored folder is called {name[:100]!r}, which leads out of it")
    return path


def _named(unfinished: Path, folder: Path) -> None:
    """Gives the whole folder its name; where another process was faster, that one's is the same."""
    try:
        os.rename(unfinished, folder)
    except OSError as error:
        if not folder.is_dir():
            raise Unavailable(f"the folder {folder} cannot be made: {error.strerror or error}") from error
