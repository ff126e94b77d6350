"""A run's state as the operators' pages say it: words and numbers, ready to be set. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from concord.client.run import steering
from concord.kit.plural import many
from concord.preference.call_costs import money
from concord.preference.judges import priced
from concord.preference.stages import HUMAN, STAGES
from concord.v1.events_pb2 import PauseReason
from concord.v1.runs_service_pb2 import DeadLetterView, RunStatus, RunView, StageView
from concord.v1.tasks_service_pb2 import GetQueueResponse

OPEN = (RunStatus.RUN_STATUS_RUNNING, RunStatus.RUN_STATUS_PAUSED)
JUDGE = (PauseReason.PAUSE_REASON_SILENT_JUDGE, PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE)
# A pace over less than this is chance.
LEAST_S = 5.0


@dataclass(frozen=True)
class Pace:
    """How fast the open stage goes, from what was seen of it."""

    step: tuple[int, int] = (0, 0)
    since: float = 0.0
    first: int = 0
    at: float = 0.0
    settled: int = 0

    def then(self, view: RunView, now: float) -> "Pace":
        """After another look; another stage begins anew."""
        last = view.stages[-1] if view.stages else StageView()
        if (last.stage, last.round) != self.step:
            return Pace((last.stage, last.round), now, last.settled, now, last.settled)
        return Pace(self.step, self.since, self.first, now, last.settled)

    @property
    def a_minute(self) -> float:
        """Units a minute; 0: not known yet."""
        seconds = self.at - self.since
        return 60 * (self.settled - self.first) / seconds if seconds >= LEAST_S else 0.0


@dataclass(frozen=True)
class Brief:
    """A run in a list."""

    run_id: str
    name: str
    status: str
    place: str
    pairs: str
    votes: str
    money: str
    is_side: bool


@dataclass(frozen=True)
class Step:
    """A stage of the run, with how much of it is done, in [0, 1]."""

    name: str
    done: float
    says: str
    is_open: bool


@dataclass(frozen=True)
class Standing:
    """One run now."""

    status: str
    doing: str
    detail: str
    numbers: tuple[tuple[str, str, str], ...]  # (what, the number, what it is a part of)
    steps: tuple[Step, ...]
    refused: tuple[str, ...]
    is_open: bool
    is_paused: bool
    about_the_judge: bool
    has_failed: bool


def brief(view: RunView) -> Brief:
    """A line of the list."""
    votes = f"{view.votes:,} of {view.human_budget:,}" if view.human_budget else f"{view.votes:,}"
    name, status = view.input_name or "unnamed", steering.status(view)
    return Brief(
        view.run_id,
        name,
        status,
        _doing(view),
        f"{view.pairs:,}",
        votes,
        _spent(view),
        bool(view.side_of),
    )


@dataclass(frozen=True)
class GivenUp:
    """Items that were given up alike: of one stage, by one service, for one reason, and with one thing to be done."""

    what: str
    units: str
    service: str
    tries: str
    error: str
    at: str
    # What putting them back would come to; or how, why and when that was done.
    says: str
    goes_back: bool


# The numbers of so many units are said.
MOST_UNITS = 20


def given_up(letters: Iterable[DeadLetterView]) -> list[GivenUp]:
    """What was given up, alike together: what may go back first, then the newest first."""
    alike: dict[tuple[object, ...], list[DeadLetterView]] = {}
    for one in letters:
        kind = (one.unit.stage, one.unit.round, one.unit.retry, one.service, one.attempts, one.error, one.says)
        alike.setdefault((*kind, one.goes_back, one.put_back_at > 0), []).append(one)
    return sorted((_alike(group) for group in alike.values()), key=lambda one: not one.goes_back)


def _alike(group: Sequence[DeadLetterView]) -> GivenUp:
    first = group[0]
    what = step_title(first.unit.stage, first.unit.round)
    numbers = sorted(one.unit.number for one in group)
    units = ", ".join(f"{number:,}" for number in numbers[:MOST_UNITS]) + (" …" if numbers[MOST_UNITS:] else "")
    tries = f"after {many(first.attempts, 'attempt')}"
    if first.unit.retry:
        tries += f", tried anew {many(first.unit.retry, 'time')} before"
    begin, end = (utc(pick(one.at for one in group)) for pick in (min, max))
    back_at = max(one.put_back_at for one in group)
    return GivenUp(
        what,
        f"{many(len(numbers), 'unit')}: {units}",
        first.service,
        tries,
        first.error,
        begin if begin == end else f"{begin} to {end[11:] if begin[:10] == end[:10] else end}",
        first.says + (f", {utc(back_at)}" if back_at else ""),
        first.goes_back,
    )


def utc(at: float) -> str:
    """A time of the log as the pages say it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def standing(view: RunView, queue: GetQueueResponse, pace: Pace | None = None) -> Standing:
    """All that the page shows of a run."""
    return Standing(
        steering.status(view),
        _doing(view) if view.status == RunStatus.RUN_STATUS_RUNNING else "",
        view.detail,
        tuple(_numbers(view, queue)),
        tuple(_step(stage, pace or Pace()) for stage in reversed(view.stages)),
        tuple(view.refused[-3:]),
        view.status in OPEN,
        view.status == RunStatus.RUN_STATUS_PAUSED,
        view.pause_reason in JUDGE,
        view.pause_reason == PauseReason.PAUSE_REASON_FAILED_UNITS or any(stage.failed for stage in view.stages),
    )


