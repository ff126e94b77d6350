"""A judge whose verdict follows the place of an answer: how often it does, and from when on that is no chance. PURE.

Each pair is shown in both orders. A verdict that changes with the order names the same letter twice: of that pair the judge
said nothing. A coin flips half of them, so whatever is known of the answers keeps a judge below a half, and only a taste
for a place takes it above. That is where the bound lies: more flips than a coin would give in all but one of a hundred
runs of as many pairs. All of 7 pairs, 16 of 20, 28 of 40, 117 of 200; fewer than 7 say too little. A judge that flips 40 %,
and such are used, is stopped in fewer than one of a hundred runs, looked at after every shard (tests/test_order_flips.py).
It costs no vote of people.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from concord.kit.plural import many
from concord.preference.wilson import by_chance
from concord.v1.events_pb2 import ShardLabeled

_FALSE_ALARM = 0.01
_COIN = 0.5


@dataclass(frozen=True)
class Flips:
    """Pairs with a verdict in both orders, and how many of these changed with the order."""

    flipped: int = 0
    pairs: int = 0
    # Verdicts for the answer that was shown first, of two a pair; None where it was not counted.
    for_a: int | None = None

    @property
    def verdicts(self) -> int:
        """Two of each pair."""
        return 2 * self.pairs

    @property
    def one_sided(self) -> bool:
        """Whether the judge flips more than a coin would, by the bound above."""
        return beyond_chance(self.flipped, self.pairs)


def flips_of(labeled: Iterable[ShardLabeled]) -> Flips:
    """What the shards' facts say together."""
    shards = [said for said in labeled if any(flip >= 0 for flip in said.order_flipped)]
    counted = bool(shards) and all(said.HasField("for_shown_first") for said in shards)
    return Flips(
        flipped=sum(flip == 1 for said in shards for flip in said.order_flipped),
        pairs=sum(flip >= 0 for said in shards for flip in said.order_flipped),
        for_a=sum(said.for_shown_first for said in shards) if counted else None,
    )


def beyond_chance(flipped: int, pairs: int) -> bool:
    """Whether a coin would flip so many of the pairs in fewer than one of a hundred runs."""
    return pairs > 0 and by_chance(flipped, pairs, _COIN) < _FALSE_ALARM


def words(flips: Flips) -> str:
    """`the judge says A in 78 of 80 answers; 38 of 40 verdicts change when the two responses change places`."""
    change = "changes" if flips.flipped == 1 else "change"
    changed = f"{flips.flipped:,} of {many(flips.pairs, 'verdict')} {change} when the two responses change places"
    if flips.for_a is None:
        return changed
    letter, said = ("A", flips.for_a) if 2 * flips.for_a >= flips.verdicts else ("B", flips.verdicts - flips.for_a)
    return f"the judge says {letter} in {said:,} of {many(flips.verdicts, 'answer')}; {changed}"
