"""Alarms: what was steady in a run until it was so no more. PURE.

One table for all that is watched: signals over the shards that the judge saw, and over the rounds. An alarm is a jump of a signal
(`changepoints`), in the direction in which it is no good news.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from concord.kit.ids import unit_name
from concord.preference import answer_faults
from concord.preference.stages import JUDGING
from concord.report import alike, drift, round_signals
from concord.report.annotator_agreement import krippendorff
from concord.report.changepoints import EVIDENCE, Jump, Signal, bars, jumps
from concord.report.round_signals import Rounds, rounds_of
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, Stage


@dataclass(frozen=True)
class Watched:
    """What a jump of a signal needs to be an alarm, and what to do about it."""

    do: str
    rises: bool = True  # whether a rise alarms
    falls: bool = True
    # Rounds are few and their answers too, so that less has to do than over shards (benchmarks/reliability.py).
    evidence: float = EVIDENCE


ALIKE = "two annotators who answer alike"
_JUDGE = "see `concord replay`: the judge became another one there; mend it and have what came after judged anew"
_PEOPLE = (
    "look at what people answered since (other persons, criteria understood otherwise?) before you trust these rounds"
)
_LABELS = "compare the labels before and after (`concord replay`, the blobs of the rounds): were answers or labels tampered with?"
ROUNDS = 7.0
WATCHED = {
    drift.UNUSABLE: Watched(_JUDGE),
    drift.UNPARSED: Watched(_JUDGE),
    drift.FLIPPED: Watched(_JUDGE),
    drift.FIRST: Watched(_JUDGE),
    drift.LONGER: Watched(_JUDGE),
    drift.SURE: Watched(_JUDGE),
    drift.DISPUTED: Watched(_JUDGE),
    round_signals.OVERRULED: Watched(_PEOPLE, evidence=ROUNDS),
    round_signals.APART: Watched(_PEOPLE, falls=False, evidence=ROUNDS),
    round_signals.GOLD: Watched(_PEOPLE, falls=False, evidence=ROUNDS),
    round_signals.FLIPPED: Watched(_LABELS, falls=False, evidence=ROUNDS),
    round_signals.AGAINST: Watched(_LABELS, falls=False, evidence=ROUNDS),
    round_signals.TURNED: Watched(_LABELS, falls=False, evidence=ROUNDS),
}


@dataclass(frozen=True)
class Alarm:
    """A jump that alarms: from which unit or round on, and the share before and after, in [0, 1]."""

    signal: str
    since: str  # `LABEL/17`, `round 3`; empty where it is of the whole run
    round: int | None  # None: it lies between shards, or is of the whole run
    before: float  # or how it should be
    after: float
    picture: str
    says: str
    do: str


def alarms(events: Sequence[Event], config: RunConfig) -> tuple[Alarm, ...]:
    """All alarms of one run's facts (duplicates left out, in the order of the log), the judge's first, then people's."""
    return (*_of_shards(events, config), *of_rounds(events), *_of_people(events))


def of_rounds(events: Sequence[Event]) -> tuple[Alarm, ...]:
    """Those between rounds."""
    rounds = rounds_of(events)
    found = ((signal, jump) for signal in rounds.signals for jump in alarming(signal))
    return tuple(_of_round(rounds, signal, jump) for signal, jump in found)


def alarming(signal: Signal) -> list[Jump]:
    """The signal's jumps that are no good news."""
    how = WATCHED[signal.name]
    return [one for one in jumps(signal, how.evidence) if (how.rises if one.after > one.before else how.falls)]


def words(jump: Jump) -> str:
    """`verdicts that change with the order: from 12% to 48%`."""
    if jump.signal == drift.SURE:
        return f"{jump.signal} from {jump.before:.2f} to {jump.after:.2f}"
    return f"{jump.signal}: from {jump.before:.0%} to {jump.after:.0%}"


def _of_shards(events: Sequence[Event], config: RunConfig) -> list[Alarm]:
    """Of the stage that judges all pairs, before it of the pilot; of each shard its last try, in the order of the log."""
    last: dict[int, dict[int, Event]] = {stage: {} for stage in JUDGING}
    for event in events:
        if event.HasField("shard_labeled") and event.unit.stage in last:
            last[event.unit.stage].pop(event.unit.number, None)
            last[event.unit.stage][event.unit.number] = event
    shards = list(last[Stage.STAGE_LABEL].values())
    found = ((signal, jump) for signal in drift.signals(shards, config) for jump in alarming(signal))
    return [_alarm(signal, jump, unit_name(shards[jump.full].unit), None, words(jump)) for signal, jump in found]


def _of_people(events: Sequence[Event]) -> list[Alarm]:
    """Two who answer alike."""
    label: dict[int, int] = {}
    for said in answer_faults.standing(events):
        label.update(zip(said.pair_index, said.choice, strict=False))
    found = alike.alike((event.task_resolved for event in events if event.HasField("task_resolved")), label)
    return [
        Alarm(ALIKE, "", None, one.expected, one.same / one.shared, "", alike.words(one), alike.DO) for one in found
    ]


def _of_round(rounds: Rounds, signal: Signal, jump: Jump) -> Alarm:
    number = rounds.numbers[jump.at]
    alpha = _alpha(rounds, number) if signal.name == round_signals.APART else ""
    return _alarm(signal, jump, f"round {number}", number, words(jump) + alpha)


def _alpha(rounds: Rounds, number: int) -> str:
    """People's agreement before that round and from it on, chance taken off."""
    before, after = (
        krippendorff([vote for at in rounds.numbers if at and (at >= number) == late for vote in rounds.votes[at]])
        for late in (False, True)
    )
    return "" if before is None or after is None else f" (Krippendorff's alpha from {before:.2f} to {after:.2f})"


def _alarm(signal: Signal, jump: Jump, since: str, round_: int | None, says: str) -> Alarm:
    said = f"{says}, since {since}"
    return Alarm(signal.name, since, round_, jump.before, jump.after, bars(signal), said, WATCHED[signal.name].do)
