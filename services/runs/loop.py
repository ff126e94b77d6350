"""The loop's state machine: `evolve` folds facts, `due` says what should be true and is not. Pure.

`due` is level-triggered: it looks at the state alone, so a crash between a fact and the reaction to it loses nothing.
A stage's units are fixed before any work goes out, and a stage is complete when each unit is settled: a set, no count.
"""

from collections.abc import Sequence

from concord.kit.enums import short
from concord.kit.ids import event_id, uri_of, work_id
from concord.kit.loop.fold import Append, Context, Dispatch
from concord.preference.pilot import misaligned
from concord.preference.stages import HUMAN
from concord.runs import judge_health, work
from concord.runs.state import RunState
from concord.v1.events_pb2 import Event, PauseReason, Stage, StageClosed, StageManifest, StageOpened
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RunStatus

# Without these the rest of the loop has nothing to stand on: one failure pauses the run.
NEEDED = frozenset(work.TOPIC_OF) - {Stage.STAGE_PILOT_LABEL, Stage.STAGE_LABEL}


def due(state: RunState, context: Context, reissue_after_s: float = 120.0) -> Sequence[Append | Dispatch]:
    """What should stand in the log and does not."""
    view = state.view
    if view.status == RunStatus.RUN_STATUS_PAUSED and view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED:
        return _probe(state, context)
    if view.status != RunStatus.RUN_STATUS_RUNNING:
        return ()
    if state.deferral is not None:
        detail = f"{state.deferral.reason}; tried again every {state.deferral.retry_after_s:.0f} s"
        return (_pause(state, PauseReason.PAUSE_REASON_DEFERRED, detail),)
    if state.open is None:
        return _next(state, context)
    # Before the stage may close: the unit that failed may well be the last that was missing.
    if reason := _too_many_failed(state):
        return (_pause(state, PauseReason.PAUSE_REASON_FAILED_UNITS, reason),)
    if reason := _silence(state):
        return (_pause(state, PauseReason.PAUSE_REASON_SILENT_JUDGE, reason),)
    if len(state.settled) >= state.open.units:
        return (_close(state),)
    return () if state.open.stage in HUMAN else _window(state, context, reissue_after_s)


def _next(state: RunState, context: Context) -> Sequence[Append]:
    """Opens the next stage of the plan, or ends the run; the pilot's gate stands between."""
    if why_shut := _gate(state):
        return (_pause(state, PauseReason.PAUSE_REASON_MISALIGNED, why_shut),)
    steps = state.plan()
    if len(state.view.stages) == len(steps):
        return (_finish(state, context),)
    stage, round_ = steps[len(state.view.stages)]
    opened = StageOpened(stage=stage, round=round_)
    if stage in (Stage.STAGE_PILOT_LABEL, Stage.STAGE_PILOT_ANNOTATE):
        drawn = work.draw_pilot(state) if stage == Stage.STAGE_PILOT_LABEL else work.pilot_for_people(state)
        opened.pair_indexes.extend(drawn)
        opened.p_ask.extend([len(drawn) / state.view.pairs] * len(drawn))
        opened.audit.extend([True] * len(drawn))
    if stage == Stage.STAGE_ANNOTATE:
        # The budget may have shrunk since triage chose them; the most useful come first.
        paid = max(0, state.view.human_budget - state.view.votes) // max(1, state.view.config.quorum)
        opened.pair_indexes.extend(state.view.last_round.asked[:paid])
        opened.p_ask.extend(state.view.last_round.p_ask[:paid])
        opened.audit.extend(state.view.last_round.audit[:paid])
    opened.units = work.units_of(state, stage, opened)
    return (_say(state, f"opened/{stage}.{round_}", stage_opened=opened),)


def _gate(state: RunState) -> str:
    """Why the pilot stops the run, in words; empty where it does not, or where a person overruled it."""
    pilot = state.pilot
    if pilot is None or state.gate_overruled:
        return ""
    silent = sum(choice == Choice.CHOICE_UNSPECIFIED for choice in pilot.judge)
    if 2 * silent > len(pilot.judge):
        return (
            f"the judge gave no usable verdict on {silent} of {len(pilot.judge)} pilot pairs; look at what it answers, "
            "or resume to go on with this judge"
        )
    if not misaligned(pilot.right, pilot.right + pilot.wrong):
        return ""
    cases = ", ".join(map(str, pilot.disagreements[:10]))
    return (
        f"people agree with the judge on {pilot.right} of {pilot.right + pilot.wrong} pilot pairs; they disagree on "
        f"pairs {cases}. Go on with clearer criteria (--from RUN --criteria …), or resume with this judge"
    )


