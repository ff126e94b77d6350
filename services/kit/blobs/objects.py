"""Blobs as objects of a bucket, `PREFIX/blobs/ab/abcd…` and `PREFIX/markers/…`, laid out as the files are; of whichever store.

Everything is written on the condition that it is not there yet, so nothing is ever overwritten and of two writers of a marker the
first wins. What a store must be able to do is `Bucket`; S3's is in `s3`, Google's in `gcs`.
"""

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from concord.kit.blobs import Stored, digest_of, disk, instead_of, verified
from concord.kit.blobs.pieces import Hashed, checked, of_file, uri_of_file
from concord.kit.blobs.places import Place
from concord.kit.errors import ConcordError, InvalidInput, NotFound, Unavailable
from concord.kit.ids import uri_of

# Bytes that are sent or asked for at once of something large.
PART = 8 * 2**20
# How often a request is sent before its store counts as away.
SENT = 3
# That this store keeps the first of two writers is tried once in a bucket's life.
TRIAL, PROOF = "writes-once/trial", "writes-once/proven"


class Conflict(Exception):
    """Another one writes the same object at this moment."""


class Refused(Exception):
    """The store lets us not do it: a wrong key, a missing right, no such bucket. In words, with what to do."""


class Bucket(Protocol):
    """What a store must do with one object; paths begin with the bucket. Thread-safe.

    Each raises Refused and Unavailable, and what it says beside these.
    """

    place: Place
    condition: str  # by which it creates and never overwrites, as its protocol calls it

    def look(self) -> None:
        """Asks whether the bucket is there and may be used."""

    def create(self, path: str, content: bytes) -> None:
        """Creates the object; raises FileExistsError where there is one, Conflict where one is being made."""

    def send(self, path: str, size: int, pieces: Callable[[int], Iterable[bytes]]) -> None:
        """The same of a large content of so many bytes: `pieces(n)` has them, n at a time. Whole or not at all.

        Raises what `pieces` raises, and then creates nothing.
        """

    def read(self, path: str) -> bytes:
        """All of it; raises FileNotFoundError."""

    def part(self, path: str, start: int, end: int) -> bytes:
        """Its bytes from start to before end; raises FileNotFoundError."""

    def size(self, path: str) -> int:
        """How many bytes it has; raises FileNotFoundError."""

    def below(self, path: str) -> Iterator[tuple[str, int, float]]:
        """(path, bytes, Unix seconds when it was written) of each object whose path begins so."""

    def delete(self, path: str) -> None:
        """Deletes the object, if it is there."""


