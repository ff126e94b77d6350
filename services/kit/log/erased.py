"""Records whose words were taken out for good, because somebody asked that they go. Pure.

An erased record keeps its place, its id and the hash of what stood there, so the chain over a run's facts holds as before.
"""

from hashlib import sha256

from concord.kit.log import GONE, Record

# Header of such a record: SHA-256, 32 bytes, of the value that stood there.
ERASED = "concord-erased"


def is_erased(record: Record) -> bool:
    """Whether the record, or words in it, were taken out."""
    return record.key == GONE or (bool(record.headers) and any(name == ERASED for name, _ in record.headers))


def digest(record: Record) -> bytes:
    """SHA-256 of the record's value as it was appended."""
    for name, value in record.headers:
        if name == ERASED:
            return value
    return sha256(record.value).digest()


def erased(record: Record, value: bytes) -> Record:
    """The record with another value in its place; it may have been erased in part before."""
    headers = tuple(header for header in record.headers if header[0] != ERASED)
    return record._replace(value=value, headers=(*headers, (ERASED, digest(record))))
