"""People teach the judge: which pairs it is asked about again, which answers it is shown with each, and how. PURE.

What people said of a pair is never shown with that pair, nor with another of its prompt: what the judge says of an answered pair
then tells how far it can be believed where nobody answered.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from concord.labeling import judge
from concord.preference import orders
from concord.preference.further import EXAMPLES, doubtful_of
from concord.v1 import pairs_pb2 as pb

Array = np.ndarray

# Characters of each text of an example that are shown; what is left out is said.
MOST_SHOWN = 1_500

_EXAMPLES = """
People were asked which answer is better in other cases like the one below. What they chose shows what counts here.
"""
_EXAMPLE = """
<case {number} {mark}>
Conversation: {conversation}

Answer A: {a}

Answer B: {b}

People chose: {winner}
</case {number} {mark}>
"""


@dataclass(frozen=True)
class Example:
    """A pair that people decided."""

    pair: pb.Pair
    first: bool  # they chose the first


def asked_again(
    pairs: Sequence[int], label: Array, p_wrong: Array, said: Mapping[int, bool], answered: Array
) -> list[int]:
    """Which of a shard's pairs (indexes in the run) are asked about again, ascending: what triage doubts, and what people decided.

    `label` [run's pairs]: 0 where the judge gave none, which is never asked about; `p_wrong` [run's pairs]; `said`: pair → whether
    people chose the first; `answered`: pairs that people were asked about, whatever came of it.
    """
    seen = set(answered.tolist())
    open_ = [pair for pair in pairs if label[pair] and pair not in seen]
    open_.sort(key=lambda pair: (-min(p_wrong[pair], 1 - p_wrong[pair]), pair))
    return sorted([*open_[: doubtful_of(len(pairs))], *(pair for pair in pairs if pair in said and label[pair])])


def nearest(pair: int, x: Array, group: Array, answered: Array) -> list[int]:
    """The answered pairs that are most like this one, the nearest first, at most `EXAMPLES`; none of its own group.

    Likeness is the cosine of the light features' differences (x [pairs, dimensions], first minus second), whichever response is
    called the first. Pairs that differ in nothing are like no other.
    """
    others = answered[group[answered] != group[pair]]
    if not len(others):
        return []
    mine, theirs = x[pair].astype(np.float64), x[others].astype(np.float64)
    norms = np.linalg.norm(mine) * np.linalg.norm(theirs, axis=1)
    alike = np.abs(theirs @ mine) / np.where(norms > 0, norms, np.inf)
    order = np.lexsort((others, -np.round(alike, 6)))
    return others[order[:EXAMPLES]].tolist()


def messages(pair: pb.Pair, criteria: str, swapped: bool, examples: Sequence[Example]) -> list[dict[str, str]]:
    """As the judge's own question, with the examples before it: the people's choice stands now as A and now as B.

    `swapped` shows the responses of the pair, and of each example, the other way round. The marks in the tags are hashes of all
    that is shown, so that no text can close its own tag.
    """
    bare = "\0".join(_text for example in examples for _text in _texts(example))
    mark = hashlib.sha256(f"{bare}\0{pair.first.text}\0{pair.second.text}".encode()).hexdigest()[:8]
    shown = "".join(_shown(number, example, swapped, mark) for number, example in enumerate(examples))
    instructions, question = judge.parts(pair, criteria, swapped, bare)
    return [{"role": "user", "content": instructions + (_EXAMPLES + shown if examples else "") + question}]


def _shown(number: int, example: Example, swapped: bool, mark: str) -> str:
    conversation, first, second = _texts(example)
    # The chosen one stands as A in every other example, and in the other ones once all is swapped.
    chosen, other = (first, second) if example.first else (second, first)
    is_a = (number % 2 == 0) != swapped
    a, b = (chosen, other) if is_a else (other, chosen)
    return _EXAMPLE.format(
        number=number + 1, mark=mark, conversation=conversation, a=a, b=b, winner="A" if is_a else "B"
    )


def _texts(example: Example) -> tuple[str, str, str]:
    conversation = "\n\n".join(f"{turn.role}: {turn.content}" for turn in example.pair.prompt) or "(empty)"
    one, two = example.pair.first.text, example.pair.second.text
    first, second = (_cut(orders.shown(text, conversation, other)) for text, other in ((one, two), (two, one)))
    return _cut(conversation), first, second


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + " […]"
