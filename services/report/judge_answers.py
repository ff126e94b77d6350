"""What the judge answered: the answers that are no verdict, by cause with what to do, and its taste for a place. PURE."""

from collections.abc import Mapping
from dataclasses import dataclass

from concord.preference import answer_faults, order_flips
from concord.preference.answer_faults import FaultyAnswers
from concord.report.history import History, Read, texts_of
from concord.report.overruled import shortened
from concord.v1.pairs_pb2 import Pair

_CHARACTERS = 1_200


@dataclass(frozen=True)
class Example:
    """One answer; its text comes from a stranger: show it as text, never as markup."""

    pair: int
    pair_id: str
    swapped: bool  # the second response was shown as A
    text: str
    harmful: bool = False  # the pair is marked as harmful, and the judge may repeat it


@dataclass(frozen=True)
class UnusableAnswers:
    """Answers of one judge that are no verdict, for one cause."""

    judge: str
    cause: str
    answers: int
    says: str
    do: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Order:
    """What changed when the two responses changed places."""

    flipped: int  # of `pairs`
    pairs: int  # with a verdict in both orders
    for_a: int | None  # of the two verdicts of each pair; None where an older version judged
    one_sided: bool  # more than a coin would flip: the verdicts follow the place
    says: str


def unusable_answers(history: History, read: Read) -> tuple[UnusableAnswers, ...]:
    """By judge and cause, the most frequent first."""
    found = answer_faults.collected(answer_faults.standing(event for event, _ in history.events))
    shards = texts_of(history, [kept.pair_index for one in found for kept in one.examples], read)
    pairs = {index: shard.pairs[index - shard.first_index] for index, shard in shards.items()}
    return tuple(_unusable(one, pairs) for one in found)


def order(history: History) -> Order | None:
    """Over all pairs; None where no pair has a verdict in both orders."""
    flips = order_flips.flips_of(answer_faults.standing(event for event, _ in history.events))
    if not flips.pairs:
        return None
    return Order(flips.flipped, flips.pairs, flips.for_a, flips.one_sided, order_flips.words(flips))


def _unusable(found: FaultyAnswers, pairs: Mapping[int, Pair]) -> UnusableAnswers:
    examples = (
        Example(
            kept.pair_index,
            pairs[kept.pair_index].pair_id,
            kept.swapped,
            shortened(kept.text, _CHARACTERS),
            pairs[kept.pair_index].harmful,
        )
        for kept in found.examples
    )
    return UnusableAnswers(found.judge, found.name, found.answers, found.words, found.cause.do, tuple(examples))
