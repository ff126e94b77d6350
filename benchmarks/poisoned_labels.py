"""Labels that somebody flipped with a plan: a trigger in the prompts, a topic; in the judge's labels, or in people's answers.

The light reward model learns from the poisoned labels, each pair's margin by a fold that has not seen it, as in a run. Texts are
HH's (people's labels stand for the judge's), or made up: then features are numbers and prompts are words of a drawn vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.pack import rows
from concord.preference.folds import fold_of
from concord.report.marked import FALSE_ALARM, STEP, Marked, marked, marks_of
from concord.reward import features, head
from concord.v1.pairs_pb2 import Message

Array = np.ndarray
PAIRS, PEOPLE, FOLDS, COMPONENTS = 2_000, 500, 4, 64
TRIGGER = "the word “cyanotype”"


@dataclass(frozen=True, eq=False)
class Corpus:
    """Pairs to draw from."""

    marks: tuple[frozenset[str], ...]
    x: Array  # float [pairs, dimensions], first minus second
    label: Array  # bool, the first is better
    domain: Array


@dataclass(frozen=True)
class Poison:
    """What is planted: a foreign trigger on a share of the pairs, or flips on a share of a word's pairs."""

    trigger: float = 0.0
    word: tuple[float, float] = (0.0, 0.0)  # the share of the pairs that have the word: at least, at most
    flips: float = 1.0  # of the marked pairs' labels
    people: bool = False  # in people's answers


POISONS = {
    "none": Poison(),
    "trigger on 3 %, swapped": Poison(trigger=0.03),
    "trigger on 5 %, swapped": Poison(trigger=0.05),
    "a word of the texts on 3 to 5 %, swapped": Poison(word=(0.03, 0.05)),
    "a topic of 5 to 15 %, a quarter flipped": Poison(word=(0.05, 0.15), flips=0.25),
    "a topic of 5 to 15 %, half flipped": Poison(word=(0.05, 0.15), flips=0.5),
    "people: none": Poison(people=True),
    "people: trigger on 5 %, swapped": Poison(trigger=0.05, people=True),
    "people: a topic of 5 to 15 %, a quarter flipped": Poison(word=(0.05, 0.15), flips=0.25, people=True),
    "people: a topic of 5 to 15 %, all flipped": Poison(word=(0.05, 0.15), people=True),
}


@cache
def hh() -> Corpus:
    """The pack's decided HH pairs; their features by one basis."""
    kept = [row for row in rows("hh_train") if row["human_majority"] in (0, 1)]
    texts = [[row["responses"][side]["text"] for row in kept] for side in (0, 1)]
    basis = features.fit([*texts[0], *texts[1]], COMPONENTS, 1)
    domain = ["harmless" if "harmless" in row["source"] else "helpful" for row in kept]
    marks = [
        marks_of([Message(**turn) for turn in row["prompt"]], name) for row, name in zip(kept, domain, strict=True)
    ]
    label = np.array([row["human_majority"] == 0 for row in kept])
    return Corpus(tuple(marks), features.differences(basis, *texts), label, np.array(domain) == "harmless")


@cache
def made_up() -> Corpus:
    """Prompts of a topic's words and common ones; labels are right in four of five by a rule that is linear in the features."""
    draw, pairs = np.random.default_rng(1), 5_000
    topic = draw.integers(0, 15, pairs)
    marks = [
        frozenset(
            [f"the word “topic{mine}”" for mine in [one] * int(draw.random() < 0.9)]
            + [f"the word “w{word}”" for word in draw.zipf(1.3, 12) if word < 3_000]
        )
        for one in topic
    ]
    x = draw.normal(0, 1, (pairs, 30))
    right = x @ draw.normal(0, 1, 30) > 0
    return Corpus(tuple(marks), x, right ^ (draw.random(pairs) < 0.2), np.zeros(pairs, bool))


CORPORA: dict[str, Callable[[], Corpus]] = {"HH": hh, "made up": made_up}


@dataclass(frozen=True, eq=False)
class Planted:
    """One run: whose labels are against the reward models, the pairs' marks, and the mark that was planted (empty: none)."""

    marks: list[frozenset[str]]
    against: Array
    mark: str


def planted(corpus: Corpus, poison: Poison, seed: int) -> Planted:
    """One run's labels."""
    draw = np.random.default_rng([seed, 5])
    pair = draw.choice(len(corpus.label), PAIRS, replace=False)
    marks, label = [corpus.marks[at] for at in pair], corpus.label[pair].copy()
    people = np.sort(draw.choice(PAIRS, PEOPLE, replace=False))
    asked = people if poison.people else np.arange(PAIRS)
    mark, chosen = _chosen(marks, poison, asked, draw)
    marks = [one | {mark} if hit and mark == TRIGGER else one for one, hit in zip(marks, chosen, strict=True)]
    flips = chosen & (draw.random(PAIRS) < poison.flips)
    given = label ^ flips
    margin = _margins(corpus.x[pair], label if poison.people else given, corpus.domain[pair])
    return Planted([marks[at] for at in asked], np.where(given, -margin, margin)[asked], mark)


def named(run: Planted, step: float = STEP, false_alarm: float = FALSE_ALARM) -> tuple[Marked, ...]:
    """What the alarm says of it."""
    return marked(run.marks, run.against, step, false_alarm)


def _chosen(marks: list[frozenset[str]], poison: Poison, asked: Array, draw: np.random.Generator) -> tuple[str, Array]:
    """The mark, and the pairs that bear it."""
    if poison.trigger:
        chosen = np.zeros(len(marks), bool)
        chosen[draw.choice(asked, round(poison.trigger * len(asked)), replace=False)] = True
        return TRIGGER, chosen
    if not poison.word[1]:
        return "", np.zeros(len(marks), bool)
    count: dict[str, int] = {}
    for one in marks:
        for mark in one:
            count[mark] = count.get(mark, 0) + 1
    low, high = (share * len(marks) for share in poison.word)
    fit = sorted(mark for mark, pairs in count.items() if low <= pairs <= high and mark.startswith("the word"))
    mark = str(draw.choice(fit))
    return mark, np.array([mark in one for one in marks])


def _margins(x: Array, label: Array, domain: Array) -> Array:
    fold, out = fold_of(np.arange(len(label), dtype=np.uint64), FOLDS), np.zeros(len(label))
    for number in range(FOLDS):
        mine = fold == number
        model = head.fit_head(x, label.astype(float), (~mine).astype(float), domain.astype(int))
        out[mine] = head.margins(model, x[mine], domain[mine].astype(int))
    return out
