"""Series of markers NAME.1, NAME.2, …: what is said anew from time to time, where markers are never overwritten."""

from collections.abc import Iterator

from concord.kit.blobs import Blobs


def last(blobs: Blobs, name: str) -> tuple[int, bytes]:
    """The last one's number and content, found in a few looks however many there are; (0, b"") where there is none."""
    low, high, content = 0, 1, b""
    while (found := blobs.marker(f"{name}.{high}")) is not None:
        low, high, content = high, 2 * high, found
    while high - low > 1:
        middle = (low + high) // 2
        if (found := blobs.marker(f"{name}.{middle}")) is None:
            high = middle
        else:
            low, content = middle, found
    return low, content


def add(blobs: Blobs, name: str, content: bytes, after: int = 0) -> int:
    """Writes the next one and returns its number; `after`: one that is known to be there, so that fewer looks are needed."""
    number = after or last(blobs, name)[0]
    while True:
        number += 1
        if blobs.put_if_absent(f"{name}.{number}", content) == content:
            return number


def names(blobs: Blobs, name: str) -> Iterator[str]:
    """The markers of the series."""
    return (f"{name}.{number}" for number in range(1, last(blobs, name)[0] + 1))
