"""Where the judge leans: the order of the answers, their length, and how often people see it otherwise. PURE."""

from dataclasses import dataclass

import numpy as np

from concord.report.history import Answer, Array, History
from concord.report.shares import Share, share_of
from concord.v1.events_pb2 import Stage
from concord.v1.pairs_pb2 import Choice


@dataclass(frozen=True)
class LengthBias:
    """How often the longer response is preferred, where one is longer.

    The pairs that people saw are not a random sample, so beside people stands the judge on the very same pairs.
    """

    judge: Share  # all judged pairs
    judge_where_asked: Share
    people: Share


@dataclass(frozen=True)
class Agreement:
    """How often people's decided answer is the judge's label."""

    pilot: Share
    audit: Share  # pairs drawn uniformly during the rounds
    chosen: Share  # pairs chosen because the label was doubtful: low by design


def order_flips(history: History) -> Share | None:
    """Verdicts that change with the order of the responses; None where one order was asked."""
    asked = history.labels.order_flipped >= 0
    return share_of(int((history.labels.order_flipped == 1).sum()), int(asked.sum())) if asked.any() else None


def length_bias(history: History) -> LengthBias:
    """The judge's taste for length, and people's."""
    labels, answers = history.labels, comparable(history)
    pair = np.array([answer.pair for answer in answers], dtype=np.int64)
    said = np.array([answer.choice for answer in answers], dtype=np.int8)
    return LengthBias(
        judge=_longer(labels.choice, labels.length_difference),
        judge_where_asked=_longer(labels.choice[pair], labels.length_difference[pair]),
        people=_longer(said, labels.length_difference[pair]),
    )


def agreement(history: History) -> Agreement:
    """People against the judge, by how the pairs were drawn."""
    answers = comparable(history)
    pilot = [answer for answer in answers if answer.stage == Stage.STAGE_PILOT_ANNOTATE]
    later = [answer for answer in answers if answer.stage != Stage.STAGE_PILOT_ANNOTATE]
    audit = [answer for answer in later if answer.uniform]
    chosen = [answer for answer in later if not answer.uniform]
    return Agreement(_agreed(history, pilot), _agreed(history, audit), _agreed(history, chosen))


def comparable(history: History) -> list[Answer]:
    """Decided answers on pairs where the judge has a label; its tie is none that people could overrule."""
    labelled = np.isin(history.labels.choice, (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND))
    return [answer for answer in history.answers if answer.decided and labelled[answer.pair]]


def overrules(history: History, answer: Answer) -> bool:
    """Whether a comparable answer is against the judge's label."""
    return bool(history.labels.choice[answer.pair] != answer.choice)


def _agreed(history: History, answers: list[Answer]) -> Share:
    return share_of(sum(not overrules(history, answer) for answer in answers), len(answers))


def _longer(choice: Array, length_difference: Array) -> Share:
    usable = (length_difference != 0) & np.isin(choice, (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND))
    longer = (length_difference[usable] > 0) == (choice[usable] == Choice.CHOICE_FIRST)
    return share_of(int(longer.sum()), int(usable.sum()))
