"""The loop's state machine: stages open and close by their set of units, whatever order, repeats and crashes there are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.kit.ids import event_id
from concord.kit.loop.fold import Append, Dispatch, fold_records, restore_run, start_run
from concord.preference.methods import METHODS
from concord.runs.work import bound as bound_of
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Event, PauseReason, RoundTriaged, Stage, StageOpened
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RunStatus
from concord.v1.work_pb2 import Work
from tests.run_world import RUN, FoldedRun, config, deferral, failure, resolved, result


def stages(run: FoldedRun) -> list[tuple[int, int]]:
    return [(view.stage, view.round) for view in run.view.stages]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_through_its_methods_stages_and_finishes(method):
    run = FoldedRun(config(method=method, pilot=-1 if not METHODS[method].asks else 2))
    view = run.finish()
    assert view.status == RunStatus.RUN_STATUS_FINISHED
    assert stages(run) == list(run.state.plan())
    assert all(stage.closed for stage in view.stages)
    assert view.dataset_sha256 == "d" * 64
    assert run.due() == []


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25)
@given(st.data())
def test_neither_order_nor_repeats_nor_restarts_change_a_stage(method, data):
    """Results come in any order, several times, in batches; between any two the replica may start anew."""
    quiet = FoldedRun(config(method=method, pilot=2))
    quiet.finish()
    run = FoldedRun(config(method=method, pilot=2))
    asked = run.turn()
    while run.state.open is not None:
        events = [result(work) for work in asked] if asked else run.results_of_people()
        order = data.draw(st.permutations([*events, *data.draw(st.lists(st.sampled_from(events), max_size=4))]))
        while order:
            size = data.draw(st.integers(1, len(order)))
            run.hear(*order[:size])
            order = order[size:]
            if data.draw(st.booleans()):
                restarted(run)
        asked = run.turn()
    assert [m.SerializeToString() for m in run.manifests()] == [m.SerializeToString() for m in quiet.manifests()]
    assert run.view.dataset_sha256 == quiet.view.dataset_sha256


def restarted(run: FoldedRun) -> None:
    """Another replica takes the run up from the store; what was issued is forgotten."""
    rows: dict[str, bytes] = {}
    folded = start_run(run.fold, RUN)
    for record in run.records:
        folded, changed = fold_records(run.fold, folded, [record])
        rows = {name: row for name, row in {**rows, **changed}.items() if row is not None}
    assert restore_run(run.fold, RUN, rows).state == folded.state == run.folded.state
    run.folded, run.issued = restore_run(run.fold, RUN, rows), {}


@given(st.sets(st.integers(0, 4)))
def test_a_stage_closes_when_every_unit_is_settled_and_not_before(numbers):
    run = FoldedRun(config())
    asked = run.go_to(Stage.STAGE_LABEL)
    assert len(asked) == 5
    run.hear(*[result(work) for work in asked if work.unit.number in numbers] * 2)
    closes = any(isinstance(out, Append) and out.event.HasField("stage_closed") for out in run.due())
    assert closes == (numbers == {0, 1, 2, 3, 4})


def test_a_manifest_holds_the_first_fact_of_each_unit_in_order_without_its_cost():
    run = FoldedRun(config())
    asked = run.go_to(Stage.STAGE_LABEL)
    run.hear(*[result(work, usage={"dollars": 1.0}) for work in reversed(asked)])
    run.turn()
    (manifest,) = run.manifests()
    assert [event.unit.number for event in manifest.events] == [0, 1, 2, 3, 4]
    assert not any(event.HasField("usage") for event in manifest.events)
    assert run.view.usage.dollars == 5.0


def test_results_of_another_stage_or_round_or_of_no_unit_change_nothing():
    run = FoldedRun(config())
    asked = run.go_to(Stage.STAGE_LABEL)
    for field, value in (("stage", Stage.STAGE_FEATURES), ("round", 3), ("number", 99), ("retry", 1)):
        stray = result(asked[0])
        setattr(stray.unit, field, value)
        stray.event_id = event_id(RUN, field)
        run.hear(stray)
    assert run.state.settled == {}


# ── the window ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_the_first_units_are_out_and_results_move_the_window():
    run = FoldedRun(config(window=2))
    asked = run.go_to(Stage.STAGE_LABEL)
    assert [work.unit.number for work in asked] == [0, 1]
    run.hear(result(asked[1]))
    assert [work.unit.number for work in run.turn()] == [2]


def test_work_is_issued_again_after_a_silence_and_at_once_after_a_restart():
    run = FoldedRun(config(window=2))
    run.go_to(Stage.STAGE_LABEL)
    run.now += 119.0
    assert run.turn() == []
    run.now += 2.0
    assert [work.unit.number for work in run.turn()] == [0, 1]
    run.issued = {}
    assert [work.unit.number for work in run.turn()] == [0, 1]


def test_work_is_the_same_whenever_it_is_issued():
    run = FoldedRun(config())
    first = run.go_to(Stage.STAGE_LABEL)
    run.issued = {}
    assert [work.SerializeToString(deterministic=True) for work in run.turn()] == [
        work.SerializeToString(deterministic=True) for work in first
    ]


# ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("quorum", [1, 2, 3])
@pytest.mark.parametrize("budget", [0, 1, 5, 6, 11])
def test_votes_use_the_budget_up_and_never_exceed_it(quorum, budget):
    run = FoldedRun(config(quorum=quorum, human_budget=budget, pilot=-1, method="posterior"), pairs=40)
    asked = run.turn()
    while run.state.open is not None:
        events = [result(work) for work in asked] if asked else run.results_of_people()
        for event in events:
            if event.HasField("task_resolved"):
                event.task_resolved.annotation_ids[:] = [event_id(RUN, event.event_id, n) for n in range(quorum)]
        run.hear(*events)
        asked = run.turn()
    assert run.view.votes <= budget
    assert run.view.votes == quorum * (budget // quorum), "and nothing that would have paid for a task is left over"


def test_the_pilots_people_are_shown_the_pairs_that_the_judge_has_labelled_also_when_the_budget_moved():
    run = FoldedRun(config(pilot=3, human_budget=6))
    asked = run.go_to(Stage.STAGE_PILOT_LABEL)
    labelled = set(run.state.asked)
    run.say("less", budget_changed={"human_budget": 2})
    run.hear(*[result(work) for work in asked])
    run.turn()
    assert run.state.open.stage == Stage.STAGE_PILOT_ANNOTATE
    assert len(run.state.asked) == 2
    assert set(run.state.asked) < labelled


def cut_to(paid: int, **triaged: object) -> StageOpened:
    """People's stage as it opens where the budget pays for so many of the pairs that triage chose."""
    run = FoldedRun(config(method="random", pilot=0, human_budget=8, batch_share=1.0))
    (work,) = run.go_to(Stage.STAGE_TRIAGE, 1)
    run.say("less", budget_changed={"human_budget": paid})
    chosen = result(work)
    chosen.round_triaged.CopyFrom(RoundTriaged(**triaged))
    run.hear(chosen)
    run.turn()
    assert run.state.open.stage == Stage.STAGE_ANNOTATE
    return StageOpened(pair_indexes=run.state.asked, p_ask=run.state.p_ask, audit=run.state.audit)


