"""Pairs for tests, in one line."""

from concord.v1.pairs_pb2 import Pair, Response


def pair(first: str, second: str, **more: object) -> Pair:
    """A pair of these two texts without a prompt."""
    return Pair(first=Response(text=first), second=Response(text=second), **more)
