"""How facts change a run. Pure: no clock, no randomness; time enters as the append time of a fact.

Commands that raced and do not fit any more are refused here, visibly; handlers check only for politeness. No value of a fact
raises: a fact is in the log for good, and a fold that raises on it leaves its run corrupt for good.
"""

from collections.abc import Sequence
from copy import copy
from math import isfinite

from concord.kit import usage
from concord.preference import checked
from concord.preference.judges import column_name, spelled
from concord.preference.pilot import compared, rival
from concord.preference.stages import LABELLING
from concord.runs import judge_health
from concord.runs.state import ENDED, MOST_PAIRS, RunState, chosen, unit_row
from concord.v1.events_pb2 import Corpus, Event, PauseReason, Stage, TaskOutcome
from concord.v1.pairs_pb2 import Choice, ShardRef
from concord.v1.runs_service_pb2 import Revocation, RunStatus, RunView, StageView
from concord.v1.snapshot_pb2 import Deferral, OpenStage, Pilot

MOST_REFUSALS = 20
MOST_REVOCATIONS = 10_000
MOST_VOTES = 2**32 - 1
# A dependency that is down is asked again within a day, whatever it says of itself.
MOST_WAIT_S = 86_400.0
# A retry ends these pauses; a resume after those accepts the judge as it is.
RETRIED = (
    PauseReason.PAUSE_REASON_FAILED_UNITS,
    PauseReason.PAUSE_REASON_SILENT_JUDGE,
    PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE,
)
ABOUT_THE_JUDGE = (
    PauseReason.PAUSE_REASON_MISALIGNED,
    PauseReason.PAUSE_REASON_SILENT_JUDGE,
    PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE,
)
OPEN_FOR_COMMANDS = (RunStatus.RUN_STATUS_RUNNING, RunStatus.RUN_STATUS_PAUSED)


def evolve(state: RunState, events: Sequence[tuple[Event, float]]) -> tuple[RunState, frozenset[str]]:
    """The state after these events, and the names of the rows that changed. Columns are copied once, not per event."""
    state = copy(state)
    view = RunView()
    view.CopyFrom(state.view)
    state.view, state.settled, state.shards = view, dict(state.settled), list(state.shards)
    touched = {"state"}
    for event, at in events:
        if event.HasField("usage"):
            usage.add(view.usage, event.usage)
            if event.unit.stage == Stage.STAGE_GENERATE:
                usage.add(view.generated, event.usage)
        if event.HasField("unit"):
            _settle(state, event, at, touched)
        else:
            _apply(state, event, at, touched)
    return state, frozenset(touched)


def _apply(state: RunState, event: Event, at: float, touched: set[str]) -> None:
    """A run's own event."""
    view = state.view
    match event.WhichOneof("kind"):
        case "run_created":
            _create(state, event)
        case "pairs_added":
            _add_pairs(state, event, touched)
        case "run_started":
            _start(state, event)
        case "budget_changed":
            _change_budget(state, event)
        case "run_paused":
            _pause(state, event)
        case "run_resumed":
            _resume(state, event, at)
        case "stage_retried":
            _retry(state, event, at, touched)
        case "run_cancelled":
            if not _refused(state, event, view.status not in ENDED, "the run has ended"):
                view.status, view.detail = RunStatus.RUN_STATUS_CANCELLED, event.run_cancelled.reason
        case "stage_opened":
            _open(state, event, at, touched)
        case "stage_closed":
            _close(state, event, touched)
        case "access_revoked":
            _revoke(view, event.access_revoked.name, at)
        case "run_finished" if not _refused(state, event, view.status not in ENDED, "the run has ended"):
            finished = event.run_finished
            view.status, view.detail = RunStatus.RUN_STATUS_FINISHED, ""
            view.dataset_uri, view.dataset_sha256 = finished.dataset_uri, finished.dataset_sha256
            view.history_sha256, view.through_offset = finished.history_sha256, finished.through_offset