def test_a_batch_that_the_budget_cuts_says_anew_how_likely_each_pair_was_asked():
    columns = {"asked": range(8), "p_ask": [0.8] * 4 + [0.2] * 4, "audit": [False] * 6 + [True] * 2}
    opened = cut_to(3, **columns)
    assert len(opened.pair_indexes) == 3 and set(opened.pair_indexes) <= set(range(8))
    assert list(opened.p_ask) == pytest.approx([columns["p_ask"][pair] * 3 / 8 for pair in opened.pair_indexes])
    assert list(opened.audit) == [columns["audit"][pair] for pair in opened.pair_indexes]


def test_of_a_ranking_that_the_budget_cuts_the_first_ones_are_asked():
    opened = cut_to(3, asked=[9, 4, 7, 1], p_ask=[1.0] * 4, audit=[False] * 4)
    assert (list(opened.pair_indexes), list(opened.p_ask)) == ([9, 4, 7], [1.0] * 3)


def against(run: FoldedRun) -> None:
    """People contradict the judge on every pair of the pilot."""
    run.go_to(Stage.STAGE_PILOT_ANNOTATE)
    other = [Choice.CHOICE_SECOND - pair % 2 for pair in run.state.asked]
    run.hear(*[resolved(Stage.STAGE_PILOT_ANNOTATE, 0, n, pair, other[n]) for n, pair in enumerate(run.state.asked)])
    run.turn()


