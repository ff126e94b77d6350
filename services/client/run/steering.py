"""What may be told to a run that exists (pause, resume, cancel), where it stands then, and what to do next. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from concord.kit.errors import Refused
from concord.kit.plural import many
from concord.preference.judges import priced
from concord.v1.events_pb2 import PauseReason, Stage
from concord.v1.runs_service_pb2 import RunStatus, RunView

CREATED, RUNNING, PAUSED = RunStatus.RUN_STATUS_CREATED, RunStatus.RUN_STATUS_RUNNING, RunStatus.RUN_STATUS_PAUSED
CANCELLED = RunStatus.RUN_STATUS_CANCELLED


@dataclass(frozen=True)
class Order:
    """One of the three: which states it changes, and in which one it finds done what it would do."""

    word: str
    changes: tuple["RunStatus.ValueType", ...]
    done: "RunStatus.ValueType"


PAUSE = Order("pause", (RUNNING,), PAUSED)
RESUME = Order("resume", (PAUSED,), RUNNING)
CANCEL = Order("cancel", (CREATED, RUNNING, PAUSED), CANCELLED)

# What lets a paused run go on, by what paused it; {resume} is the command, {flag} what a command needs to read there.
AFTER_PAUSE: Mapping[int, str] = {
    PauseReason.PAUSE_REASON_MISALIGNED: "{resume} overrules that gate",
    PauseReason.PAUSE_REASON_BUDGET: "its `concord run …{flag}` command with a higher --dollars and --resume goes on",
    PauseReason.PAUSE_REASON_FAILED_UNITS: "{resume} tries what failed anew",
    PauseReason.PAUSE_REASON_DEFERRED: "it goes on by itself once that answers again",
    PauseReason.PAUSE_REASON_SILENT_JUDGE: (
        "{resume} has a mended judge asked again, with --accept-judge it goes on without those verdicts"
    ),
    PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE: "`concord resume {short} --accept-judge{flag}` goes on with these verdicts",
}
NEXT: Mapping[int, str] = {
    CREATED: "its `concord run …{flag}` command begins it",
    RUNNING: "its `concord run …{flag}` command goes on with it",
    RunStatus.RUN_STATUS_FINISHED: "`concord report {short}{flag}` makes its report again",
    CANCELLED: (
        "it stays cancelled; `concord run … --new WORD --reuse {short}{flag}` begins another one with the answers of "
        "this one's people"
    ),
    RunStatus.RUN_STATUS_CORRUPT: "`concord replay {short}{flag}` shows how far it can be read",
}


def is_due(order: Order, view: RunView) -> bool:
    """Whether the order still has something to change. Raises Refused where a run in this state can never take it."""
    if view.status in order.changes:
        return True
    # It would go on by itself: a caller may still hold it.
    if order is PAUSE and view.status == PAUSED and view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED:
        return True
    if view.status == order.done:
        return False
    raise Refused(f"there is nothing to {order.word}: {standing(view)}")


def standing(view: RunView, flag: str = "", alone: bool = False) -> str:
    """One line: where the run stands, why, and what to do next.

    `flag`: what a command needs to reach it there; `alone`: no process works on it, so that nothing happens by itself.
    """
    if alone and view.status == RUNNING:
        return f"run {view.run_id} is waiting{place(view)}: no process works on it now; {following(view, flag)}"
    why = f": {view.detail}" if view.detail else ""
    return f"run {view.run_id} is {status(view)}{place(view)}{why}; {following(view, flag)}"


def status(view: RunView) -> str:
    """The run's status in a word."""
    return RunStatus.Name(view.status).removeprefix("RUN_STATUS_").lower()


def place(view: RunView) -> str:
    """The open stage and how far it has come; empty where none is open."""
    if not view.stages or view.stages[-1].closed:
        return ""
    opened = view.stages[-1]
    name = Stage.Name(opened.stage).removeprefix("STAGE_") + (f".{opened.round}" if opened.round else "")
    return f" in {name} ({opened.settled:,} of {many(opened.units, 'unit')})"


def following(view: RunView, flag: str = "") -> str:
    """What to do next, with the command."""
    short = view.run_id[:8]
    resume = f"`concord resume {short}{flag}`"
    said = AFTER_PAUSE.get(view.pause_reason, "{resume} lets it go on") if view.status == PAUSED else NEXT[view.status]
    return said.format(short=short, flag=flag, resume=resume)


def stakes(view: RunView) -> tuple[str, ...]:
    """What cancelling the run loses and what stays, a line each."""
    spent = [f"{many(view.votes, 'vote')} of people"]
    if view.usage.calls:
        price = f"${view.usage.dollars:,.2f}" if view.usage.dollars or priced(view.config) else "price unknown"
        spent.append(f"{many(view.usage.calls, 'call')} of the judge ({price})")
    return (
        f"run {view.run_id} ({view.input_name}: {many(view.pairs, 'pair')}) is {status(view)}{place(view)} and took "
        f"{' and '.join(spent)}",
        "  lost: it ends here, without a dataset, and can never be resumed; questions that people hold are void",
        "  kept: its facts, people's answers (for another run: --reuse), verdicts that were paid for (not paid again)",
    )
