"""Contents that are too big to be held: hashed and written a piece at a time."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from concord.kit.errors import Corrupt, InvalidInput, Unavailable
from concord.kit.files import whole

# So many bytes of a content are held at once.
PIECE = 2**20


def of_file(path: Path, size: int = PIECE) -> Iterator[bytes]:
    """The file's bytes, in order. Raises InvalidInput that names a file which cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(size):
                yield piece
    except OSError as error:
        raise InvalidInput(f"the file {path} cannot be read: {error.strerror or error}") from error


def uri_of_file(path: Path) -> str:
    """The URI that the file's bytes have in every blob store."""
    hashed = Hashed(of_file(path))
    for _ in hashed:
        pass
    return hashed.uri


class Hashed:
    """Passes pieces on; `uri` and `size` are of those that passed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._sum, self.size = pieces, hashlib.sha256(), 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._sum.update(piece)
            self.size += len(piece)
            yield piece

    @property
    def uri(self) -> str:
        return f"sha256:{self._sum.hexdigest()}"


def checked(uri: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as they come; behind the last one raises Corrupt where together they are not what the URI names."""
    hashed = Hashed(pieces)
    yield from hashed
    if hashed.uri != uri:
        raise Corrupt(f"blob {uri}: {hashed.size} bytes are stored, but their hash is {hashed.uri}")


def write(pieces: Iterable[bytes], path: Path) -> None:
    """Makes the file of the pieces, and its folder: whole or not at all, for what the pieces raise leaves `path` as it was.

    Raises Unavailable that names a file which cannot be written: there may be room for it later.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as unfinished, unfinished.open("wb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise Unavailable(f"the file {path} cannot be written: {error.strerror or error}; is there room?") from error
