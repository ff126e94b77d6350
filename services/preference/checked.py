"""What checks said of a run's pairs, read from the facts of judging. Pure.

`ShardLabeled.verified` says how the two answers came out, `ShardLabeled.checked` what kind of check it was and whether that gave
the label. A pair that checks settled was shown to no judge.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from concord.v1.events_pb2 import Checked, ShardLabeled

Array = np.ndarray
N = TypeVar("N")
# Values of `verified`.
NOT_CHECKED, FIRST, SECOND, BOTH, NEITHER = range(5)


@dataclass(frozen=True)
class Kind:
    """One kind of check over a run: how many pairs it was tried on, and what came out."""

    kind: str
    tried: int
    decided: int
    both_wrong: int

    @property
    def left(self) -> int:
        """Pairs that went on to the judge."""
        return self.tried - self.decided - self.both_wrong


def settled(said: ShardLabeled) -> frozenset[int]:
    """Pair indexes of the shard that no judge was asked about: checks decided, or found both answers wrong."""
    neither = {index for index, came in zip(said.pair_index, said.verified, strict=False) if came == NEITHER}
    return frozenset(one.pair_index for one in said.checked if one.decided or one.pair_index in neither)


def judged(said: ShardLabeled) -> list[int]:
    """Places in the shard's columns of the pairs that the judge was asked about."""
    out = settled(said)
    return [at for at, index in enumerate(said.pair_index) if index not in out]


def told(column: Sequence[N], place: int, nothing: N) -> N:
    """What a column of the shard says at this place; `nothing` where it is shorter, as one of what was not asked for is."""
    return column[place] if place < len(column) else nothing


def decided(labeled: Iterable[ShardLabeled], pairs: int) -> Array:
    """bool [pairs]: checks gave the label. Where several shards have a pair, as after the pilot, the last one counts."""
    found = np.zeros(pairs, bool)
    for said in labeled:
        found[[index for index in said.pair_index if index < pairs]] = False
        found[[one.pair_index for one in said.checked if one.decided and one.pair_index < pairs]] = True
    return found


def notes(labeled: Iterable[ShardLabeled]) -> dict[int, tuple[Checked, int]]:
    """Pair index → what was said of it, and how it came out, of every pair that a check was tried on."""
    found: dict[int, tuple[Checked, int]] = {}
    for said in labeled:
        came = dict(zip(said.pair_index, said.verified, strict=False))
        found.update({one.pair_index: (one, came.get(one.pair_index, NOT_CHECKED)) for one in said.checked})
    return found


def by_kind(labeled: Iterable[ShardLabeled]) -> tuple[Kind, ...]:
    """The kinds that were tried, the most frequent first."""
    kinds: dict[str, list[tuple[Checked, int]]] = {}
    for note in notes(labeled).values():
        kinds.setdefault(note[0].kind, []).append(note)
    made = [
        Kind(kind, len(held), sum(one.decided for one, _ in held), sum(came == NEITHER for _, came in held))
        for kind, held in kinds.items()
    ]
    return tuple(sorted(made, key=lambda one: (-one.tried, one.kind)))


def words(kinds: Iterable[Kind]) -> str:
    """`checks decided 40 of 52 (number 40 of 45, short_answer 0 of 7), both wrong 3`."""
    kinds = tuple(kinds)
    each = ", ".join(f"{one.kind} {one.decided:,} of {one.tried:,}" for one in kinds)
    wrong = sum(one.both_wrong for one in kinds)
    total = f"checks decided {sum(one.decided for one in kinds):,} of {sum(one.tried for one in kinds):,}"
    return f"{total} ({each})" + (f", both wrong {wrong:,}" if wrong else "")
