"""The lines of a text file, plain or gzipped (told by its first bytes, not by its name)."""

import gzip
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from concord.kit.errors import InvalidInput

MAX_LINE_BYTES = 64_000_000
# Real data pack to a fifth or a tenth; what unpacks to far more of itself than that is made to fill a disk or a memory.
_UNPACKED_TIMES = 300
_UNPACKED_AT_LEAST = 64_000_000
BROKEN_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes of each line; of a line over MAX_LINE_BYTES just so many bytes and one more.

    Raises InvalidInput where the file cannot be opened or read to its end, or unpacks to more than any data would.
    """
    number = 0
    try:
        with opened(path) as file:
            for raw in _lines(file):
                number += 1
                yield number, raw
    except BROKEN_GZIP as error:
        raise InvalidInput(f"{path}:{number + 1}: the gzip data are broken behind line {number}: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a regular file, unpacked where it is gzipped. Raises InvalidInput for a pipe, a socket or a device."""
    check_is_regular(path)
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        yield cast(BinaryIO, _Unpacked(path, file)) if is_gzip else file


class _Unpacked(gzip.GzipFile):
    """A gzipped file that ends in InvalidInput where it goes on for ever."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(fileobj=file)
        self._path = path
        self._most = max(_UNPACKED_AT_LEAST, _UNPACKED_TIMES * path.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        return self._bounded(super().read(size))

    def read1(self, size: int = -1) -> bytes:
        return self._bounded(super().read1(size))

    def readline(self, size: int | None = -1) -> bytes:
        return self._bounded(super().readline(size))

    def _bounded(self, data: bytes) -> bytes:
        if self.tell() > self._most:
            raise InvalidInput(
                f"{self._path}: unpacks to over {_UNPACKED_TIMES} times its size, which no file of pairs does; unpack it "
                "yourself if it is one"
            )
        return data


def check_is_regular(path: Path) -> None:
    """Raises InvalidInput where the path is no file that has an end; OSError where the system does not say."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise InvalidInput(f"{path}: is no regular file; write what it gives into a file first")


def unreadable(path: Path, error: OSError | ValueError) -> InvalidInput:
    """What the user is told of a file that the system does not give."""
    if isinstance(error, FileNotFoundError):
        return InvalidInput(f"{path}: there is no such file")
    return InvalidInput(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while raw := file.readline(MAX_LINE_BYTES + 1):
        rest = raw
        while len(rest) and not rest.endswith(b"\n"):
            rest = file.readline(_CHUNK_BYTES)
        yield raw