def _silence(state: RunState) -> str:
    """Why the judge's silence stops the run while it labels; empty where it does not, or where a person overruled it."""
    assert state.open is not None
    labels = state.open.stage == Stage.STAGE_LABEL
    return judge_health.why(state.settled) if labels and not state.gate_overruled else ""


def _close(state: RunState) -> Append:
    """The stage's manifest, and the fact that names it."""
    assert state.open is not None
    stage, round_ = state.open.stage, state.open.round
    manifest = StageManifest(stage=stage, round=round_, pair_indexes=state.asked, p_ask=state.p_ask, audit=state.audit)
    failed = 0
    for number in sorted(state.settled):
        event = state.settled[number]
        if event.WhichOneof("kind") == "unit_failed":
            failed += 1
            continue
        kept = manifest.events.add()
        kept.CopyFrom(event)
        # What a unit cost differs from try to try; the manifest's hash must not.
        kept.ClearField("usage")
    content = manifest.SerializeToString(deterministic=True)
    closed = StageClosed(stage=stage, round=round_, manifest_uri=uri_of(content), failed_units=failed)
    return _say(state, f"closed/{stage}.{round_}", blobs=(content,), stage_closed=closed)


def _finish(state: RunState, context: Context) -> Append:
    finished = {
        "dataset_uri": state.view.dataset.dataset_uri,
        "dataset_sha256": state.view.dataset.dataset_sha256,
        "through_offset": max(0, context.offset),
        "history_sha256": context.history_sha256,
    }
    return _say(state, "finished", run_finished=finished)


def _too_many_failed(state: RunState) -> str:
    assert state.open is not None
    failed = [n for n, event in state.settled.items() if event.WhichOneof("kind") == "unit_failed"]
    if not failed or (state.open.stage not in NEEDED and len(failed) <= state.view.config.max_failed_units):
        return ""
    name = short(Stage, state.open.stage)
    first = state.settled[min(failed)].unit_failed.error
    return f"{len(failed)} of {state.open.units} units of {name} failed, the first with: {first}. Mend the cause, then retry"


def _window(state: RunState, context: Context, reissue_after_s: float) -> Sequence[Append | Dispatch]:
    """The first W undone units are out: issued once, and again after a silence. Money is reserved before it is spent."""
    assert state.open is not None
    undone = [n for n in range(state.open.units) if n not in state.settled][: max(1, state.view.config.window)]
    affordable = work.affordable(state, undone)
    if undone and not affordable:
        spent, limit = state.view.usage.dollars, state.view.dollar_budget
        most = work.bound(state, undone[0])
        detail = f"${spent:.2f} of ${limit:.2f} are spent and the next unit may cost up to ${most:.2f}; raise the limit"
        return (_pause(state, PauseReason.PAUSE_REASON_BUDGET, detail),)
    ids = {number: work_id(state.view.run_id, work.unit_of(state, number)) for number in affordable}
    # What was issued before a pause may have been dropped by whoever deferred it.
    last = {n: at for n in affordable if (at := context.issued.get(ids[n], -1e18)) >= state.resumed_at}
    silent = [n for n in affordable if context.now - last.get(n, -1e18) >= reissue_after_s]
    return [work.work_item(state, number) for number in silent]


def _probe(state: RunState, context: Context) -> Sequence[Append | Dispatch]:
    """A dependency is down: one unit goes out per back-off; once one got through, the run resumes."""
    if state.deferral is None:
        return (_say(state, f"resumed/{state.resumes}", run_resumed={"cause_id": state.pause_id}),)
    ask = work.work_item(state, state.deferral.number)
    last = max(state.deferral.at, context.issued.get(ask.work.work_id, 0.0))
    return (ask,) if context.now - last >= state.deferral.retry_after_s else ()


def _pause(state: RunState, reason: int, detail: str) -> Append:
    """One pause per resumption: a rule that still holds after a resume pauses again, under a new name."""
    name = f"paused/{reason}/{state.resumes}"
    return _say(state, name, run_paused={"reason": reason, "detail": detail})


def _say(state: RunState, name: str, blobs: tuple[bytes, ...] = (), **kind: object) -> Append:
    run_id = state.view.run_id
    return Append(Event(event_id=event_id(run_id, name), run_id=run_id, **kind), blobs)
