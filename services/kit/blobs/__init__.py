"""Big things under the hash of their bytes, and markers that are created once.

A URI is `sha256:<hex>`. Reading verifies: a blob that is not what its name says is Corrupt, never an answer.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from concord.kit.errors import Corrupt, InvalidInput, NotFound, Unavailable
from concord.kit.ids import URI, uri_of

Made = TypeVar("Made")


class Blobs(Protocol):
    """What every blob store promises. Thread-safe."""

    def put(self, content: bytes) -> str:
        """Stores the bytes under their hash and returns the URI; storing them again changes nothing."""

    def get(self, uri: str) -> bytes:
        """The bytes; raises NotFound, or Corrupt where their hash is not the URI's."""

    def put_if_absent(self, name: str, content: bytes) -> bytes:
        """Creates the marker `name` unless it exists; returns the content that stands there now: the first writer's."""

    def note(self, name: str, content: bytes) -> None:
        """As `put_if_absent`, for a word that a power cut may take back: it survives the death of its process.

        Costs a fifth; whoever asks for the marker at this very moment may find it empty.
        """

    def marker(self, name: str) -> bytes | None:
        """The marker's content, None where nobody created it."""


def verified(uri: str, content: bytes) -> bytes:
    """The content, if it is what the URI names."""
    if uri_of(content) != uri:
        raise Corrupt(f"blob {uri}: {len(content)} bytes are stored, but their hash is {uri_of(content)}")
    return content


def digest_of(uri: str) -> str:
    """The 64 hexadecimal digits of a URI; raises InvalidInput for what is none."""
    found = URI.fullmatch(uri)
    if found is None:
        raise InvalidInput(
            f"{uri[:100]!r} is not a blob URI: sha256: and 64 hexadecimal digits, in small letters, are expected"
        )
    return found[1]


@dataclass(frozen=True)
class Stored:
    """A blob as it lies in a folder; `written_at` in Unix seconds."""

    uri: str
    size: int
    written_at: float


class MemoryBlobs:
    """Blobs in a dictionary: for the simulation and for tests."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._markers: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        uri = uri_of(content)
        self._blobs[uri] = content
        return uri

    def get(self, uri: str) -> bytes:
        digest_of(uri)
        if uri not in self._blobs:
            raise NotFound(f"blob {uri} is not in memory")
        return verified(uri, self._blobs[uri])

    def put_if_absent(self, name: str, content: bytes) -> bytes:
        return self._markers.setdefault(name, content)

    def note(self, name: str, content: bytes) -> None:
        self._markers.setdefault(name, content)

    def marker(self, name: str) -> bytes | None:
        return self._markers.get(name)


class FileBlobs:
    """Blobs as files below one folder: `blobs/ab/abcd…` and `markers/…`.

    A file appears under its name only once it is whole (written beside it, then linked), so a reader never sees half
    of one and a crash leaves at most a stray temporary file.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        for part in ("blobs", "markers", "partial"):
            try:
                (root / part).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InvalidInput(
                    f"the folder {root / part} cannot be made: {error.strerror}; choose another with CONCORD_BLOB_URL"
                ) from error

    def put(self, content: bytes) -> str:
        uri = uri_of(content)
        self._create(self._path(uri), content)
        return uri

    def get(self, uri: str) -> bytes:
        path = self._path(uri)
        content = _read(path)
        if content is None:
            raise NotFound(f"blob {uri} is not at {path}")
        return verified(uri, content)

    def put_if_absent(self, name: str, content: bytes) -> bytes:
        path = self._root / "markers" / name
        if self._create(path, content):
            return content
        with _translated(path):
            return path.read_bytes()

    def note(self, name: str, content: bytes) -> None:
        path = self._root / "markers" / name
        with _translated(path):
            try:
                # Neither flushed nor whole from the first moment on.
                with _in_its_folder(path, lambda: open(path, "xb", buffering=0)) as file:
                    try:
                        file.write(content)
                    except OSError:
                        path.unlink()
                        raise
            except FileExistsError:
                return

    def marker(self, name: str) -> bytes | None:
        return _read(self._root / "markers" / name)

    def stored(self) -> Iterator[Stored]:
        """Every blob of the folder."""
        for path in sorted((self._root / "blobs").glob("??/*")):
            with _translated(path):
                status = path.stat()
            yield Stored(f"sha256:{path.name}", status.st_size, status.st_mtime)

    def results(self) -> Iterator[bytes]:
        """What every marker `done/…` holds: results of units, be they said already or not."""
        for path in sorted((self._root / "markers" / "done").glob("*")):
            with _translated(path):
                yield path.read_bytes()

    def drop(self, uri: str) -> None:
        """Deletes a blob that nobody names any more."""
        path = self._path(uri)
        with _translated(path):
            path.unlink(missing_ok=True)

    def drop_marker(self, name: str) -> None:
        """Deletes a marker of a run that is gone."""
        path = self._root / "markers" / name
        with _translated(path):
            path.unlink(missing_ok=True)

    def _path(self, uri: str) -> Path:
        digest = digest_of(uri)
        return self._root / "blobs" / digest[:2] / digest

    def _create(self, path: Path, content: bytes) -> bool:
        """True if this call created the file; False if it was there."""
        with _translated(path):
            if path.exists():
                return False
            handle, partial = tempfile.mkstemp(dir=self._root / "partial")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                return _linked(partial, path)
            finally:
                os.unlink(partial)


def _linked(partial: str, path: Path) -> bool:
    """Gives the whole file its name; False where another one has it already."""
    try:
        _in_its_folder(path, lambda: os.link(partial, path))
    except FileExistsError:
        return False
    return True


def _in_its_folder(path: Path, make: Callable[[], Made]) -> Made:
    """What `make` makes of the path; where its folder is missing, that is made first. Most often it is there."""
    try:
        return make()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return make()


def _read(path: Path) -> bytes | None:
    with _translated(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """A full, unreadable or read-only disk may be mended while we run: whoever wanted the file tries again."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the file {path} cannot be read or written: {error.strerror or error}") from error