def test_a_grossly_misaligned_judge_pauses_the_run_before_it_costs_and_a_resume_overrules_that():
    run = FoldedRun(config(pilot=6, human_budget=8))
    against(run)
    assert (run.view.status, run.view.pause_reason) == (
        RunStatus.RUN_STATUS_PAUSED,
        PauseReason.PAUSE_REASON_MISALIGNED,
    )
    assert "0 of 6 pilot pairs" in run.view.detail
    assert run.due() == []
    run.say("go on", run_resumed={})
    assert run.finish().status == RunStatus.RUN_STATUS_FINISHED


def test_people_who_agree_with_the_judge_open_the_gate():
    run = FoldedRun(config(pilot=6, human_budget=8))
    assert run.finish().status == RunStatus.RUN_STATUS_FINISHED
    assert (run.state.pilot.right, run.state.pilot.wrong) == (6, 0)


# ── money ───────────────────────────────────────────────────────────────────────────────────────────────────────────


PRICED = JudgeConfig(kind="llm", name="m", max_tokens=400, prompt_dollars=1.0, completion_dollars=2.0, both_orders=True)


def paid(work: Work, dollars: float) -> Event:
    """The unit's result, eight calls with as many tokens as such a sum buys, one in four of the answer."""
    tokens = int(dollars * 1e6 / 6)
    used = {"calls": 8, "prompt_tokens": 4 * tokens, "completion_tokens": tokens, "dollars": 6 * tokens / 1e6}
    return result(work, usage=used)


def test_money_is_held_back_before_it_is_spent_and_a_larger_budget_goes_on():
    run = FoldedRun(config(judge=PRICED, method="none", dollar_budget=0.03))
    asked = run.go_to(Stage.STAGE_LABEL)
    assert [work.unit.number for work in asked] == [0], "one unit shows what an answer costs"
    run.hear(paid(asked[0], 0.006))
    asked = run.turn()
    assert [work.unit.number for work in asked] == [1, 2], "three more would not fit at half as much again"
    assert bound_of(run.state, 1) == pytest.approx(1.5 * 0.006, rel=0.01)
    run.hear(*[paid(work, 0.006) for work in asked])
    run.hear(*[paid(work, 0.006) for work in run.turn()])
    run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_BUDGET
    assert run.view.usage.dollars <= run.view.dollar_budget
    assert "the next 4 pairs will cost about $0.0060 (as the answers so far show)" in run.view.detail
    assert "--dollars" in run.view.detail
    run.say("more", budget_changed={"human_budget": 6, "dollar_budget": 1})
    assert run.due() == []
    run.say("go on", run_resumed={})
    assert [work.unit.number for work in run.turn()] == [4]


def test_a_deferred_unit_is_not_tried_again_without_money_for_it():
    run = FoldedRun(config(judge=PRICED, method="none", dollar_budget=0.03))
    asked = run.go_to(Stage.STAGE_LABEL)
    run.hear(paid(asked[0], 0.006))
    put_off = deferral(run.turn()[0])
    put_off.usage.dollars = 0.02
    run.hear(put_off)
    assert run.turn() == []
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_BUDGET


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deferred_unit_pauses_the_run_which_tries_one_unit_a_back_off_and_resumes_with_its_result():
    run = FoldedRun(config())
    asked = run.go_to(Stage.STAGE_LABEL)
    run.hear(deferral(asked[2]))
    assert run.turn() == []
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED
    run.now += 31.0
    assert [work.unit.number for work in run.turn()] == [2]
    run.hear(deferral(asked[2], times=2))
    run.now += 29.0
    assert run.turn() == []
    run.now += 2.0
    assert [work.unit.number for work in run.turn()] == [2]
    run.hear(result(asked[2]))
    run.turn()
    assert run.view.status == RunStatus.RUN_STATUS_RUNNING
    run.hear(*[result(work) for work in asked])
    assert run.finish().status == RunStatus.RUN_STATUS_FINISHED