def _revoke(view: RunView, name: str, at: float) -> None:
    """A later word on the same name stands for the earlier ones; beyond the bound the oldest go, whose links ran out first."""
    kept = [one for one in view.revocations if one.name != name]
    del view.revocations[:]
    view.revocations.extend([*kept, Revocation(name=name, before=at)][-MOST_REVOCATIONS:])


def _refused(state: RunState, event: Event, fits: bool, why: str) -> bool:
    if not fits:
        state.view.refused.append(f"{event.event_id} {event.WhichOneof('kind')}: {why}")
        del state.view.refused[:-MOST_REFUSALS]
    return not fits


def _create(state: RunState, event: Event) -> None:
    created, view = event.run_created, state.view
    if _refused(state, event, view.status == RunStatus.RUN_STATUS_UNSPECIFIED, "the run exists"):
        return
    view.status = RunStatus.RUN_STATUS_CREATED
    view.config.CopyFrom(created.config)
    view.input_name, view.input_sha256, view.side_of = created.input_name, created.input_sha256, created.side_of
    view.dollar_budget = created.config.dollar_budget


def _add_pairs(state: RunState, event: Event, touched: set[str]) -> None:
    if _refused(
        state, event, state.view.status == RunStatus.RUN_STATUS_CREATED, "pairs are taken only before the start"
    ):
        return
    for shard in event.pairs_added.shards:
        fits, why = shard.first_index == state.view.pairs, f"pair {state.view.pairs} comes next"
        if fits and state.view.pairs + shard.pairs > MOST_PAIRS:
            fits, why = False, f"a run has {MOST_PAIRS:,} pairs at most"
        if not _refused(state, event, fits, why):
            state.shards.append(shard)
            state.view.pairs += shard.pairs
    touched.add("shards")


def _start(state: RunState, event: Event) -> None:
    started, view = event.run_started, state.view
    fits = view.status == RunStatus.RUN_STATUS_CREATED and started.pairs == view.pairs and view.pairs > 0
    if not _refused(state, event, fits, "it has started already, or pairs came in between"):
        view.status = RunStatus.RUN_STATUS_RUNNING
        view.pairs_uri, view.human_budget = started.pairs_uri, started.human_budget


def _change_budget(state: RunState, event: Event) -> None:
    changed, view = event.budget_changed, state.view
    goes_on, is_money = view.status in OPEN_FOR_COMMANDS, isfinite(changed.dollar_budget)
    why = "that is no sum of money" if goes_on else "the run does not go on"
    if not _refused(state, event, goes_on and is_money, why):
        view.human_budget, view.dollar_budget = max(changed.human_budget, view.votes), changed.dollar_budget


def _pause(state: RunState, event: Event) -> None:
    paused, view = event.run_paused, state.view
    waits = view.status == RunStatus.RUN_STATUS_PAUSED and view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED
    # A run that waits for a dependency would resume by itself: a caller may still hold it.
    fits = view.status == RunStatus.RUN_STATUS_RUNNING or (waits and paused.reason == PauseReason.PAUSE_REASON_CALLER)
    if not _refused(state, event, fits, "the run does not run"):
        state.pause_id = event.event_id
        view.status = RunStatus.RUN_STATUS_PAUSED
        view.pause_reason, view.detail = paused.reason, paused.detail


def _resume(state: RunState, event: Event, at: float) -> None:
    cause = event.run_resumed.cause_id
    fits = state.view.status == RunStatus.RUN_STATUS_PAUSED and cause in ("", state.pause_id)
    if not _refused(state, event, fits, "the run is not paused"):
        state.gate_overruled |= state.view.pause_reason in ABOUT_THE_JUDGE
        _go_on(state, at)


def _go_on(state: RunState, at: float) -> None:
    view = state.view
    state.resumed_at = at
    state.deferral = None
    state.resumes += 1
    view.status, view.detail = RunStatus.RUN_STATUS_RUNNING, ""
    view.pause_reason = PauseReason.PAUSE_REASON_UNSPECIFIED


