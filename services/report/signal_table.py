"""What each signal said of the labels, and how often people found it right. PURE."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from concord.preference.judges import column_name, spelled
from concord.preference.pilot import compared, rival
from concord.report.bias import comparable, overrules
from concord.report.history import Answer, Array, History
from concord.report.shares import Share, share_of

WORDS = {
    "order flip": "the verdict changes with the order",
    "log-probabilities": "the verdict's token is less sure than this judge usually is",
    "rubric": "scores of each answer alone",
    "votes": "the same judge, asked again",
    "criteria": "the same judge, by one criterion at a time",
    "taught": "the same judge, shown what people answered elsewhere",
    "own other prompts": "the same judge's other prompts",
}


@dataclass(frozen=True)
class Said:
    """One signal."""

    name: str
    says: str  # in words
    spoke: int  # pairs of which it says anything
    against: int  # of these: speaks against the label
    # How often people found the label wrong, of those that they were asked about: where it speaks against, and where for it.
    wrong_against: Share
    wrong_for: Share


def signals(history: History) -> tuple[Said, ...]:
    """Those that spoke, the judge's own first."""
    labels = history.labels
    labelled = np.isin(labels.choice, (1, 2))
    answers = comparable(history)
    pair = np.array([answer.pair for answer in answers], np.int64)
    wrong = np.array([overrules(history, answer) for answer in answers], bool)
    names = {column_name(helper): f"helper {spelled(helper)}" for helper in history.created.config.helpers}
    rows = [(name, WORDS.get(name, name), said) for name, said in labels.signals.items()]
    rows += [(name, names.get(name, name), said) for name, said in labels.helpers.items()]
    return tuple(_said(name, says, np.where(labelled, said, -1), pair, wrong) for name, says, said in rows)


def judges(history: History) -> str:
    """Judge and helpers on the answers that were drawn at random, in words; empty without helpers or answers."""
    drawn = [answer for answer in comparable(history) if answer.uniform]
    return compared(_rivals(history, drawn), "on the answers that were drawn at random")


def _rivals(history: History, answers: Sequence[Answer]) -> list:
    said = {answer.pair: answer.choice for answer in answers}
    judge = {pair: int(history.labels.choice[pair]) for pair in said}
    names = {column_name(helper): spelled(helper) for helper in history.created.config.helpers}
    return [
        rival(names.get(name, name), said, judge, _at(column, said)) for name, column in history.labels.helpers.items()
    ]


def _at(column: Array, pairs: Mapping[int, int]) -> dict[int, float]:
    return {pair: float(column[pair]) for pair in pairs}


def _said(name: str, says: str, against: Array, pair: Array, wrong: Array) -> Said:
    mine = against[pair] if len(pair) else np.zeros(0)
    speaks_against, speaks_for = mine > 0.5, (mine >= 0) & (mine < 0.5)
    return Said(
        name,
        says,
        spoke=int((against >= 0).sum()),
        against=int((against > 0.5).sum()),
        wrong_against=share_of(int(wrong[speaks_against].sum()), int(speaks_against.sum())),
        wrong_for=share_of(int(wrong[speaks_for].sum()), int(speaks_for.sum())),
    )
