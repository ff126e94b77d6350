"""Big things under the hash of their bytes, and markers that are created once.

A URI is `sha256:<hex>`. Reading verifies: a blob that is not what its name says is Corrupt, never an answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from concord.kit.blobs import disk
from concord.kit.blobs.pieces import PIECE, Hashed, checked, of_file, uri_of_file
from concord.kit.errors import Corrupt, InvalidInput, NotFound
from concord.kit.ids import URI, uri_of


class Blobs(Protocol):
    """What every blob store promises. Thread-safe."""

    def put(self, content: bytes) -> str:
        """Stores the bytes under their hash and returns the URI; storing them again changes nothing."""

    def get(self, uri: str) -> bytes:
        """The bytes; raises NotFound, or Corrupt where their hash is not the URI's."""

    def put_file(self, path: Path) -> str:
        """Stores a file's bytes as `put` does, a piece at a time: of 20 GB none stand in memory.

        Raises InvalidInput for a file that cannot be read, Unavailable where there is no room for it.
        """

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        """The same of a content that comes in pieces, whose hash is known once the last one is there."""

    def pieces(self, uri: str) -> Iterator[bytes]:
        """The bytes in order, some megabytes at most at a time; raises as `get` does.

        That they are Corrupt shows behind the last one: `pieces.write` makes a file of them that is what its name says.
        """

    def put_if_absent(self, name: str, content: bytes) -> bytes:
        """Creates the marker `name` unless it exists; returns the content that stands there now: the first writer's."""

    def note(self, name: str, content: bytes) -> None:
        """As `put_if_absent`, for a word that a power cut may take back: it survives the death of its process.

        Costs a fifth; whoever asks for the marker at this very moment may find it empty.
        """

    def marker(self, name: str) -> bytes | None:
        """The marker's content, None where nobody created it."""

    def stored(self) -> "Iterator[Stored]":
        """Every blob that is there."""

    def markers(self) -> Iterator[str]:
        """The name of every marker."""

    def drop(self, uri: str) -> None:
        """Deletes a blob that nobody names any more, or that was erased."""

    def drop_marker(self, name: str) -> None:
        """Deletes a marker of a run that is gone."""


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


def instead_of(uri: str) -> str:
    """The marker that holds the URI of what is read in the place of an erased blob."""
    return f"erased/{digest_of(uri)}"


def replace(blobs: Blobs, uri: str, content: bytes) -> str:
    """From now on `content` is read in the place of the blob, which goes for good; its URI. Said again it changes nothing."""
    instead = blobs.put(content)
    if instead != uri:
        stands = blobs.put_if_absent(instead_of(uri), instead.encode())
        assert stands == instead.encode(), f"{uri} was erased in another way before"
        blobs.drop(uri)
    return instead


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
        if uri not in self._blobs:
            if (instead := self.marker(instead_of(uri))) is not None:
                return self.get(instead.decode())
            raise NotFound(f"blob {uri} is not in memory")
        return verified(uri, self._blobs[uri])

    def put_file(self, path: Path) -> str:
        return self.put_pieces(of_file(path))

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        return self.put(b"".join(pieces))

    def pieces(self, uri: str) -> Iterator[bytes]:
        content = self.get(uri)
        yield from (content[at : at + PIECE] for at in range(0, len(content), PIECE))

    def put_if_absent(self, name: str, content: bytes) -> bytes:
        return self._markers.setdefault(name, content)

    def note(self, name: str, content: bytes) -> None:
        self._markers.setdefault(name, content)

    def marker(self, name: str) -> bytes | None:
        return self._markers.get(name)

    def stored(self) -> Iterator[Stored]:
        yield from (Stored(uri, len(content), 0.0) for uri, content in sorted(self._blobs.items()))

    def markers(self) -> Iterator[str]:
        yield from sorted(self._markers)

    def drop(self, uri: str) -> None:
        self._blobs.pop(uri, None)

    def drop_marker(self, name: str) -> None:
        self._markers.pop(name, None)


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
        content = disk.read(path)
        if content is None:
            if (instead := self.marker(instead_of(uri))) is not None:
                return self.get(instead.decode())
            raise NotFound(f"blob {uri} is not at {path}")
        return verified(uri, content)

    def put_file(self, path: Path) -> str:
        """Reads a new file twice: what is there already is not written again."""
        uri = uri_of_file(path)
        with disk.translated(self._path(uri)):
            is_there = self._path(uri).exists()
        return uri if is_there else self.put_pieces(of_file(path))

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        hashed, place = Hashed(pieces), self._root / "partial"
        with disk.nameless(place) as (file, partial):
            for piece in hashed:
                with disk.translated(place):
                    disk.write(file, piece)
            path = self._path(hashed.uri)
            with disk.translated(path):
                disk.link(file, partial, path)
        return hashed.uri

    def pieces(self, uri: str) -> Iterator[bytes]:
        path = self._path(uri)
        found = disk.pieces(path)
        if found is None:
            if (instead := self.marker(instead_of(uri))) is None:
                raise NotFound(f"blob {uri} is not at {path}")
            found, uri = self.pieces(instead.decode()), instead.decode()
        yield from checked(uri, found)

    def put_if_absent(self, name: str, content: bytes) -> bytes:
        path = self._root / "markers" / name
        if self._create(path, content):
            return content
        with disk.translated(path):
            return path.read_bytes()

    def note(self, name: str, content: bytes) -> None:
        path = self._root / "markers" / name
        with disk.translated(path):
            try:
                # Neither flushed nor whole from the first moment on.
                with disk.in_its_folder(path, lambda: open(path, "xb", buffering=0)) as file:
                    try:
                        file.write(content)
                    except OSError:
                        path.unlink()
                        raise
            except FileExistsError:
                return

    def marker(self, name: str) -> bytes | None:
        return disk.read(self._root / "markers" / name)

    def stored(self) -> Iterator[Stored]:
        """Every blob of the folder."""
        for path in sorted((self._root / "blobs").glob("??/*")):
            with disk.translated(path):
                status = path.stat()
            yield Stored(f"sha256:{path.name}", status.st_size, status.st_mtime)

    def markers(self) -> Iterator[str]:
        """The name of every marker."""
        root = self._root / "markers"
        for path in sorted(root.rglob("*")):
            if path.is_file():
                yield path.relative_to(root).as_posix()

    def results(self) -> Iterator[bytes]:
        """What every marker `done/…` holds: results of units, be they said already or not."""
        for path in sorted((self._root / "markers" / "done").glob("*")):
            with disk.translated(path):
                yield path.read_bytes()

    def drop(self, uri: str) -> None:
        """Deletes a blob that nobody names any more."""
        path = self._path(uri)
        with disk.translated(path):
            path.unlink(missing_ok=True)

    def drop_marker(self, name: str) -> None:
        """Deletes a marker of a run that is gone."""
        path = self._root / "markers" / name
        with disk.translated(path):
            path.unlink(missing_ok=True)

    def _path(self, uri: str) -> Path:
        digest = digest_of(uri)
        return self._root / "blobs" / digest[:2] / digest

    def _create(self, path: Path, content: bytes) -> bool:
        """True if this call created the file; False if it was there."""
        with disk.translated(path):
            if path.exists():
                return False
            with disk.nameless(self._root / "partial") as (file, partial):
                disk.write(file, content)
                return disk.link(file, partial, path)
