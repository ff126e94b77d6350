"""The loop's state machine: `evolve` folds facts, `due` says what should be true and is not. Pure.

`due` is level-triggered: it looks at the state alone, so a crash between a fact and the reaction to it loses nothing.
A stage's units are fixed before any work goes out, and a stage is complete when each unit is settled: a set, no count.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from concord.kit.ids import event_id, uri_of, work_id
from concord.kit.loop.fold import Append, Context, Dispatch
from concord.kit.plural import many
from concord.preference import call_costs
from concord.preference.pilot import misaligned
from concord.preference.shards import manifest_bytes
from concord.preference.stages import STAGES, stage_name
from concord.runs import judge_health, work
from concord.runs.state import RunState, candidates, selected
from concord.v1.events_pb2 import Event, PauseReason, Stage, StageClosed, StageManifest
from concord.v1.pairs_pb2 import PairsManifest
from concord.v1.runs_service_pb2 import RunStatus


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
    if trouble := _judge_trouble(state):
        return (_pause(state, *trouble),)
    if len(state.settled) >= state.open.units:
        if nothing := _no_candidates(state):
            return (_pause(state, PauseReason.PAUSE_REASON_FAILED_UNITS, nothing),)
        return (_close(state),)
    return () if STAGES[state.open.stage].people else _window(state, context, reissue_after_s)


def _next(state: RunState, context: Context) -> Sequence[Append]:
    """Opens the next stage of the plan, or ends the run; the pilot's gate stands between."""
    if why_shut := _gate(state):
        return (_pause(state, PauseReason.PAUSE_REASON_MISALIGNED, why_shut),)
    steps = state.plan()
    if len(state.view.stages) == len(steps):
        return (_finish(state, context),)
    stage, round_ = steps[len(state.view.stages)]
    opened = work.opened(state, stage, round_)
    return (_say(state, f"opened/{stage}.{round_}", work.blobs_of(state, opened), stage_opened=opened),)


def _gate(state: RunState) -> str:
    """Why the pilot stops the run, in words; empty where it does not, or where a person overruled it."""
    pilot = state.pilot
    if pilot is None or state.gate_overruled:
        return ""
    if not misaligned(pilot.right, pilot.right + pilot.wrong):
        return ""
    asked = many(pilot.right + pilot.wrong, "pilot pair")
    return (
        f"people agree with the judge on {pilot.right} of {asked}; `concord criteria "
        f"{state.view.run_id[:8]}` shows the others. Go on with clearer "
        "criteria (--from RUN --criteria …), or resume with this judge"
        + (f"; {state.view.pilot_says}" if state.view.pilot_says else "")
    )


def _no_candidates(state: RunState) -> str:
    """Why a run whose answers are all there has no pairs, in words; empty where it has some, or is not about that."""
    assert state.open is not None
    if state.open.stage != Stage.STAGE_GENERATE or candidates(state) is not None:
        return ""
    said = [event.shard_generated for event in state.settled.values()]
    why = Counter[str]()
    for one in (one for shard in said for one in shard.dropped):
        why[one.why] += one.answers
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in why.most_common())
    return (
        f"no prompt has two different answers, of {many(sum(shard.answers for shard in said), 'answer')} to "
        f"{many(sum(shard.prompts for shard in said), 'prompt')}: {dropped or 'none came'}. Begin a run with more samples, "
        "a higher sample_temperature or more sample_tokens"
    )


def _judge_trouble(state: RunState) -> "tuple[PauseReason.ValueType, str] | None":
    """Why the judge stops the run while it judges; None where it does not, or where a person overruled it."""
    assert state.open is not None
    if state.gate_overruled or not STAGES[state.open.stage].judging:
        return None
    return judge_health.stopped(state.settled, len(state.settled) >= state.open.units)


def manifest_of(state: RunState) -> tuple[StageManifest, int]:
    """The open stage's manifest as it would be closed now, and how many of its units failed."""
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
    return manifest, failed