def _doing(view: RunView) -> str:
    """The open stage in words, and how far it is; empty where none is open."""
    last = view.stages[-1] if view.stages else StageView(closed=True)
    if last.closed:
        return ""
    words = STAGES[last.stage].doing if last.stage in STAGES else f"stage {last.stage}"
    return f"{words}: {last.settled:,} of {last.units:,}"


def _numbers(view: RunView, queue: GetQueueResponse) -> Sequence[tuple[str, str, str]]:
    triaged = view.last_round
    limit = f"of {money(view.dollar_budget)}" if view.dollar_budget else "no limit"
    error = f"{triaged.expected_error:.1%}" if triaged.trust else "–"
    audited = f"audited {triaged.audited_error:.1%}" if triaged.HasField("audited_error") else "estimated"
    if queue.stage in HUMAN:
        asked = (f"{queue.open:,}", f"{queue.leased:,} held by people now, {queue.resolved:,} settled")
    else:
        asked = ("0", "nobody is asked now")
    return (
        ("Pairs", f"{view.pairs:,}", f"{many(len(view.stages), 'stage')}, {view.stages_ahead} ahead"),
        ("Votes", f"{view.votes:,}", f"of {view.human_budget:,}"),
        ("Judging", _spent(view), limit),
        ("Label error", error, audited if triaged.trust else "not known yet"),
        ("Open questions", *asked),
    )


def _spent(view: RunView) -> str:
    return money(view.usage.dollars) if view.usage.dollars or priced(view.config) else "–"


def step_title(stage: int, round_: int) -> str:
    """A stage by its title; one of a newer version by its number."""
    title = STAGES[stage].title if stage in STAGES else f"stage {stage}"
    return title + (f" {round_}" if round_ else "")


def _step(stage: StageView, pace: Pace) -> Step:
    name = step_title(stage.stage, stage.round)
    done = 1.0 if stage.closed else stage.settled / stage.units if stage.units else 0.0
    what = many(stage.units, "question" if stage.stage in HUMAN else "unit")
    says = what if stage.closed else f"{stage.settled:,} of {what}"
    if stage.failed:
        says += f", {stage.failed:,} failed"
    if not stage.closed and pace.a_minute > 0:
        left = (stage.units - stage.settled) / pace.a_minute
        says += f"; {pace.a_minute:,.0f} a minute, about {many(max(1, round(left)), 'minute')} left"
    return Step(name, done, says, not stage.closed)
