"""Round by round: what people were asked, and what it bought. PURE."""

from collections.abc import Sequence
from dataclasses import dataclass

from concord.preference.stages import HUMAN
from concord.report import ledger
from concord.report.accuracy import LabelAccuracy, Round
from concord.report.bias import comparable, overrules
from concord.report.history import History


@dataclass(frozen=True)
class Bought:
    """One batch of questions; round 0 is the pilot. Accuracies are over all labels, in [0, 1]; None without truth."""

    round: int
    asked: int
    answered: int
    votes: int
    overruled: int  # the judge's labels that people changed
    flipped: int | None  # labels that the model changed after these answers; None where it has not looked yet
    accuracy_before: float | None
    accuracy_after: float | None


def bought(history: History, rounds: Sequence[Round], measured: LabelAccuracy) -> tuple[Bought, ...]:
    """Each batch in order, and the state of the labels before and after it."""
    batches = sorted({answer.round for answer in history.answers if answer.stage in HUMAN})
    return tuple(_bought(history, number, rounds, measured) for number in batches)


def _bought(history: History, number: int, rounds: Sequence[Round], measured: LabelAccuracy) -> Bought:
    answers = [answer for answer in history.answers if answer.round == number]
    before = next((r for r in rounds if r.round == number), None)
    after = next((r for r in rounds if r.round > number), None)
    # The last batch has no round behind it where the budget ended first: then the dataset itself is what came of it.
    final = measured.final if history.rows is not None else None
    return Bought(
        round=number,
        asked=len(answers),
        answered=sum(answer.given for answer in answers),
        votes=ledger.votes(answers),
        overruled=sum(overrules(history, answer) for answer in comparable(history) if answer.round == number),
        flipped=after.flipped if after else None,
        accuracy_before=measured.start if number == 0 else before.accuracy if before else None,
        accuracy_after=after.accuracy if after else final,
    )


def curve(rounds: Sequence[Round], measured: LabelAccuracy, votes: int) -> tuple[tuple[int, float], ...]:
    """(votes of people, share of right labels) from the judge alone to the dataset; empty without truth.

    Only the last point where the rounds before it tell no labels: a line through the judge's would be made up.
    """
    told = [(r.votes, r.accuracy) for r in rounds]
    before = [(0, measured.start), *told] if all(known is not None for _, known in told) else told[-1:]
    points = [*before, (votes, measured.final)]
    # Of two states after the same votes the later one is the method's answer.
    return tuple({at: right for at, right in points if right is not None}.items())
