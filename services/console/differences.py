"""Which sentences of two answers say the same: those are faded, so that what only one of them says stays bright. Pure.

After DxHF (UIST 2025), with no model asked: two sentences are alike by their words and pieces of words, the rarer in the two
answers the more, and never where a number, a negation or the code in them differs.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt

ALIKE = 0.6
# Sentences of an answer that are compared; beyond it the rest stays bright.
MOST_SENTENCES = 400
_BLOCK = re.compile(r"(```.*?(?:```|\Z))", re.S)
_ENDS = re.compile(r"(?<=[.!?。！？])\s+|(?<=[.!?。！？][\"'”’)\]])\s+|\n+")
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ENGLISH = "not no never none nor cannot can't won't don't doesn't isn't aren't wasn't without"
_NOT = frozenset(f"{_ENGLISH} nicht kein keine ohne nie pas jamais".split())


@dataclass(frozen=True)
class Sentence:
    """A sentence, or a block of code as a whole; `link`: the number that it shares with one of the other answer, 0: none."""

    text: str
    code: bool = False
    link: int = 0
    # A new line begins behind it.
    ends_line: bool = False


def sentences(text: str) -> list[Sentence]:
    """The text's sentences in their order; blocks of code stay whole."""
    found: list[Sentence] = []
    for at, part in enumerate(_BLOCK.split(text)):
        if at % 2:
            found.append(Sentence(part.strip("\n"), code=True, ends_line=True))
            continue
        begin = 0
        for end in [*_ENDS.finditer(part), None]:
            said = part[begin : end.start() if end else len(part)].strip()
            if said:
                found.append(Sentence(said, ends_line=end is None or "\n" in end[0]))
            begin = end.end() if end else len(part)
    return found


def unfenced(code: str) -> str:
    """A block of code without the lines that fence it."""
    return re.sub(r"\A```[^\n]*\n?|\n?```\Z", "", code)


def linked(first: str, second: str) -> tuple[list[Sentence], list[Sentence]]:
    """The sentences of both, those that say the same with the same number: each with at most one, the most alike first."""
    one, other = sentences(first), sentences(second)
    left, right = one[:MOST_SENTENCES], other[:MOST_SENTENCES]
    alike = _alike(left, right)
    of_left, of_right = dict[int, int](), dict[int, int]()
    for _, i, j in sorted(alike, key=lambda found: (-found[0], found[1], found[2])):
        if i not in of_left and j not in of_right:
            of_left[i] = of_right[j] = len(of_left) + 1
    return _with(one, of_left), _with(other, of_right)


def _with(said: Sequence[Sentence], links: dict[int, int]) -> list[Sentence]:
    return [replace(sentence, link=links.get(at, 0)) for at, sentence in enumerate(said)]


def _alike(left: Sequence[Sentence], right: Sequence[Sentence]) -> list[tuple[float, int, int]]:
    """(likeness, place on the left, place on the right) of those that are alike enough."""
    marks = [_marks(sentence) for sentence in (*left, *right)]
    seen = Counter(mark for of_one in marks for mark in of_one)
    weight = {mark: log(1 + len(marks) / count) for mark, count in seen.items()}
    weighed = [{mark: count * weight[mark] for mark, count in of_one.items()} for of_one in marks]
    norms = [sqrt(sum(value**2 for value in of_one.values())) for of_one in weighed]
    # Those that can say the same at all, however alike their words are.
    places: dict[tuple, list[int]] = {}
    for j, other in enumerate(right, start=len(left)):
        places.setdefault(_must_match(other), []).append(j)
    found = []
    for i, sentence in enumerate(left):
        for j in places.get(_must_match(sentence), ()):
            both = weighed[i].keys() & weighed[j].keys()
            shared = sum(weighed[i][mark] * weighed[j][mark] for mark in sorted(both))
            likeness = shared / (norms[i] * norms[j]) if norms[i] and norms[j] else 0.0
            if likeness >= ALIKE:
                found.append((likeness, i, j - len(left)))
    return found


def _must_match(sentence: Sentence) -> tuple:
    """What two sentences that say the same have in common: the code itself, or their numbers and whether they deny."""
    if sentence.code:
        return (sentence.text,)
    return (tuple(_NUMBER.findall(sentence.text)), _denies(sentence.text))


def _denies(text: str) -> int:
    """How often it denies, even or odd."""
    words = re.findall(r"[\w'’]+", text.lower().replace("’", "'"))
    return sum(word in _NOT or word.endswith("n't") for word in words) % 2


def _marks(sentence: Sentence) -> Counter[str]:
    """Words, and the beginnings of longer ones, so that an ending does not make another word."""
    if sentence.code:
        return Counter([sentence.text])
    words = _WORD.findall(sentence.text.lower())
    return Counter(words) + Counter(f"{word[:5]}…" for word in words if len(word) > 5)