def test_a_unit_that_failed_pauses_the_run_even_if_it_was_the_last_one_missing():
    run = FoldedRun(config())
    (fit,) = run.go_to(Stage.STAGE_FIT_FEATURES)
    run.hear(failure(fit, "no texts"))
    run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_FAILED_UNITS
    assert "no texts" in run.view.detail
    assert run.state.open.stage == Stage.STAGE_FIT_FEATURES


def test_a_retried_stage_reissues_just_the_failed_units_under_new_names_and_goes_on():
    run = FoldedRun(config())
    asked = run.go_to(Stage.STAGE_LABEL)
    run.hear(*[failure(work) if work.unit.number == 3 else result(work) for work in asked])
    run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_FAILED_UNITS
    assert run.view.stages[-1].failed == 1, "said while its stage is open"
    run.say("again", stage_retried={"stage": Stage.STAGE_LABEL})
    assert run.view.status == RunStatus.RUN_STATUS_RUNNING and not run.view.stages[-1].failed
    (again,) = run.turn()
    assert (again.unit.number, again.unit.retry) == (3, 1)
    assert again.work_id != asked[3].work_id
    run.hear(result(asked[3]))
    assert 3 not in run.state.settled, "a result of the try before is not the retried unit's"
    run.hear(result(again))
    assert run.finish().status == RunStatus.RUN_STATUS_FINISHED


def test_so_many_labels_may_fail_as_the_configuration_allows():
    run = FoldedRun(config(max_failed_units=1))
    asked = run.go_to(Stage.STAGE_LABEL)
    run.hear(failure(asked[0]), *[result(work) for work in asked[1:]])
    run.turn()
    assert run.view.status == RunStatus.RUN_STATUS_RUNNING
    assert [(stage.closed, stage.failed) for stage in run.view.stages] == [(True, 1), (False, 0)]


def test_the_first_fact_that_settles_a_unit_counts_be_it_a_failure():
    run = FoldedRun(config(max_failed_units=1))
    asked = run.go_to(Stage.STAGE_LABEL)
    run.hear(failure(asked[0]))
    run.hear(result(asked[0]))
    assert run.state.settled[0].HasField("unit_failed")


# ── commands ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_paused_run_asks_for_nothing_and_takes_results_in_all_the_same():
    run = FoldedRun(config(window=2))
    asked = run.go_to(Stage.STAGE_LABEL)
    run.say("pause", run_paused={"reason": PauseReason.PAUSE_REASON_CALLER})
    run.now += 1_000.0
    assert run.due() == []
    run.hear(*[result(work) for work in asked])
    assert set(run.state.settled) == {0, 1}
    run.say("resume", run_resumed={})
    assert [work.unit.number for work in run.turn()] == [2, 3]


def test_a_cancelled_run_says_nothing_ever_again():
    run = FoldedRun(config())
    run.go_to(Stage.STAGE_LABEL)
    run.say("cancel", run_cancelled={"reason": "enough"})
    assert run.due() == []
    assert not run.fold.active(run.state)


# All that a run's owner and the loop itself may say of an open stage of labels.
SAID: list[dict] = [
    {"run_created": {}},
    {"pairs_added": {"shards": [{"uri": "late", "pairs": 1}]}},
    {"run_started": {"pairs": 20}},
    {"budget_changed": {"human_budget": 5, "dollar_budget": 3.0}},
    *[{"run_paused": {"reason": reason}} for reason in PauseReason.values() if reason],
    {"run_resumed": {}},
    {"stage_retried": {"stage": Stage.STAGE_LABEL}},
    {"run_cancelled": {"reason": "again"}},
    {"stage_opened": {"stage": Stage.STAGE_FEATURES, "units": 1}},
    {"stage_closed": {"stage": Stage.STAGE_LABEL}},
    {"run_finished": {"dataset_uri": "x"}},
]