def _close(state: RunState) -> Append:
    """The stage's manifest, and the fact that names it."""
    manifest, failed = manifest_of(state)
    stage, round_ = manifest.stage, manifest.round
    content = manifest.SerializeToString(deterministic=True)
    closed = StageClosed(stage=stage, round=round_, manifest_uri=uri_of(content), failed_units=failed)
    blobs: tuple[bytes, ...] = (content,)
    if (corpus := selected(state)) is not None:
        closed.corpus.CopyFrom(corpus)
    if stage == Stage.STAGE_GENERATE and (made := candidates(state)) is not None:
        blobs = (content, manifest_bytes(PairsManifest(shards=made.shards, pairs=made.pairs)))
    return _say(state, f"closed/{stage}.{round_}", blobs=blobs, stage_closed=closed)


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
    kind = STAGES[state.open.stage]
    # Without any other unit the rest of the loop has nothing to stand on: one failure pauses the run.
    may_fail = kind.paid or kind.people
    if not failed or (may_fail and len(failed) <= state.view.config.max_failed_units):
        return ""
    name = stage_name(state.open.stage)
    first = state.settled[min(failed)].unit_failed.error
    units = many(state.open.units, "unit")
    return f"{len(failed)} of {units} of {name} failed, the first with: {first}. Mend the cause, then retry"


def _window(state: RunState, context: Context, reissue_after_s: float) -> Sequence[Append | Dispatch]:
    """The first W undone units are out: issued once, and again where they are silent and lost. Money is reserved first."""
    assert state.open is not None
    undone = _undone(state)
    affordable = work.affordable(state, undone)
    if undone and not affordable:
        return (_pause(state, PauseReason.PAUSE_REASON_BUDGET, _no_money(state, undone[0])),)
    ids = {number: work_id(state.view.run_id, work.unit_of(state, number)) for number in affordable}
    # What was issued before a pause may have been dropped by whoever deferred it.
    last = {n: at for n in affordable if (at := context.issued.get(ids[n], -1e18)) >= state.resumed_at}
    silent = [n for n in affordable if context.now - last.get(n, -1e18) >= reissue_after_s]
    return [replace(work.work_item(state, number), again=number in last) for number in silent]


def _no_money(state: RunState, number: int) -> str:
    """Why the unit is not paid for, in words."""
    money, view = call_costs.money, state.view
    known = "as the answers so far show" if work.is_known(state) else "assumed, as no answer was paid yet"
    assert state.open is not None
    pairs = many(work.pairs_of(state, number), "prompt" if state.open.stage == Stage.STAGE_GENERATE else "pair")
    return (
        f"{money(view.usage.dollars)} of {money(view.dollar_budget)} are spent; the next "
        f"{pairs} will cost about {money(work.expected(state, number))} ({known}), and {money(work.bound(state, number))} is held "
        "back for them, as texts and answers differ in length. Raise the limit (--dollars … --resume)"
    )


def _undone(state: RunState) -> list[int]:
    """The first of the units that are not settled, as many as may be out at once."""
    assert state.open is not None
    return [n for n in range(state.open.units) if n not in state.settled][: work.window(state)]


def _probe(state: RunState, context: Context) -> Sequence[Append | Dispatch]:
    """A dependency is down: one unit goes out per back-off; once one got through, the run resumes."""
    if state.deferral is None:
        return _carry_on(state)
    if state.deferral.number not in work.affordable(state, _undone(state)):
        # Said by the window, as for any unit whose money is not there.
        return _carry_on(state)
    ask = work.work_item(state, state.deferral.number)
    last = max(state.deferral.at, context.issued.get(ask.work.work_id, 0.0))
    return (ask,) if context.now - last >= state.deferral.retry_after_s else ()


def _carry_on(state: RunState) -> Sequence[Append]:
    return (_say(state, f"resumed/{state.resumes}", run_resumed={"cause_id": state.pause_id}),)


def _pause(state: RunState, reason: int, detail: str) -> Append:
    """One pause per resumption: a rule that still holds after a resume pauses again, under a new name."""
    name = f"paused/{reason}/{state.resumes}"
    return _say(state, name, run_paused={"reason": reason, "detail": detail})


def _say(state: RunState, name: str, blobs: tuple[bytes, ...] = (), **kind: object) -> Append:
    run_id = state.view.run_id
    return Append(Event(event_id=event_id(run_id, name), run_id=run_id, **kind), blobs)
