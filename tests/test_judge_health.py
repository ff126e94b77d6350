"""A judge that falls silent or follows the place of an answer stops the run before it pays for more, in runs of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.runs import judge_health
from concord.v1.events_pb2 import AnswerFault, Event, PauseReason, Stage
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RunStatus
from concord.v1.work_pb2 import Work
from tests.run_world import RUN, SHARD_PAIRS, FoldedRun, config, failure, result

PAIRS = 400
UNITS = PAIRS // SHARD_PAIRS
PAUSED = RunStatus.RUN_STATUS_PAUSED


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


def flipped(work: Work, flips: int, pairs: int = SHARD_PAIRS) -> Event:
    """The unit's result in which the first verdicts change with the order, always for A, and the others do not."""
    event = result(work)
    event.shard_labeled.order_flipped.extend([1] * flips + [0] * (pairs - flips))
    event.shard_labeled.for_shown_first = pairs + flips
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
    assert SHARD_PAIRS * len(run.state.settled) <= 9 + 8 * SHARD_PAIRS


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


@pytest.mark.parametrize("pairs", [1, 2, 3, 12])
@pytest.mark.parametrize("method", ["none", "random", "longest"])
def test_a_judge_that_is_silent_on_all_stops_a_run_of_any_size_and_method(method, pairs):
    run = FoldedRun(config(method=method), pairs=pairs)
    run.hear(*[silent(work, SHARD_PAIRS) for work in run.go_to(Stage.STAGE_LABEL)])
    run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_SILENT_JUDGE and run.view.status == PAUSED
    assert "no usable verdict on" in run.view.detail


def test_a_run_whose_units_all_failed_stops_too_though_so_many_may_fail():
    run = FoldedRun(config(method="none", max_failed_units=50), pairs=8)
    run.hear(*[failure(work) for work in run.go_to(Stage.STAGE_LABEL)])
    run.turn()
    assert "no pair has a verdict, for every unit failed" in run.view.detail
    run.say("mended", stage_retried={"stage": Stage.STAGE_LABEL})
    assert [work.unit.retry for work in run.turn()] == [1, 1]


def test_a_silent_pilot_stops_the_run_before_people_are_asked_and_a_mended_judge_sees_it_again():
    run = FoldedRun(config(pilot=4, human_budget=16), pairs=40)
    run.hear(*[silent(work) for work in run.go_to(Stage.STAGE_PILOT_LABEL)])
    run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_SILENT_JUDGE
    run.say("mended", stage_retried={"stage": Stage.STAGE_PILOT_LABEL})
    run.hear(*[result(work) for work in run.turn()])
    run.turn()
    assert run.state.open.stage == Stage.STAGE_PILOT_ANNOTATE


def test_the_reason_names_the_causes_of_the_silence_and_quotes_nobody():
    events = {n: silent(shard(n)) for n in range(3)}
    for event in events.values():
        event.shard_labeled.faults.add(judge="llm:m", fault=AnswerFault.ANSWER_FAULT_CUT, answers=8)
        event.shard_labeled.kept_answers.add(judge="llm:m", fault=AnswerFault.ANSWER_FAULT_CUT, text="my secret diary")
    why = judge_health.silence(events, complete=True)
    assert "on 12 of 12 pairs (24 answers were cut by the limit on tokens" in why and "diary" not in why


def test_a_judge_that_always_says_a_stops_the_run_in_the_pilot_if_that_is_large_enough():
    run = FoldedRun(config(pilot=8, human_budget=32, shard_pairs=8), pairs=40)
    run.hear(*[flipped(work, 8, 8) for work in run.go_to(Stage.STAGE_PILOT_LABEL)])
    run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE
    assert "the judge says A in 16 of 16 answers; 8 of 8 verdicts change" in run.view.detail
    assert "--resume --accept-judge" in run.view.detail and run.view.votes == 0


def test_a_pilot_of_two_is_too_small_and_the_run_stops_once_seven_pairs_are_judged():
    run = FoldedRun(config(method="none", window=1), pairs=40)
    asked = run.go_to(Stage.STAGE_LABEL)
    while asked:
        run.hear(*[flipped(work, SHARD_PAIRS) for work in asked])
        asked = run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE
    assert len(run.state.settled) == 2


def test_a_resume_goes_on_with_a_one_sided_judge_and_a_retry_stops_again():
    run = FoldedRun(config(method="none"), pairs=40)
    run.hear(*[flipped(work, SHARD_PAIRS) for work in run.go_to(Stage.STAGE_LABEL)])
    run.turn()
    run.say("again", stage_retried={"stage": Stage.STAGE_LABEL})
    assert run.turn() == [] and run.view.pause_reason == PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE
    run.say("as it is", run_resumed={})
    while asked := run.turn():
        run.hear(*[flipped(work, SHARD_PAIRS) if work.HasField("label_shard") else result(work) for work in asked])
    assert run.view.status == RunStatus.RUN_STATUS_FINISHED


def test_a_judge_that_flips_on_half_of_the_pairs_is_no_worse_than_a_coin_and_goes_on():
    run = FoldedRun(config(method="none", window=UNITS), pairs=PAIRS)
    run.hear(*[flipped(work, 2) for work in run.go_to(Stage.STAGE_LABEL)])
    run.turn()
    assert run.view.status == RunStatus.RUN_STATUS_RUNNING and run.state.open.stage != Stage.STAGE_LABEL


@pytest.mark.parametrize("silent_from", [UNITS - judge_health.LOOKED_AT // 3 // SHARD_PAIRS, UNITS])
def test_a_judge_that_is_silent_on_at_most_a_third_of_the_last_pairs_goes_on(silent_from):
    run, _ = labelled(silent_from=silent_from)
    assert run.view.status == RunStatus.RUN_STATUS_RUNNING and run.state.open.stage != Stage.STAGE_LABEL


def test_a_judge_that_broke_for_good_stops_the_run_whatever_numbers_the_shards_have_that_it_broke_on():
    """On a busy machine the first shards may come last."""
    settled = {n: silent(shard(n)) if n < 4 else result(shard(n)) for n in reversed(range(8))}
    assert judge_health.silence(settled, complete=True) and not judge_health.silence(settled, complete=False)


def test_too_few_pairs_say_nothing_of_the_judge_as_long_as_more_are_to_come():
    two = {n: silent(shard(n)) for n in range(2)}
    assert judge_health.silence(two, complete=False) == ""
    assert "on 8 of 8 pairs" in judge_health.silence(two, complete=True)
    assert "on 12 of 12 pairs" in judge_health.silence({n: silent(shard(n)) for n in range(3)}, complete=False)


def test_an_honest_judge_that_is_silent_on_one_pair_of_five_is_hardly_ever_stopped():
    rng, stopped = np.random.default_rng(5), 0
    for _ in range(300):
        gaps = rng.random((50, SHARD_PAIRS)) < 0.2
        events = {n: silent(shard(n), int(gaps[n].sum())) for n in range(50)}
        stopped += any(judge_health.silence(dict(list(events.items())[:n]), n == 50) for n in range(1, 51))
    assert stopped <= 3


@given(st.permutations(range(20)), st.integers(0, 20))
def test_the_order_in_which_shards_come_changes_nothing(order, silent_from):
    events = {n: silent(shard(n)) if n >= silent_from else result(shard(n)) for n in range(20)}
    mixed = {n: events[n] for n in order}
    assert judge_health.silence(mixed, True) == judge_health.silence(events, True)
    assert (
        sorted(judge_health.to_judge_anew(mixed))
        == sorted(judge_health.to_judge_anew(events))
        == list(range(silent_from, 20))
    )