@pytest.mark.parametrize("reason", [None, *[reason for reason in PauseReason.values() if reason]])
@given(st.lists(st.sampled_from(SAID), min_size=1, max_size=6))
def test_a_run_that_was_cancelled_stays_cancelled_whatever_is_said_after(reason, said):
    """Also where it was paused when it was cancelled: a retry on its way would have it go on, and spend."""
    run = FoldedRun(config())
    run.go_to(Stage.STAGE_LABEL)
    if reason is not None:
        run.say("pause", run_paused={"reason": reason})
    run.say("cancel", run_cancelled={"reason": "enough"})
    for number, kind in enumerate(said):
        run.say(f"late {number}", **kind)
        assert (run.view.status, run.view.detail) == (RunStatus.RUN_STATUS_CANCELLED, "enough"), kind
        assert not run.fold.active(run.state) and run.due() == []


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ({"run_created": {}}, "the run exists"),
        ({"pairs_added": {"shards": [{"uri": "late", "pairs": 1}]}}, "only before the start"),
        ({"run_started": {"pairs": 20}}, "started already"),
        ({"run_resumed": {}}, "not paused"),
        ({"stage_retried": {"stage": Stage.STAGE_TRIAGE}}, "not open"),
    ],
)
def test_a_command_that_came_too_late_is_refused_visibly_and_changes_nothing_else(kind, why):
    run = FoldedRun(config())
    run.go_to(Stage.STAGE_LABEL)
    before = run.state
    run.say("late", **kind)
    (refused,) = run.view.refused
    assert refused.startswith(event_id(RUN, "late"))
    assert why in refused
    run.view.ClearField("refused")
    assert run.state == before


def test_pairs_that_leave_a_hole_are_refused_and_a_start_that_counts_wrong_as_well():
    run = FoldedRun(config(), start=False)
    run.say("hole", pairs_added={"shards": [{"uri": "x", "first_index": 99, "pairs": 1}]})
    run.say("early", run_started={"pairs": 19, "pairs_uri": "pairs"})
    assert (run.view.pairs, run.view.status) == (20, RunStatus.RUN_STATUS_CREATED)
    assert len(run.view.refused) == 2


def test_a_pause_said_again_by_a_zombie_after_the_resume_changes_nothing():
    run = FoldedRun(config(pilot=6, human_budget=8))
    against(run)
    old = Event.FromString(run.records[-1].value)
    assert old.HasField("run_paused")
    run.say("go on", run_resumed={})
    run.hear(old)
    assert run.view.status == RunStatus.RUN_STATUS_RUNNING


def test_two_replicas_that_ask_at_once_make_one_decision():
    run = FoldedRun(config())
    twice = [out.event for out in run.due() + run.due() if isinstance(out, Append)]
    run.hear(*twice)
    assert len(run.view.stages) == 1
    assert run.folded.duplicates == 1


def test_work_names_every_input_by_the_manifest_of_a_closed_stage():
    run = FoldedRun(config(method="posterior"))
    asked = run.go_to(Stage.STAGE_TRIAGE, 2)
    task = asked[0].triage_round
    closed = {(view.stage, view.round): view.manifest_uri for view in run.view.stages}
    assert task.labels_uri == closed[Stage.STAGE_LABEL, 0]
    assert task.features_uri == closed[Stage.STAGE_FEATURES, 0]
    assert task.scores_uri == closed[Stage.STAGE_SCORE, 1]
    assert list(task.annotation_uris) == [closed[Stage.STAGE_ANNOTATE, 1]]
    assert all(uri.startswith("sha256:") for uri in (task.labels_uri, task.features_uri, task.scores_uri))


def test_asking_changes_nothing():
    run = FoldedRun(config())
    run.turn()
    before, snapshot = run.state, run.fold.row(run.state, "state")
    first, second = run.due(), run.due()
    assert first == second
    assert all(isinstance(output, (Dispatch, Append)) for output in first)
    assert run.fold.row(before, "state") == snapshot
