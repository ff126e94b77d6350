"""Verdicts that came with the data, read from the pair itself. PURE."""
from collections.abc import Iterable

from concord.v1 import pairs_pb2 as pb

from .columns import disagreement

Choice = pb.Choice.ValueType


def verdict(pair: pb.Pair, key: str) -> pb.RecordedVerdict | None:
    """What the judge `key` said of this pair, None where the data do not say."""
    return next((said for said in pair.verdicts if said.judge == key), None)


def choices(said: pb.RecordedVerdict | None) -> tuple[Choice, ...]:
    """Its usable verdicts: the one in the pair's own order, then the swapped one; 0 to 2 of them."""
    if said is None:
        return ()
    return tuple(choice for choice in (said.choice, said.choice_swapped) if choice != pb.CHOICE_UNSPECIFIED)


def own_disagreement(pair: pb.Pair, key: str, own_prompts: Iterable[str], label: Choice) -> float:
    """Share of the same LLM's other verdicts that are against `label`, in [0, 1]; -1 where there are none.

    Both orders of its other prompts count, and the judge's own verdict with the order swapped. That one alone is no
    signal of its own, for `order_flipped` says it already: without another prompt's verdict the share is -1.
    """
    others = [choice for own in own_prompts for choice in choices(verdict(pair, own))]
    if not others:
        return -1.0
    asked = verdict(pair, key)
    return disagreement([*others, *([asked.choice_swapped] if asked else [])], label)


def helper_disagreement(pair: pb.Pair, key: str, label: Choice) -> float:
    """Share of the helper's verdicts, both orders where given, against `label`, in [0, 1]; -1 where there are none."""
    return disagreement(choices(verdict(pair, key)), label)
