"""A dataset as it is kept: parts of whole rows as JSON Lines, and a manifest that names them in order. Pure."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from concord.kit.errors import Refused
from concord.v1.events_pb2 import DatasetManifest

# A part ends with the row that makes it this long: small enough to be held, large enough to be worth a file of its own.
PART_BYTES = 1 << 20


def write(lines: Iterable[bytes], put: Callable[[bytes], str]) -> str:
    """Gives the rows part by part to `put`, which returns a URI, then their manifest; returns the manifest's URI.

    `lines` are rows with their line ends; never more than one part of them is held. The same rows give the same URI.
    """
    manifest = DatasetManifest(part_uris=map(put, _gathered(lines)))
    return put(manifest.SerializeToString(deterministic=True))


def parts(uri: str, read: Callable[[str], bytes]) -> Iterator[bytes]:
    """The JSON Lines behind a manifest's URI, part by part; `read` gives a blob by its URI.

    Raises Refused for a dataset of a version that kept it as one blob.
    """
    manifest = read(uri)
    if manifest.startswith(b"{"):
        raise Refused(
            f"dataset {uri} was kept in one piece by an earlier version; make it again: its command with --new WORD"
        )
    return map(read, DatasetManifest.FromString(manifest).part_uris)


def rows(uri: str, read: Callable[[str], bytes]) -> Iterator[dict[str, Any]]:
    """The rows behind a manifest's URI, one by one."""
    for part in parts(uri, read):
        yield from map(json.loads, part.splitlines())


def _gathered(lines: Iterable[bytes]) -> Iterator[bytes]:
    part = bytearray()
    for line in lines:
        part += line
        if len(part) >= PART_BYTES:
            yield bytes(part)
            part.clear()
    if part:
        yield bytes(part)