class ObjectBlobs:
    """Blobs in a bucket. Thread-safe; not to be carried over a fork."""

    def __init__(self, bucket: Bucket) -> None:
        """Asks the bucket once. Raises InvalidInput where it or the key is refused, Unavailable where nobody answers."""
        self._bucket, self._place = bucket, bucket.place
        self._root = f"{self._place.bucket}/{self._place.prefix}"
        self._proving = threading.Lock()
        # A refused key or a missing bucket is the user's mistake at the start; later it may be mended while we wait.
        self._refused: type[ConcordError] = InvalidInput
        with self._asked():
            bucket.look()
        self._is_proven = self.marker(PROOF) is not None
        self._refused = Unavailable

    def put(self, content: bytes) -> str:
        uri = uri_of(content)
        self._create(self._path(uri), content)
        return uri

    def put_file(self, path: Path) -> str:
        """Reads the file twice: its name follows from its hash, and what is there already is not sent."""
        uri = uri_of_file(path)
        if self._size(self._path(uri)) is None:
            self._send(path, uri)
        return uri

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        """By way of a file on this machine's disk (TMPDIR)."""
        place = Path(tempfile.gettempdir())
        with disk.nameless(place) as (file, partial):
            for piece in pieces:
                with disk.translated(place):
                    disk.write(file, piece)
            return self.put_file(Path(partial))

    def pieces(self, uri: str) -> Iterator[bytes]:
        path = self._path(uri)
        size = self._size(path)
        if size is None:
            if (instead := self.marker(instead_of(uri))) is None:
                raise NotFound(f"blob {uri} is not at {self._place.of(path)}")
            yield from self.pieces(instead.decode())
            return
        yield from checked(uri, (self._part(path, at, min(at + PART, size)) for at in range(0, size, PART)))

    def get(self, uri: str) -> bytes:
        path = self._path(uri)
        content = self._read(path)
        if content is None:
            if (instead := self.marker(instead_of(uri))) is not None:
                return self.get(instead.decode())
            raise NotFound(f"blob {uri} is not at {self._place.of(path)}")
        return verified(uri, content)

    def put_if_absent(self, name: str, content: bytes) -> bytes:
        self._prove()
        return self._first(f"{self._root}markers/{name}", content)

    def note(self, name: str, content: bytes) -> None:
        self.put_if_absent(name, content)

    def marker(self, name: str) -> bytes | None:
        return self._read(f"{self._root}markers/{name}")

    def stored(self) -> Iterator[Stored]:
        """Every blob of the bucket's prefix, in the order of their names; needs the right to list."""
        for path, size, written_at in sorted(self._listed("blobs")):
            yield Stored(f"sha256:{path.rpartition('/')[2]}", size, written_at)

    def markers(self) -> Iterator[str]:
        """The name of every marker."""
        root = f"{self._root}markers/"
        yield from (path.removeprefix(root) for path, _, _ in sorted(self._listed("markers")))

    def _listed(self, part: str) -> list[tuple[str, int, float]]:
        with self._asked():
            return list(self._bucket.below(f"{self._root}{part}/"))

    def drop(self, uri: str) -> None:
        """Deletes a blob; needs a right that no service has."""
        self._drop(self._path(uri))

    def drop_marker(self, name: str) -> None:
        """Deletes a marker; likewise."""
        self._drop(f"{self._root}markers/{name}")

    def _drop(self, path: str) -> None:
        with self._asked():
            self._bucket.delete(path)

    def _path(self, uri: str) -> str:
        digest = digest_of(uri)
        return f"{self._root}blobs/{digest[:2]}/{digest}"

    def _first(self, path: str, content: bytes) -> bytes:
        """Creates the object, or returns what stands there: also our own, where only the answer to us was lost."""
        if self._create(path, content):
            return content
        stands = self._read(path)
        if stands is None:
            gone = f"{self._place.of(path)} was there and is gone; does somebody delete from {self._place.shown}?"
            raise Unavailable(gone)
        return stands

    def _create(self, path: str, content: bytes) -> bool:
        """True if this call created the object; False if it was there."""
        return self._first_of(path, lambda: self._bucket.create(path, content))

    def _first_of(self, path: str, send: Callable[[], None]) -> bool:
        """Whether what `send` sends became the object; it is sent again where another one sends at the same moment."""
        for _ in range(SENT):
            try:
                with self._asked():
                    send()
                return True
            except FileExistsError:
                return False
            except Conflict:
                continue
        raise Unavailable(f"{self._place.of(path)} is being written by others all the time; trying again later")

    def _send(self, source: Path, uri: str) -> None:
        """Creates the object of a file that may be large, unless it is there; of a file that changes meanwhile, nothing."""
        path, size = self._path(uri), source.stat().st_size
        if size <= PART:
            self._create(path, b"".join(unchanged(source, uri, PART + 1)))
        else:
            self._first_of(path, lambda: self._bucket.send(path, size, lambda each: unchanged(source, uri, each)))

    def _size(self, path: str) -> int | None:
        """How many bytes the object has; None where there is none."""
        try:
            with self._asked():
                return self._bucket.size(path)
        except FileNotFoundError:
            return None

    def _part(self, path: str, start: int, end: int) -> bytes:
        """One request's worth; where it breaks off it is asked for again, or one in a thousand would cost all of them."""
        for left in reversed(range(SENT)):
            try:
                with self._asked():
                    return self._bucket.part(path, start, end)
            except Unavailable:
                if not left:
                    raise
            except FileNotFoundError:
                raise NotFound(f"{self._place.of(path)} was there and is gone") from None
        raise AssertionError("the last try returns or raises")

    def _read(self, path: str) -> bytes | None:
        try:
            with self._asked():
                return self._bucket.read(path)
        except FileNotFoundError:
            return None

    def _prove(self) -> None:
        """A store that ignores the condition would let two workers' results stand for one; it is refused."""
        if self._is_proven:
            return
        with self._proving:
            for content in (b"one", b"other"):
                made = self._create(f"{self._root}markers/{TRIAL}", content)
            if made:
                raise InvalidInput(
                    f"{self._place.shown} does not honour `{self._bucket.condition}`, so it cannot keep the first of two writers; "
                    "name a store that does in CONCORD_BLOB_URL"
                )
            self._create(f"{self._root}markers/{PROOF}", b"")
            self._is_proven = True

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """What the store refuses is what it is at this time: the user's mistake, or an outage."""
        try:
            yield
        except Refused as error:
            raise self._refused(str(error)) from error


def unchanged(source: Path, uri: str, size: int) -> Iterator[bytes]:
    """The file's bytes, so many at a time; the last of them only if together they are what the URI names.

    Raises Unavailable for a file that is another one by now.
    """
    hashed, last = Hashed(of_file(source, size)), None
    for piece in hashed:
        if last is not None:
            yield last
        last = piece
    if hashed.uri != uri:
        raise Unavailable(f"the file {source} changed while it was stored; it is stored once it stays as it is")
    if last is not None:
        yield last
