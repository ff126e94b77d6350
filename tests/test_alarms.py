"""Alarms: each fires on its planted fault, is silent on a quiet run, and is seen where people look."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from benchmarks.drifting_runs import CONFIG, FAULTS, PAIRS, SHARD, facts
from concord.kit.loop.events import Fact
from concord.operate import timeline
from concord.operate.diagnose import Observed, run_findings
from concord.report import alarms, drift, round_signals
from concord.report.figures import figures_of
from concord.tasks import queue
from concord.v1.events_pb2 import Event
from tests.run_world import FoldedRun, config
from tests.small_run import config_of, small_run

FIRES = {
    "the judge falls silent": drift.UNUSABLE,
    "order flips": drift.FLIPPED,
    "taste for the first place": drift.FIRST,
    "taste for length": drift.LONGER,
    "the judge is sure of everything": drift.SURE,
    "the judge against checks": drift.DISPUTED,
    "people toss coins": round_signals.APART,
    "people say the opposite": round_signals.OVERRULED,
    "the model flips": round_signals.FLIPPED,
    "rewards against the labels": round_signals.AGAINST,
    "rewards turn": round_signals.TURNED,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fires_its_alarm_near_where_it_begins(fault):
    found = {one.signal: one for one in alarms.alarms(facts(3, FAULTS[fault][0]), CONFIG)}
    alarm = found[FIRES[fault]]
    if alarm.round is None:
        assert abs(int(alarm.since.partition("/")[2]) - PAIRS // SHARD // 2) <= 2, alarm.since
    else:
        assert alarm.round in (4, 5, 6) and alarm.since == f"round {alarm.round}"
    assert alarm.do and alarm.picture and alarm.since in alarm.says


def test_everything_that_is_watched_has_a_fault_that_fires_it_but_what_needs_an_endpoint():
    # Answers without a verdict are counted by an endpoint's calls; settled questions fire with people who say the opposite.
    assert set(alarms.WATCHED) == {*FIRES.values(), drift.UNPARSED, round_signals.GOLD}
    said = {one.signal for one in alarms.alarms(facts(3, FAULTS["people say the opposite"][0]), CONFIG)}
    assert round_signals.GOLD in said


@pytest.mark.parametrize("seed", range(5))
def test_a_quiet_run_is_silent(seed):
    assert alarms.alarms(facts(seed), CONFIG) == ()


def test_people_who_no_longer_agree_are_told_with_their_alpha():
    found = alarms.of_rounds(facts(3, FAULTS["people toss coins"][0]))
    assert "Krippendorff's alpha from 0." in next(one.says for one in found if one.signal == round_signals.APART)


def test_a_whole_run_of_steady_judge_and_people_is_silent_and_its_page_too():
    made = small_run(config_of(quorum=2, human_budget=80), people=3)
    figures = figures_of(made.events, made.blobs.get)
    assert figures.alarms == () and figures.as_json()["alarms"] == []
    assert len(round_signals.rounds_of([event for event, _ in made.events]).numbers) > 3


def test_an_alarm_stands_at_its_round_in_the_story_and_with_what_to_do_at_the_doctor():
    events = facts(3, FAULTS["people toss coins"][0])
    story = timeline.tell([Fact(event, at, float(at)) for at, event in enumerate(events)])
    assert any("on which two people say different things" in odd.says for chapter in story for odd in chapter.odd)
    found = alarms.alarms(events, CONFIG)
    folded = FoldedRun(config())
    seen = Observed(0.0, 0.0, 0, [], ["runs"], alarms=found)
    findings = run_findings(folded.state, queue.initial(""), seen)
    assert any((one.says, one.do) == (found[0].says, found[0].do) for one in findings)


def test_facts_that_were_altered_raise_nothing():
    events = facts(3)
    events[1].shard_labeled.pair_index[0] = 4_000_000_000
    events.append(Event(shard_scored={"first_index": 4_000_000_000, "margin": [1.0]}, unit={"stage": 9, "round": 99}))
    assert isinstance(alarms.of_rounds(events), tuple)
    del events[2].shard_labeled.choice[:]
    assert isinstance(alarms.alarms(events[2:], CONFIG), tuple)


@pytest.mark.parametrize(
    "history", sorted((Path(__file__).parent / "golden").glob("*.jsonl")), ids=lambda path: path.stem
)
def test_recorded_runs_in_which_nothing_broke_are_silent(history):
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    events = [ParseDict(line["event"], Event(), ignore_unknown_fields=True) for line in lines if "event" in line]
    settings = next((event.run_created.config for event in events if event.HasField("run_created")), CONFIG)
    assert alarms.alarms(events, settings) == ()
