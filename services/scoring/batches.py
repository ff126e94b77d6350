"""Which texts go through a transformer together: nothing twice, nothing much shorter than its neighbour. Pure."""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from concord.reward.encoding import Asked, Words, common

Ids = list[int]


@dataclass(frozen=True)
class Tree:
    """Tokens that several sequences begin with, and what each goes on with."""

    trunk: Ids
    branches: tuple[Ids, ...]
    places: tuple[int, ...]  # which sequence each branch belongs to

    @property
    def tokens(self) -> int:
        """How many it has in all."""
        return len(self.trunk) + sum(map(len, self.branches))


def key_of(words: Words) -> Hashable:
    """The same for the same text or messages."""
    return words if isinstance(words, str) else json.dumps(words, sort_keys=True, ensure_ascii=False)


def grouped(prompts: Sequence[Words], answers: Sequence[Words]) -> tuple[list[Asked], list[int]]:
    """Each prompt once with its different answers, and for each text the number of its answer among all of them.

    Answers are counted prompt by prompt, in the order in which they stand in the result.
    """
    held: dict[Hashable, tuple[Words, dict[Hashable, Words]]] = {}
    keys: list[tuple[Hashable, Hashable]] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        # A text and messages of the same prompt are encoded in different ways.
        name: Hashable = (isinstance(answer, str), key_of(prompt))
        said = key_of(answer)
        held.setdefault(name, (prompt, {}))[1].setdefault(said, answer)
        keys.append((name, said))
    number: dict[tuple[Hashable, Hashable], int] = {}
    for name, (_, different) in held.items():
        for said in different:
            number[name, said] = len(number)
    return [Asked(prompt, tuple(different.values())) for prompt, different in held.values()], [number[k] for k in keys]


def tree(sequences: Sequence[Ids], first: int) -> Tree:
    """These sequences with what they share at the beginning said once; `first`: the number of the first of them.

    Each branch keeps a token at least, for a reward is read at its end.
    """
    shared = min(len(sequence) - 1 for sequence in sequences)
    for sequence in sequences[1:]:
        shared = min(shared, common(sequences[0], sequence))
    places = tuple(range(first, first + len(sequences)))
    return Tree(sequences[0][:shared], tuple(sequence[shared:] for sequence in sequences), places)


def parts(sizes: Sequence[int], most: int) -> list[slice]:
    """Neighbours that are together no larger than `most`, or one that is larger by itself; in order."""
    out: list[slice] = []
    total = 0
    for at, size in enumerate(sizes):
        if out and total + size <= most:
            out[-1] = slice(out[-1].start, at + 1)
            total += size
        else:
            out.append(slice(at, at + 1))
            total = size
    return out


def trees(groups: Sequence[Sequence[Ids]], most: int, first: int = 0) -> list[Tree]:
    """A tree for each group, or several where one would have more than `most` tokens and more than one branch.

    `first`: the number of the first sequence.
    """
    out: list[Tree] = []
    for group in groups:
        start = 0
        for end in range(1, len(group) + 1):
            if end == len(group) or tree(group[start : end + 1], 0).tokens > most:
                out.append(tree(group[start:end], first + start))
                start = end
        first += len(group)
    return out


def batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Numbers of the sequences in batches: alike in length, each at most `tokens` tokens with its padding, or one sequence.

    The longest come first, so that what does not fit into the memory is known at once. Order and batches are the same for the
    same lengths.
    """
    out: list[list[int]] = []
    for at in sorted(range(len(lengths)), key=lambda at: (-lengths[at], at)):
        if out and (len(out[-1]) + 1) * lengths[out[-1][0]] <= tokens:
            out[-1].append(at)
        else:
            out.append([at])
    return out
