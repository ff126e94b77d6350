"""Sums of what units used, which no value can break: they come from workers, and those have them from endpoints. Pure."""

from math import isfinite

from concord.v1.events_pb2 import Usage

# Far beyond what any run uses, and a number that every reader of JSON and every database takes.
MOST_COUNT = 2**53
MOST_AMOUNT = 1e15
COUNTS = ("calls", "cached_calls", "prompt_tokens", "completion_tokens")
AMOUNTS = ("dollars", "seconds")


def add(total: Usage, used: Usage) -> None:
    """Adds `used` to `total`, which stays at the bounds rather than pass them; what is no amount counts for nothing."""
    for name in COUNTS:
        setattr(total, name, min(MOST_COUNT, getattr(total, name) + getattr(used, name)))
    for name in AMOUNTS:
        amount = getattr(used, name)
        if isfinite(amount) and amount > 0:
            setattr(total, name, min(MOST_AMOUNT, getattr(total, name) + amount))
