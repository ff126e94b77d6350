"""A run's state as the operators' pages say it: words and numbers, ready to be set. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from concord.client.run import steering
from concord.kit.plural import many
from concord.preference.call_costs import money
from concord.preference.judges import priced
from concord.preference.stages import HUMAN, STAGES
from concord.v1.events_pb2 import PauseReason
from concord.v1.runs_service_pb2 import RunStatus, RunView, StageView
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
        ("Pairs", f"{view.pairs:,}", f"{len(view.stages)} stages, {view.stages_ahead} ahead"),
        ("Votes", f"{view.votes:,}", f"of {view.human_budget:,}"),
        ("Judging", _spent(view), limit),
        ("Label error", error, audited if triaged.trust else "not known yet"),
        ("Open questions", *asked),
    )


def _spent(view: RunView) -> str:
    return money(view.usage.dollars) if view.usage.dollars or priced(view.config) else "–"


def _step(stage: StageView, pace: Pace) -> Step:
    title = STAGES[stage.stage].title if stage.stage in STAGES else f"stage {stage.stage}"
    name = title + (f" {stage.round}" if stage.round else "")
    done = 1.0 if stage.closed else stage.settled / stage.units if stage.units else 0.0
    what = many(stage.units, "question" if stage.stage in HUMAN else "unit")
    says = what if stage.closed else f"{stage.settled:,} of {what}"
    if stage.failed:
        says += f", {stage.failed:,} failed"
    if not stage.closed and pace.a_minute > 0:
        left = (stage.units - stage.settled) / pace.a_minute
        says += f"; {pace.a_minute:,.0f} a minute, about {many(max(1, round(left)), 'minute')} left"
    return Step(name, done, says, not stage.closed)