def _retry(state: RunState, event: Event, at: float, touched: set[str]) -> None:
    retried, opened = event.stage_retried, state.open
    fits = opened is not None and (opened.stage, opened.round) == (retried.stage, retried.round)
    if _refused(state, event, fits and state.view.status not in ENDED, "that stage is not open"):
        return
    assert opened is not None
    state.open = OpenStage()
    state.open.CopyFrom(opened)
    anew = [n for n, said in state.settled.items() if said.WhichOneof("kind") == "unit_failed"]
    if state.view.pause_reason == PauseReason.PAUSE_REASON_SILENT_JUDGE:
        anew += judge_health.to_judge_anew(state.settled)
    for number in anew:
        state.open.retries[number] = min(MOST_VOTES, state.open.retries[number] + 1)
        del state.settled[number]
        touched.add(unit_row(number))
    # None of those that failed is left.
    state.view.stages[-1].failed = 0
    _count(state)
    if state.view.pause_reason in RETRIED:
        _go_on(state, at)


def _open(state: RunState, event: Event, at: float, touched: set[str]) -> None:
    opened = event.stage_opened
    if _refused(state, event, state.open is None and state.view.status not in ENDED, "another stage is open"):
        return
    state.open = OpenStage(stage=opened.stage, round=opened.round, units=opened.units, opened_at=at)
    state.asked, state.p_ask, state.audit = tuple(opened.pair_indexes), tuple(opened.p_ask), tuple(opened.audit)
    state.view.stages.append(StageView(stage=opened.stage, round=opened.round, units=opened.units))
    touched.add("asked")
    _look_ahead(state)


def _close(state: RunState, event: Event, touched: set[str]) -> None:
    closed, opened = event.stage_closed, state.open
    fits = opened is not None and (opened.stage, opened.round) == (closed.stage, closed.round)
    if _refused(state, event, fits and state.view.status not in ENDED, "that stage is not open"):
        return
    stage = state.view.stages[-1]
    stage.closed, stage.manifest_uri, stage.failed = True, closed.manifest_uri, closed.failed_units
    if closed.stage == Stage.STAGE_PILOT_LABEL:
        state.pilot = _pilot_labels(state)
    if closed.stage == Stage.STAGE_PILOT_ANNOTATE and state.pilot is not None:
        state.pilot = _pilot_judged(state)
        state.view.pilot_says = _pilot_compared(state)
    if closed.HasField("corpus"):
        _take_corpus(state, closed.corpus, touched)
    touched.update(map(unit_row, state.settled))
    touched.add("asked")
    state.open, state.settled, state.asked, state.p_ask, state.audit = None, {}, (), (), ()


def _take_corpus(state: RunState, corpus: Corpus, touched: set[str]) -> None:
    """The run is about these pairs from here on; the shards are those that the stage's own facts name."""
    said = chosen(state)
    fits = said is not None and (said.pairs_uri, said.pairs) == (corpus.pairs_uri, corpus.pairs)
    if said is None or not fits or not _in_order(said.shards, said.pairs):
        return
    state.shards = list(said.shards)
    state.view.pairs, state.view.pairs_uri, state.view.human_budget = (
        corpus.pairs,
        corpus.pairs_uri,
        corpus.human_budget,
    )
    touched.add("shards")


def _in_order(shards: Sequence[ShardRef], pairs: int) -> bool:
    """Whether the shards hold so many pairs, one behind the other."""
    at = 0
    for shard in shards:
        if shard.first_index != at:
            return False
        at += shard.pairs
    return at == pairs > 0


def _pilot_labels(state: RunState) -> Pilot:
    pilot = Pilot()
    for number in sorted(state.settled):
        labeled = state.settled[number].shard_labeled
        # What checks settled says nothing of the judge, nor of the others.
        places = checked.judged(labeled)
        pilot.pair_indexes.extend(labeled.pair_index[place] for place in places)
        pilot.judge.extend(checked.told(labeled.choice, place, Choice.CHOICE_UNSPECIFIED) for place in places)
        for at, column in enumerate(labeled.helpers):
            if at == len(pilot.helpers):
                pilot.helpers.add(judge=column.judge)
            pilot.helpers[at].disagree.extend(checked.told(column.disagree, place, -1.0) for place in places)
    return pilot


