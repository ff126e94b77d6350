"""Why a run does not move, from its state and a clock that is passed in. PURE."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from concord.kit.enums import word
from concord.kit.plural import many
from concord.preference import answer_faults, order_flips
from concord.preference.stages import HUMAN, stage_name
from concord.report.alarms import Alarm
from concord.runs.state import RunState
from concord.tasks.queue import TasksState, counted
from concord.v1.events_pb2 import PauseReason, ShardLabeled
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RunStatus

_SHOWN = 3
_QUOTED = 120
# A larger share of pairs without a verdict is worth a word.
MOST_WITHOUT = 0.05
# Work is issued again after two minutes of silence; twice that, and something else is wrong.
SILENT_S = 300.0
_AGAIN = "give the same `concord run` command again, or start the services with `concord serve`"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, what, and what to do about it."""

    about: str  # "installation", "settings", "backends", "services" or "run"
    says: str
    do: str


@dataclass(frozen=True)
class Observed:
    """What was looked at beside the run's state."""

    now: float  # Unix seconds
    last_fact_at: float | None  # append time of its last fact
    facts_behind: int  # facts on the log that the state does not hold yet
    dead_letters: Sequence[str]  # their errors
    working: Collection[str] | None  # services that run on this log; None where that cannot be seen
    corrupt: str = ""
    lost: Sequence[str] = ()  # blobs that the run needs and that are not there
    judged: Sequence[ShardLabeled] = ()  # what the judge said, as far as it counts
    alarms: Sequence[Alarm] = ()  # what was steady and then was so no more


def run_notes(run: RunState, seen: Observed) -> tuple[str, ...]:
    """Where the run stands, in a line or two."""
    view, status = run.view, word(RunStatus, run.view.status)
    notes = [
        f"run {view.run_id} is {status}: {many(view.pairs, 'pair')}, {view.votes:,} of {many(view.human_budget, 'vote')}"
    ]
    if view.dollar_budget:
        notes.append(f"${view.usage.dollars:.2f} of ${view.dollar_budget:.2f} are spent")
    if run.open is not None:
        notes.append(
            f"stage {_stage(run)}: {len(run.settled):,} of {many(run.open.units, 'unit is', 'units are')} settled"
        )
    if seen.last_fact_at is not None:
        notes.append(f"its last fact is {_ago(seen.now - seen.last_fact_at)} old")
    return tuple(notes)


def run_findings(run: RunState, tasks: TasksState, seen: Observed) -> tuple[Finding, ...]:
    """Everything that keeps the run from moving, the most telling first; nothing for a run that is done or on its way."""
    status = run.view.status
    if seen.corrupt:
        return (
            _run(f"its state cannot be trusted: {seen.corrupt}", "keep the folder as it is and report this as a bug"),
        )
    found = [*_broken(seen)]
    if status == RunStatus.RUN_STATUS_FINISHED:
        return (*found, *_judge(seen))
    if status == RunStatus.RUN_STATUS_CANCELLED:
        return (
            *found,
            _run(
                f"it is cancelled: {run.view.detail or 'no reason given'}",
                "begin another with `concord run … --new WORD`",
            ),
        )
    if status in (RunStatus.RUN_STATUS_CREATED, RunStatus.RUN_STATUS_UNSPECIFIED):
        says = f"it was created, but not started: {many(run.view.pairs, 'pair has', 'pairs have')} come in"
        return (*found, _run(says, "give the same `concord run` command again"))
    paused = [_paused(run)] if status == RunStatus.RUN_STATUS_PAUSED else []
    standing = [] if paused else [*_people(run, tasks), *_idle(run, seen)]
    return (*found, *paused, *standing, *_units(run), *_judge(seen), *_letters(seen))


def _paused(run: RunState) -> Finding:
    why = run.view.detail or "no reason given"
    resume = "the same `concord run` command with --resume"
    match run.view.pause_reason:
        case PauseReason.PAUSE_REASON_MISALIGNED:
            return _run(
                f"the pilot's gate stopped it: {why}",
                "look at the pairs where people and judge differ (`concord report`), mend the judge or its criteria and "
                f"go on from this run (--from RUN --criteria …); {resume} goes on all the same",
            )
        case PauseReason.PAUSE_REASON_BUDGET:
            return _run(f"its money is spent: {why}", f"raise the limit (--dollars), then {resume}")
        case PauseReason.PAUSE_REASON_FAILED_UNITS:
            return _run(
                f"too many units failed: {why}",
                f"mend the cause, which the failed units name, then {resume} tries them anew",
            )
        case PauseReason.PAUSE_REASON_SILENT_JUDGE:
            return _run(
                f"the judge has fallen silent: {why}",
                f"`concord replay` shows since when; mend the judge, then {resume} has it judge those pairs anew; "
                "--accept-judge beside it goes on without their verdicts",
            )
        case PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE:
            return _run(
                f"the judge follows the place of an answer: {why}",
                "another model, or criteria that it can follow, in a run that goes on from this one (--from RUN --judge … "
                f"--criteria …); {resume} --accept-judge goes on with these verdicts",
            )
        case PauseReason.PAUSE_REASON_DEFERRED:
            return _run(
                f"it waits for something that does not answer: {why}",
                "bring that up; the run goes on by itself while services run, else " + _AGAIN,
            )
        case _:
            return _run(f"somebody paused it: {why}", f"{resume} lets it go on")


