"""Reading a unit's inputs: content-addressed, so a cache by URI can never be stale."""

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from google.protobuf.message import Message

from concord.kit.blobs import Blobs

LOCKS = 16
Parsed = TypeVar("Parsed")
SomeMessage = TypeVar("SomeMessage", bound=Message)


def cached(blobs: Blobs, parse: Callable[[bytes], Parsed], most: int) -> Callable[[str], Parsed]:
    """URI → parsed blob; the last `most` of them are kept. What it returns is shared: nobody writes to it.

    Units that want the same blob at the same moment wait for one of them to read it.
    """
    read = lru_cache(most)(lambda uri: parse(blobs.get(uri)))
    locks = [threading.Lock() for _ in range(LOCKS)]

    def once(uri: str) -> Parsed:
        with locks[hash(uri) % LOCKS]:
            return read(uri)

    return once


def messages(blobs: Blobs, kind: type[SomeMessage], most: int) -> Callable[[str], SomeMessage]:
    """URI → message of this kind; an empty URI gives the empty message: the plan has no such stage."""
    read = cached(blobs, kind.FromString, most)
    return lambda uri: read(uri) if uri else kind()