def _pilot_compared(state: RunState) -> str:
    """How judge and helpers fared on the same answers, in words."""
    assert state.pilot is not None
    tasks = [event.task_resolved for event in state.settled.values()]
    said = {task.pair_index: task.choice for task in tasks if task.outcome == TaskOutcome.TASK_OUTCOME_DECIDED}
    judge = dict(zip(state.pilot.pair_indexes, state.pilot.judge, strict=False))
    names = {column_name(helper): spelled(helper) for helper in state.view.config.helpers}
    rivals = [
        rival(
            names.get(column.judge, column.judge),
            said,
            judge,
            dict(zip(state.pilot.pair_indexes, column.disagree, strict=False)),
        )
        for column in state.pilot.helpers
    ]
    return compared(rivals)


def _pilot_judged(state: RunState) -> Pilot:
    """How often people agree with the judge; ties and unusable verdicts count for neither."""
    pilot = Pilot()
    assert state.pilot is not None
    pilot.CopyFrom(state.pilot)
    judge = dict(zip(pilot.pair_indexes, pilot.judge, strict=False))
    for event in state.settled.values():
        task = event.task_resolved
        said = judge.get(task.pair_index, Choice.CHOICE_UNSPECIFIED)
        decided = (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND)
        if task.outcome != TaskOutcome.TASK_OUTCOME_DECIDED or said not in decided:
            continue
        if said == task.choice:
            pilot.right += 1
        else:
            pilot.wrong += 1
            pilot.disagreements.append(task.pair_index)
    pilot.disagreements.sort()
    return pilot


def _settle(state: RunState, event: Event, at: float, touched: set[str]) -> None:
    """A unit's fact: the first that settles it counts, be it a result or a failure; late ones change nothing."""
    unit, opened = event.unit, state.open
    if opened is None or (unit.stage, unit.round) != (opened.stage, opened.round):
        return
    if unit.number >= opened.units or unit.number in state.settled or unit.retry != opened.retries.get(unit.number, 0):
        return
    kind = event.WhichOneof("kind")
    if kind == "unit_deferred":
        deferred = event.unit_deferred
        wait_s = deferred.retry_after_s if 0 <= deferred.retry_after_s <= MOST_WAIT_S else MOST_WAIT_S
        state.deferral = Deferral(number=unit.number, at=at, retry_after_s=wait_s, reason=deferred.reason)
        return
    if kind in ("annotation_submitted", "task_skipped", "annotation_withdrawn"):
        return
    state.settled[unit.number] = event
    touched.add(unit_row(unit.number))
    state.deferral = None
    state.view.stages[-1].failed += kind == "unit_failed"
    _count(state)
    _keep(state.view, event, touched)


def _keep(view: RunView, event: Event, touched: set[str]) -> None:
    """What later stages and callers need of a single unit's result."""
    match event.WhichOneof("kind"):
        # What people say of a policy's answers has a budget of its own.
        case "task_resolved" if event.unit.stage in LABELLING:
            given, counted = len(event.task_resolved.annotation_ids), event.task_resolved.counted
            view.votes = min(MOST_VOTES, view.votes + given)
            view.re_asked = min(MOST_VOTES, view.re_asked + (max(0, given - counted) if counted else 0))
        case "features_fitted":
            view.basis_uri = event.features_fitted.basis_uri
        case "round_triaged":
            view.last_round.CopyFrom(event.round_triaged)
            view.enough = view.enough or event.round_triaged.enough
            touched.add("round")
        case "final_trained":
            view.model_uri = event.final_trained.model_uri
            view.reward_uri = event.final_trained.reward_uri
        case "policy_trained":
            view.policy_uri = event.policy_trained.model_uri
            view.answered.extend(event.policy_trained.answered)
        case "dataset_built":
            view.dataset.CopyFrom(event.dataset_built)


def _count(state: RunState) -> None:
    state.view.stages[-1].settled = len(state.settled)


def _look_ahead(state: RunState) -> None:
    state.view.stages_ahead = max(0, len(state.plan()) - len(state.view.stages))