def _people(run: RunState, tasks: TasksState) -> Iterator[Finding]:
    """Questions that nobody has answered yet."""
    if run.open is None or run.open.stage not in HUMAN:
        return
    waiting = [task for task in tasks.tasks.values() if not task.resolved]
    if not waiting:
        return
    given = sum(len(counted(task)) for task in waiting)
    missing = max(1, tasks.run.quorum) * len(waiting) - given
    questions = f"{len(waiting):,} of {many(len(tasks.tasks), 'question')} of stage {_stage(run)}"
    says = f"{questions} {'waits' if len(waiting) == 1 else 'wait'} for people; {many(missing, 'vote is', 'votes are')} missing"
    who = run.view.config.annotators or "not named"
    yield _run(says, f"people of this run are `{who}`: let them answer" + _how(who))


def _how(who: str) -> str:
    kind = who.split(":")[0]
    if kind in ("file", "people"):
        return " (`concord annotate` asks here), then give the same `concord run` command again"
    if kind in ("recorded", "simulated", "function"):
        return "; these answer while `concord run` runs, so give the same command again"
    return ", or let the deadline (annotation_deadline_s) end the wait"


def _idle(run: RunState, seen: Observed) -> Iterator[Finding]:
    """Nobody works on it, or whoever should is silent."""
    behind = f"; {many(seen.facts_behind, 'fact is', 'facts are')} not taken in yet" if seen.facts_behind else ""
    if seen.working is not None and not seen.working:
        yield _run(f"no process works on it{behind}", _AGAIN)
        return
    silent = seen.now - seen.last_fact_at if seen.last_fact_at is not None else 0.0
    human = run.open is not None and run.open.stage in HUMAN
    if silent > SILENT_S and not human:
        yield _run(
            f"nothing has happened for {_ago(silent)}{behind}",
            "read concord.log in CONCORD_HOME; units may be slow, or a service may hang: then start it again",
        )


def _units(run: RunState) -> Iterator[Finding]:
    """Failed units and the one that waits, each with its reason."""
    failed = [
        (number, event.unit_failed) for number, event in sorted(run.settled.items()) if event.HasField("unit_failed")
    ]
    if failed:
        stage, units = _stage(run), run.open.units if run.open else len(failed)
        which = "; ".join(f"{stage}/{number} after {said.attempts}: {said.error}" for number, said in failed[:_SHOWN])
        more = f"; and {len(failed) - _SHOWN:,} more" if len(failed) > _SHOWN else ""
        yield _run(
            f"{len(failed):,} of {many(units, 'unit')} failed (unit after so many tries: why): {which}{more}",
            f"mend the cause, then --resume; `concord replay {run.view.run_id[:8]} --events` shows every fact",
        )
    waits = (
        run.view.status == RunStatus.RUN_STATUS_PAUSED and run.view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED
    )
    # A run that is paused for it has said so already.
    if run.deferral is not None and not waits:
        yield _run(
            f"unit {_stage(run)}/{run.deferral.number} is put off: {run.deferral.reason}",
            f"it is tried again after {run.deferral.retry_after_s:.0f} s; bring up what it needs",
        )


def _broken(seen: Observed) -> Iterator[Finding]:
    if seen.lost:
        yield _run(
            f"{len(seen.lost):,} of the files it needs are not there: {', '.join(seen.lost[:_SHOWN])}",
            "put back the folder that CONCORD_BLOB_URL names from a copy",
        )


def _judge(seen: Observed) -> Iterator[Finding]:
    """Pairs without a verdict, with what was answered instead, and verdicts that follow the place of an answer."""
    choices = [choice for said in seen.judged for choice in said.choice]
    without = choices.count(Choice.CHOICE_UNSPECIFIED)
    if without > MOST_WITHOUT * len(choices):
        whole = f"{without:,} of {many(len(choices), 'pair')} {'has' if without == 1 else 'have'} no usable verdict of the judge"
        causes = answer_faults.collected(seen.judged)
        for found in causes:
            shown = [f"“{answer_faults.short(kept.text, _QUOTED)}”" for kept in found.examples[:1]]
            yield _run(": ".join((whole, found.words, *shown)), found.cause.do)
        if not causes:
            yield _run(whole, "`concord replay` shows since when")
    flips = order_flips.flips_of(seen.judged)
    if flips.one_sided:
        says = f"the judge follows the place of an answer: {order_flips.words(flips)}"
        yield _run(says, "take another model, or criteria that it can follow (--from RUN --judge … --criteria …)")
    for alarm in seen.alarms:
        yield _run(alarm.says, alarm.do)


def _letters(seen: Observed) -> Iterator[Finding]:
    if seen.dead_letters:
        first = "; ".join(sorted(set(seen.dead_letters))[:_SHOWN])
        yield _run(
            f"{len(seen.dead_letters):,} of its items lie among the dead letters: {first}",
            "nothing is lost: mend the cause, and --resume issues their units anew",
        )


def _stage(run: RunState) -> str:
    """`TRIAGE.2`, as `replay --unit` has it."""
    if run.open is None:
        return "none"
    name = stage_name(run.open.stage)
    return f"{name}.{run.open.round}" if run.open.round else name


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _run(says: str, do: str) -> Finding:
    return Finding("run", says, do)
