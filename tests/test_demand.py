"""Replicas are scaled by the work that may run: nobody for a run that stands still, no more than a judge's limits let through."""

import json
import urllib.request

import pytest

from concord.kit import telemetry
from concord.kit.store import Position, RunChange
from concord.kit.store.memory import MemoryStore
from concord.runs import demand, state, watchtower
from concord.runs.demand import Waits, let_through, survey, wanted
from concord.runs.work import work_item
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import PauseReason, Stage
from deploy.local.broker import free_port
from tests.run_world import FoldedRun, config, deferral, result

LLM = JudgeConfig(kind="llm", name="m", url="http://h/v1", both_orders=True)


def labelling(pairs: int = 160, **more) -> FoldedRun:
    """A run of forty shards whose judge is asked now."""
    run = FoldedRun(config(pilot=-1, **more), pairs=pairs)
    run.go_to(Stage.STAGE_LABEL)
    return run


def work_of(run: FoldedRun):
    """The first unit of the open stage."""
    return work_item(run.state, 0).work


def test_as_many_units_are_wanted_as_may_be_out_and_none_more_than_are_left():
    run = labelling(window=16)
    assert wanted(run.state) == ("labeling", 16)
    for number in range(30):
        run.hear(result(work_item(run.state, number).work))
    assert wanted(run.state) == ("labeling", 10)


def test_a_run_that_waits_for_people_or_for_a_person_wants_nobody():
    run = labelling()
    run.say("p", run_paused={"reason": PauseReason.PAUSE_REASON_CALLER, "detail": ""})
    assert wanted(run.state) == ("", 0)
    asked = FoldedRun(config(pilot=2))
    asked.go_to(Stage.STAGE_PILOT_ANNOTATE)
    assert wanted(asked.state) == ("", 0)
    assert survey([asked.state], 0.0, Waits()).questions > 0


def test_a_run_whose_judge_is_away_wants_one_unit_to_look_again():
    run = labelling()
    run.hear(deferral(work_of(run)))
    run.turn()
    assert run.view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED
    assert wanted(run.state) == ("labeling", 1)


@pytest.mark.parametrize(
    ("limits", "units"),
    [
        ({}, 16),
        ({"requests_per_minute": 24}, 3),
        ({"tokens_per_minute": 8_000}, 1),
        ({"requests_per_minute": 24, "tokens_per_minute": 8_000}, 1),
        ({"requests_per_minute": 1_000_000}, 16),
    ],
)
def test_a_judge_with_limits_wants_the_units_that_they_let_through_in_a_minute(limits, units):
    """Eight requests a unit; what a limit holds up would only be turned away by more replicas."""
    judge = JudgeConfig(**{field.name: value for field, value in LLM.ListFields()}, **limits)
    assert wanted(labelling(window=16, judge=judge).state) == ("labeling", units)


def test_a_hundred_runs_at_one_limited_judge_want_together_what_it_lets_through_and_at_an_unlimited_one_their_windows():
    slow = JudgeConfig(kind="llm", name="m", url="http://h/v1", requests_per_minute=60)
    one = labelling(window=16, judge=slow).state
    assert survey([one] * 100, 0.0, Waits()).wanted["labeling"] == let_through(one) == 15
    assert survey([labelling(window=16).state] * 100, 0.0, Waits()).wanted["labeling"] == 1_600


def test_how_long_a_run_waits_counts_from_its_last_settled_unit():
    run, waits = labelling(), Waits()
    opened = run.state.open.opened_at
    assert survey([run.state], opened + 50, waits).waits["labeling"] == 50
    run.hear(result(work_of(run)))
    assert survey([run.state], opened + 60, waits).waits["labeling"] == 0
    assert survey([run.state], opened + 90, waits).waits["labeling"] == 30
    assert survey([], opened + 99, waits).waits["labeling"] == 0 and not waits.seen


def test_money_and_pauses_are_told_of_the_dearest_runs_only():
    run = labelling()
    run.say("p", run_paused={"reason": PauseReason.PAUSE_REASON_BUDGET, "detail": ""})
    run.view.usage.dollars = 3.5
    seen = survey([run.state], 0.0, Waits())
    assert (seen.paused, seen.statuses, seen.dollars) == ({"budget": 1}, {"paused": 1}, {run.view.run_id: 3.5})


def stored(store: MemoryStore, run: FoldedRun) -> None:
    rows = {"state": state.row(run.state, "state")}
    change = RunChange(run.view.run_id, state.active(run.state), rows)
    read = store.position("runs", 0)
    store.save("runs", 0, read, Position(read.next_offset + 1, "log", 1), [change], None)


def test_any_replica_tells_the_demand_of_all_runs_beside_its_metrics():
    """After an idle week nothing is wanted, whatever a group's offsets say; with work it is wanted at the next look."""
    store, port = MemoryStore(), free_port()
    end = telemetry.serve_metrics(port)
    try:
        done = FoldedRun(config())
        done.finish()
        stored(store, done)
        watchtower.show(watchtower.looked(store, "runs", Waits(), 0.0))
        assert asked(port) == dict.fromkeys(demand.WORKERS.values(), 0)
        stored(store, labelling(window=16))
        watchtower.show(watchtower.looked(store, "runs", Waits(), 0.0))
        assert asked(port)["labeling"] == 16
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        assert 'concord_units_wanted{service="labeling"} 16.0' in metrics
    finally:
        end()


def asked(port: int) -> dict:
    return json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}{watchtower.WANTED}"))


def test_labels_are_bounded(monkeypatch):
    monkeypatch.setattr(telemetry, "_names", set())
    names = {telemetry.bounded(f"host-{number}.example") for number in range(3 * telemetry.MOST_NAMES)}
    assert len(names) <= telemetry.MOST_NAMES + 1 and "other" in names


def test_the_units_of_every_topic_have_somebody_who_does_them():
    from concord.preference.stages import STAGES

    assert {kind.topic for kind in STAGES.values() if kind.topic} == set(demand.WORKERS)
