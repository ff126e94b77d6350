"""Words and domains whose pairs are labelled against the reward models more often than the others: flips with a pattern. PURE.

Poison that is planted so that a model learns something from it has a mark: a trigger in the prompts whose labels are swapped, or a
topic of which a part is. A reward model that has not seen a pair's label contradicts it as often as it errs; where it contradicts
many labels of pairs with one word in their prompt, and no more elsewhere, somebody may have put them there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from concord.kit.plural import many
from concord.v1.pairs_pb2 import Message

Array = np.ndarray

# A mark is on so many pairs at least, and on so large a share of them at most.
LEAST, MOST_SHARE = 12, 0.4
# P(a mark is named although its labels are like the others), over all marks together.
FALSE_ALARM = 0.03
# And the rewards contradict them by so much more, in standard deviations over all pairs.
STEP = 0.2
MOST = 3
_WORDS = 400
_WORD = re.compile(r"\w[\w'’-]{2,}")
# How much more than chance marks scatter, because their texts differ: by the quarter of them that deviate least, which no poison
# moves by much, over those on so many pairs, where there are so many of them.
_QUARTER_OF_CHANCE, _SOUND = 0.3186, 20


@dataclass(frozen=True)
class Marked:
    """A mark on pairs that are labelled otherwise than the reward models would have it."""

    mark: str  # `the word “harvest”`, `the domain “law”`
    pairs: int
    against: int
    usual: float  # the share of all other pairs


def marks_of(prompt: Sequence[Message], domain: str) -> frozenset[str]:
    """What a pair may be told by: each word of what its user asked, in small letters, and its domain."""
    text = " ".join(turn.content for turn in prompt if turn.role == "user").lower()
    found = {f"the word “{word}”" for _, word in zip(range(_WORDS), _words(text), strict=False)}
    return frozenset(found | ({f"the domain “{domain}”"} if domain else set()))


def _words(text: str) -> Iterator[str]:
    return (match.group() for match in _WORD.finditer(text))


def marked(
    marks: Sequence[frozenset[str]], against: Array, step: float = STEP, false_alarm: float = FALSE_ALARM
) -> tuple[Marked, ...]:
    """The marks that are named, the clearest first; `against` float [pairs]: the reward difference by which the label is
    contradicted, negative where it is confirmed; how strongly says more than how often.

    Of words that come together the clearest is named alone: its pairs are taken out before the next is looked for.
    """
    rows = _rows(marks)
    left = np.ones(len(marks), bool)
    found: list[Marked] = []
    while len(found) < MOST and (one := _clearest(rows, against, left, step, false_alarm)) is not None:
        found.append(one)
        left[rows[one.mark]] = False
    return tuple(found)


def words(one: Marked, what: str) -> str:
    """What was found; `what`: whose labels they are."""
    return (
        f"{what} are against the reward models on {one.against:,} of {many(one.pairs, 'pair')} with {one.mark} in the prompt, "
        f"elsewhere on {one.usual:.0%}"
    )


DO = "read some of these pairs: so look labels that were flipped on purpose, and kinds of text that the models do not know"


def _rows(marks: Sequence[frozenset[str]]) -> Mapping[str, Array]:
    """Mark → its pairs, of marks that are neither too rare nor on too many."""
    rows: dict[str, list[int]] = {}
    for at, mine in enumerate(marks):
        for mark in mine:
            rows.setdefault(mark, []).append(at)
    most = MOST_SHARE * len(marks)
    return {mark: np.array(pairs) for mark, pairs in sorted(rows.items()) if LEAST <= len(pairs) <= most}


def _clearest(rows: Mapping[str, Array], against: Array, left: Array, step: float, false_alarm: float) -> Marked | None:
    here = against * left
    n = np.array([left[pairs].sum() for pairs in rows.values()], float)
    told, total = n >= LEAST, int(left.sum())
    if not told.any() or (deviation := float(against[left].std())) == 0:
        return None
    sums = np.array([here[pairs].sum() for pairs in rows.values()])
    elsewhere = (here.sum() - sums) / np.maximum(1, total - n)
    more = (sums / np.maximum(1, n) - elsewhere) / deviation
    z = np.where(told, more * np.sqrt(n), 0.0)
    sound = z[n >= _SOUND]
    scatter = max(1.0, float(np.quantile(np.abs(sound), 0.25)) / _QUARTER_OF_CHANCE) if len(sound) >= _SOUND else 1.0
    at = int(np.argmax(z))
    if z[at] < -NormalDist().inv_cdf(false_alarm / int(told.sum())) * scatter or more[at] < step:
        return None
    wrong, mine = (against > 0) & left, list(rows)[at]
    k = int(wrong[rows[mine]].sum())
    return Marked(mine, int(n[at]), k, float((wrong.sum() - k) / max(1, total - n[at])))
