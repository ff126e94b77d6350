"""From sampled answers to candidate pairs: what is dropped and why, and which pairs the others make. PURE."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from concord.preference.pairs import MAX_PAIR_BYTES, MAX_TEXT_BYTES, utf8_bytes
from concord.preference.seeded import uniform
from concord.v1 import pairs_pb2 as pb

EMPTY, CUT, REFUSED = "empty", "cut by its limit on tokens", "refused by the endpoint"
SAME, ALIKE, LONG = "the same text", "nearly the same text", "over a megabyte"
# Share of common runs of words above which two answers say the same with a word or two changed.
NEARLY = 0.9
RUN_OF_WORDS = 3
# Of one prompt: all pairs of eight answers. Of more answers as many are drawn, so that a shard stays small whatever is sampled.
MOST_PAIRS = 28
_WORD = re.compile(r"\w+|[^\w\s]")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Sampled:
    """One answer as it came."""

    generator: int  # which of the run's models gave it
    model: str
    text: str
    why_not: str = ""  # why it is no candidate at all: cut, or refused


@dataclass
class Account:
    """What became of the answers of some prompts."""

    prompts: int = 0
    without_pair: int = 0
    answers: int = 0
    kept: int = 0
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)  # (model, why) → answers


def pairs_of(prompt: pb.Pair, answers: Sequence[Sampled], account: Account) -> list[pb.Pair]:
    """The candidate pairs of one prompt, in order, called `ID/I-J` by the places of the two among its answers; adds to `account`.

    With several models a pair has answers of two of them: that of the model to be aligned against a reference's. Which of
    the two stands first is drawn, so that no place is a model's own.
    """
    kept = _kept(answers, account)
    several = len({one.generator for one in answers}) > 1
    found = [
        (i, j) for i, j in combinations(sorted(kept), 2) if not several or answers[i].generator != answers[j].generator
    ]
    if len(found) > MOST_PAIRS:
        drawn = sorted(found, key=lambda pair: uniform("candidate pair", prompt.pair_id, *pair))
        found = sorted(drawn[:MOST_PAIRS])
    pairs = [pair for i, j in found if (pair := _pair(prompt, answers, i, j)).ByteSize() <= MAX_PAIR_BYTES]
    account.prompts += 1
    account.without_pair += not pairs
    return pairs


def _kept(answers: Sequence[Sampled], account: Account) -> list[int]:
    """Places of the answers that are candidates: of those that say the same, the first."""
    kept: dict[int, _Said] = {}
    for at, answer in enumerate(answers):
        said = _said(answer.text)
        if why := _why_not(answer, said, kept.values()):
            account.dropped[answer.model, why] += 1
        else:
            kept[at] = said
    account.answers += len(answers)
    account.kept += len(kept)
    return list(kept)


@dataclass(frozen=True)
class _Said:
    """What is compared of an answer."""

    text: str
    runs: frozenset[
        tuple[str, ...]
    ]  # of three words or signs, whatever the case and the space between; of less, all of it
    numbers: tuple[str, ...]


def _said(text: str) -> _Said:
    words = _WORD.findall(text.lower())
    runs = (
        zip(*(words[at:] for at in range(RUN_OF_WORDS)), strict=False) if len(words) >= RUN_OF_WORDS else [tuple(words)]
    )
    return _Said(text.strip(), frozenset(runs), tuple(_NUMBER.findall(text)))


def _why_not(answer: Sampled, said: _Said, others: Iterable[_Said]) -> str:
    """Why the answer is no candidate beside those that are; empty where it is one."""
    if answer.why_not or not said.text:
        return answer.why_not or EMPTY
    if utf8_bytes(said.text) > MAX_TEXT_BYTES:
        return LONG
    whys = {SAME if said.text == other.text else ALIKE for other in others if _nearly(said, other)}
    return SAME if SAME in whys else next(iter(whys), "")


def _nearly(one: _Said, other: _Said) -> bool:
    """Whether they say the same, a word or two apart; where a number differs one may be right and the other wrong."""
    return one.numbers == other.numbers and len(one.runs & other.runs) >= NEARLY * len(one.runs | other.runs)


def _pair(prompt: pb.Pair, answers: Sequence[Sampled], i: int, j: int) -> pb.Pair:
    first, second = (i, j) if uniform("candidate order", prompt.pair_id, i, j) < 0.5 else (j, i)
    pair = pb.Pair()
    pair.CopyFrom(prompt)
    pair.pair_id = f"{prompt.pair_id}/{i}-{j}"
    pair.first.CopyFrom(pb.Response(text=answers[first].text, model=answers[first].model))
    pair.second.CopyFrom(pb.Response(text=answers[second].text, model=answers[second].model))
    pair.first_place, pair.second_place = first + 1, second + 1
    return pair
