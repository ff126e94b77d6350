"""A judge that falls silent while it labels stops the run before it pays for more, and is asked again once it is mended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.runs import judge_health
from concord.v1.events_pb2 import Event, PauseReason, Stage
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RunStatus
from concord.v1.work_pb2 import Work
from tests.run_world import RUN, SHARD_PAIRS, FoldedRun, config, result

PAIRS = 400
UNITS = PAIRS // SHARD_PAIRS


def shard(number: int) -> Work:
    """The work item of one shard."""
    return Work(
        run_id=RUN, unit={"stage": Stage.STAGE_LABEL, "number": number}, label_shard={"shard_uris": [f"shard-{number}"]}
    )


def silent(work: Work, pairs: int = SHARD_PAIRS) -> Event:
    """The unit's result in which the judge gave nothing usable on its last pairs."""
    event = result(work)
    event.shard_labeled.choice[SHARD_PAIRS - pairs :] = [Choice.CHOICE_UNSPECIFIED] * pairs
    return event


def labelled(silent_from: int, **more: object) -> tuple[FoldedRun, list[Work]]:
    """All shards are labelled, from number `silent_from` on in silence."""
    run = FoldedRun(config(window=UNITS, **more), pairs=PAIRS)
    asked = run.go_to(Stage.STAGE_LABEL)
    run.hear(*[silent(work) if work.unit.number >= silent_from else result(work) for work in asked])
    run.turn()
    return run, asked


def test_a_judge_that_falls_silent_pauses_the_run_and_the_reason_says_what_to_do():
    run, _ = labelled(silent_from=60)
    assert (run.view.status, run.view.pause_reason) == (
        RunStatus.RUN_STATUS_PAUSED,
        PauseReason.PAUSE_REASON_SILENT_JUDGE,
    )
    assert "no usable verdict on 160 of the last 200 pairs" in run.view.detail and "--resume" in run.view.detail
    assert run.due() == []


def test_it_pauses_in_the_middle_and_asks_for_nothing_more():
    run = FoldedRun(config(window=8), pairs=PAIRS)
    asked = run.go_to(Stage.STAGE_LABEL)
    while asked:
        run.hear(*[silent(work) for work in asked])
        asked = run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_SILENT_JUDGE
    assert judge_health.LEAST <= SHARD_PAIRS * len(run.state.settled) < judge_health.LEAST + 8 * SHARD_PAIRS


def test_a_retry_judges_just_the_silent_shards_anew_and_the_run_ends_as_if_nothing_had_been():
    run, asked = labelled(silent_from=60)
    run.say("mended", stage_retried={"stage": Stage.STAGE_LABEL})
    assert run.view.status == RunStatus.RUN_STATUS_RUNNING
    again = run.turn()
    assert [(work.unit.number, work.unit.retry) for work in again] == [(n, 1) for n in range(60, UNITS)]
    run.hear(*[silent(work) for work in asked[60:]])
    assert len(run.state.settled) == 60, "what the silent judge said belongs to the try before"
    run.hear(*[result(work) for work in again])
    assert run.finish().status == RunStatus.RUN_STATUS_FINISHED
    labels = [list(event.shard_labeled.choice) for event in run.manifests()[0].events]
    sound, _ = labelled(silent_from=UNITS)
    assert labels == [list(event.shard_labeled.choice) for event in sound.manifests()[0].events]


def test_the_shard_in_the_middle_of_which_it_broke_is_judged_anew_too_and_one_with_few_gaps_is_not():
    run = FoldedRun(config(window=UNITS, shard_pairs=SHARD_PAIRS), pairs=PAIRS)
    asked = run.go_to(Stage.STAGE_LABEL)
    run.hear(*[silent(work, 1 if work.unit.number == 59 else SHARD_PAIRS) for work in asked if work.unit.number >= 59])
    run.hear(*[result(work) for work in asked if work.unit.number < 59])
    run.turn()
    run.say("mended", stage_retried={"stage": Stage.STAGE_LABEL})
    assert [work.unit.number for work in run.turn()] == list(range(59, UNITS))


def test_a_retry_whose_judge_is_silent_again_pauses_again():
    run, _ = labelled(silent_from=60)
    run.say("not mended", stage_retried={"stage": Stage.STAGE_LABEL})
    run.hear(*[silent(work) for work in run.turn()])
    run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_SILENT_JUDGE


def test_a_resume_accepts_the_judge_as_it_is():
    run, _ = labelled(silent_from=60)
    run.say("it is all right", run_resumed={})
    assert run.finish().status == RunStatus.RUN_STATUS_FINISHED
    choices = [choice for event in run.manifests()[0].events for choice in event.shard_labeled.choice]
    assert choices.count(Choice.CHOICE_UNSPECIFIED) == SHARD_PAIRS * (UNITS - 60)


def test_a_judge_that_was_accepted_at_the_pilots_gate_is_not_stopped_again():
    run, _ = labelled(silent_from=60)
    run.state.gate_overruled = True
    assert all(not said.event.HasField("run_paused") for said in run.due())


@pytest.mark.parametrize("silent_from", [UNITS - judge_health.LOOKED_AT // 3 // SHARD_PAIRS, UNITS])
def test_a_judge_that_is_silent_on_at_most_a_third_of_the_last_pairs_goes_on(silent_from):
    run, _ = labelled(silent_from=silent_from)
    assert run.view.status == RunStatus.RUN_STATUS_RUNNING and run.state.open.stage != Stage.STAGE_LABEL


def test_too_few_pairs_say_nothing_of_the_judge():
    assert judge_health.why({n: silent(shard(n)) for n in range(24)}) == ""
    assert "on 100 of the last 100 pairs" in judge_health.why({n: silent(shard(n)) for n in range(25)})


@given(st.permutations(range(20)), st.integers(0, 20))
def test_the_order_in_which_shards_come_changes_nothing(order, silent_from):
    events = {n: silent(shard(n)) if n >= silent_from else result(shard(n)) for n in range(20)}
    mixed = {n: events[n] for n in order}
    assert judge_health.why(mixed) == judge_health.why(events)
    assert (
        sorted(judge_health.to_judge_anew(mixed))
        == sorted(judge_health.to_judge_anew(events))
        == list(range(silent_from, 20))
    )
