"""What a run cost, stage by stage: calls, tokens, dollars, seconds, and people's votes. PURE; sums over its facts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import isfinite
from statistics import median

from concord.preference import stages
from concord.report.history import Answer, History
from concord.v1.events_pb2 import Event
from concord.v1.events_pb2 import Usage as UsageFact


@dataclass(frozen=True)
class Usage:
    """What was used; `seconds` are the workers' and may overlap."""

    calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    # None: a judge's price is not known, and nothing was reckoned.
    dollars: float | None = 0.0
    seconds: float = 0.0

    def plus(self, used: "Usage | UsageFact") -> "Usage":
        """The sum of both; what is no amount counts for nothing."""
        more = {f.name: getattr(used, f.name) or 0 for f in fields(Usage)}
        return Usage(
            *(
                (getattr(self, name) or 0) + (amount if isfinite(amount) and amount > 0 else 0)
                for name, amount in more.items()
            )
        )

    def where_price_is(self, known: bool) -> "Usage":
        """The same; without a price a sum of nothing for calls that were paid is no sum."""
        return replace(self, dollars=None) if self.calls and not self.dollars and not known else self


@dataclass(frozen=True)
class StageCost:
    """One kind of stage, all its rounds together."""

    stage: str
    rounds: int
    units: int
    failed_units: int
    usage: Usage
    votes: int
    wall_seconds: float  # between opening and closing, pauses and waiting for people included


@dataclass(frozen=True)
class StageTime:
    """One stage in time, from the log's append times."""

    stage: str
    round: int
    started_s: float  # since the run's first fact
    wall_seconds: float | None  # None: not closed


@dataclass(frozen=True)
class HumanTime:
    """People's time. `minutes` is an assumption (votes x median seconds of an answer), None where no time is recorded."""

    median_seconds: float | None
    minutes: float | None


def stage_name(stage: int) -> str:
    """`LABEL` for STAGE_LABEL; `RUN` for facts that belong to no stage."""
    return stages.stage_name(stage) if stage else "RUN"


def total(history: History) -> Usage:
    """All that the run used."""
    return _sum([event for event, _ in history.events])


def timeline(history: History) -> tuple[StageTime, ...]:
    """The stages in the order in which they opened."""
    begin = history.events[0][1]
    opened, closed = {}, {}
    for event, at in history.events:
        match event.WhichOneof("kind"):
            case "stage_opened":
                opened[event.stage_opened.stage, event.stage_opened.round] = at
            case "stage_closed":
                closed[event.stage_closed.stage, event.stage_closed.round] = at
    return tuple(
        StageTime(stage_name(stage), round_, at - begin, _span(at, closed.get((stage, round_))))
        for (stage, round_), at in opened.items()
    )


def ledger(history: History) -> tuple[StageCost, ...]:
    """The stages in the order in which each kind first opened, rounds summed up."""
    by_stage: dict[int, list[Event]] = {}
    opened: dict[int, list[int]] = {}
    failed: dict[int, int] = {}
    for event, _ in history.events:
        match event.WhichOneof("kind"):
            case "stage_opened":
                opened.setdefault(event.stage_opened.stage, []).append(event.stage_opened.units)
            case "stage_closed":
                failed[event.stage_closed.stage] = (
                    failed.get(event.stage_closed.stage, 0) + event.stage_closed.failed_units
                )
        by_stage.setdefault(event.unit.stage, []).append(event)
    wall = _wall(timeline(history))
    # Facts outside any stage cost nothing now; should one ever, the total must still be the sum of the rows.
    outside = [] if _sum(by_stage.get(0, [])) == Usage() else [0]
    return tuple(
        StageCost(
            stage=stage_name(stage),
            rounds=len(opened.get(stage, ())),
            units=sum(opened.get(stage, ())),
            failed_units=failed.get(stage, 0),
            usage=_sum(by_stage.get(stage, [])),
            votes=votes(answer for answer in (*history.answers, *history.compared) if answer.stage == stage),
            wall_seconds=wall.get(stage_name(stage), 0.0),
        )
        for stage in [*opened, *outside]
    )


def human_time(history: History) -> HumanTime:
    """How long people's votes may have taken."""
    seconds = [
        event.annotation_submitted.seconds
        for event, _ in history.events
        if event.WhichOneof("kind") == "annotation_submitted" and event.annotation_submitted.seconds > 0
    ]
    middle = median(seconds) if seconds else None
    given = votes((*history.answers, *history.compared))
    return HumanTime(middle, given * middle / 60 if middle is not None else None)


def late_votes(history: History) -> int:
    """Standing answers to settled questions that the settlement did not count."""
    counted = {annotation for answer in history.answers for annotation in answer.annotation_ids}
    settled = {answer.pair for answer in history.answers}
    newest: dict[tuple[int, str], tuple[int, str]] = {}
    for event, _ in history.events:
        said, kind = event.annotation_submitted, event.WhichOneof("kind")
        if kind == "annotation_submitted" and said.pair_index in settled and not said.gold:
            who = (said.pair_index, said.annotator)
            newest[who] = max(newest.get(who, (0, "")), (said.revision, event.event_id))
        if kind == "annotation_withdrawn":
            newest.pop((event.annotation_withdrawn.pair_index, event.annotation_withdrawn.annotator), None)
    return sum(annotation not in counted for _, annotation in newest.values())


def votes(answers: Iterable[Answer]) -> int:
    """How many annotations counted."""
    return sum(len(answer.annotation_ids) for answer in answers)


def _sum(events: Sequence[Event]) -> Usage:
    used = Usage()
    for event in events:
        if event.HasField("usage"):
            used = used.plus(event.usage)
    return used


def _span(start: float, end: float | None) -> float | None:
    return None if end is None else end - start


def _wall(times: Sequence[StageTime]) -> Mapping[str, float]:
    wall: dict[str, float] = {}
    for time in times:
        wall[time.stage] = wall.get(time.stage, 0.0) + (time.wall_seconds or 0.0)
    return wall
