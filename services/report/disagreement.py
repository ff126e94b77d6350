"""Where people overruled the judge, grouped by what may be behind it: what criteria would have to say. PURE."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from concord.preference import annotations
from concord.report.history import History, Read, texts_of
from concord.report.shares import Share, share_of
from concord.v1.events_pb2 import StageManifest
from concord.v1.pairs_pb2 import Choice, Pair

# Under this many bytes of difference in the logarithm two responses are as long as each other.
_AS_LONG = 0.05
_SIDES = {Choice.CHOICE_FIRST: "first", Choice.CHOICE_SECOND: "second"}


@dataclass(frozen=True, eq=False)
class Answered:
    """One pair that people decided, and what the judge said of it."""

    index: int
    pair: Pair
    people: int  # a Choice: first or second
    judge: int  # the same; 0: no usable verdict
    drawn: bool  # at random: in the pilot or as an audit
    confidence: float | None  # the judge's own
    flipped: int  # 1: its verdict changes with the order, 0: it does not, -1: not known
    longer: int  # 1: it chose the longer response, -1: the shorter one, 0: both are as long
    comment: str

    @property
    def overruled(self) -> bool:
        """Whether people say otherwise."""
        return self.judge in _SIDES and self.people != self.judge


@dataclass(frozen=True)
class Group:
    """Answered pairs that have something in common, and how many of them people overruled."""

    name: str
    overruled: Share


def answered(history: History, read: Read) -> tuple[Answered, ...]:
    """All pairs that people decided for one of the two, in this run and in those that it goes on from; by their index."""
    own = {answer.pair: answer for answer in history.answers if answer.decided}
    before = annotations.taken_over(
        history.created.config, lambda uri: StageManifest.FromString(read(uri)), history.without
    )
    people = {int(at): _choice(p) for at, p in zip(before.pair, before.p_first, strict=True) if p in (0.0, 1.0)}
    people |= {index: answer.choice for index, answer in own.items()}
    # Of what checks settled the judge said nothing.
    spared = history.spared
    people = {index: choice for index, choice in people.items() if index not in spared}
    shards, comments = texts_of(history, sorted(people), read), _comments(history)
    labels = history.labels
    out = []
    for index, choice in sorted(people.items()):
        said, sure = int(labels.choice[index]), float(labels.confidence[index])
        mine = own.get(index)
        out.append(
            Answered(
                index=index,
                pair=shards[index].pairs[index - shards[index].first_index],
                people=choice,
                judge=said,
                drawn=mine is not None and mine.uniform,
                confidence=sure if sure >= 0 and said else None,
                flipped=int(labels.order_flipped[index]),
                longer=_longer(said, float(labels.length_difference[index])),
                comment=next((comments[id_] for id_ in (mine.annotation_ids if mine else ()) if id_ in comments), ""),
            )
        )
    return tuple(out)


def groups(found: Sequence[Answered]) -> Mapping[str, tuple[Group, ...]]:
    """By domain, length, the judge's confidence and the order; what does not divide the pairs is left out."""
    judged = [one for one in found if one.judge in _SIDES]
    made = {name: _grouped(judged, key) for name, key in _KEYS.items()}
    return {name: shares for name, shares in made.items() if len(shares) > 1}


def overruled_of(found: Iterable[Answered]) -> Share:
    """How many of those that the judge labelled people overruled."""
    judged = [one for one in found if one.judge in _SIDES]
    return share_of(sum(one.overruled for one in judged), len(judged))


def cases(found: Iterable[Answered]) -> list[Answered]:
    """The overruled ones, those of which the judge was surest first."""
    return sorted((one for one in found if one.overruled), key=lambda one: (-(one.confidence or 0.0), one.index))


def _grouped(found: Sequence[Answered], key: Callable[[Answered], str]) -> tuple[Group, ...]:
    names = {key(one) for one in found}
    made = (Group(name, overruled_of(one for one in found if key(one) == name)) for name in sorted(names))
    return tuple(sorted(made, key=lambda group: -(group.overruled.share or 0.0)))


def _sure(one: Answered) -> str:
    if one.confidence is None:
        return "it gave no confidence"
    return (
        "over 90 % sure" if one.confidence > 0.9 else "70 to 90 % sure" if one.confidence > 0.7 else "at most 70 % sure"
    )


_KEYS: Mapping[str, Callable[[Answered], str]] = {
    "domain": lambda one: one.pair.domain or "no domain",
    "length": lambda one: {1: "it chose the longer", -1: "it chose the shorter", 0: "both are as long"}[one.longer],
    "confidence": _sure,
    "order": lambda one: {1: "its verdict changes with the order", 0: "the same in both orders"}.get(
        one.flipped, "one order known"
    ),
}


def _longer(choice: int, difference: float) -> int:
    if choice not in _SIDES or abs(difference) < _AS_LONG:
        return 0
    return 1 if (difference > 0) == (choice == Choice.CHOICE_FIRST) else -1


def _choice(p_first: float) -> int:
    return Choice.CHOICE_FIRST if np.isclose(p_first, 1.0) else Choice.CHOICE_SECOND


def _comments(history: History) -> Mapping[str, str]:
    return {
        event.event_id: event.annotation_submitted.comment
        for event, _ in history.events
        if event.HasField("annotation_submitted") and event.annotation_submitted.comment
    }
