"""The lines of a text file, plain or gzipped (told by its first bytes, not by its name)."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from concord.kit.errors import InvalidInput

MAX_LINE_BYTES = 64_000_000
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes of each line; of a line over MAX_LINE_BYTES just so many bytes and one more.

    Raises InvalidInput where the file cannot be opened or read to its end.
    """
    number = 0
    try:
        with opened(path) as file:
            for raw in _lines(file):
                number += 1
                yield number, raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(f"{path}:{number + 1}: the gzip data are broken behind line {number}: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked where it is gzipped."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_gzip else file


def unreadable(path: Path, error: OSError) -> InvalidInput:
    """What the user is told of a file that the system does not give."""
    if isinstance(error, FileNotFoundError):
        return InvalidInput(f"{path}: there is no such file")
    return InvalidInput(f"{path}: cannot be read: {error.strerror or error}")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while raw := file.readline(MAX_LINE_BYTES + 1):
        rest = raw
        while len(rest) and not rest.endswith(b"\n"):
            rest = file.readline(_CHUNK_BYTES)
        yield raw
