"""Facts whose columns are of different lengths: no fold raises on one, and whoever tells the run's story gets to its end."""

import numpy as np
import pytest

from concord.preference.checked import decided, told
from concord.preference.columns import helper_columns, signal_columns, verdict_column
from concord.report import drift
from concord.runs import judge_health
from concord.v1.events_pb2 import Event, ShardLabeled, Stage
from concord.v1.pairs_pb2 import Choice
from tests.run_world import FoldedRun, config, result

COLUMNS = ("choice", "confidence", "length_difference", "order_flipped", "verified")


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("short", COLUMNS)
def test_a_short_column_says_nothing_of_the_pairs_that_it_lacks(short, kept):
    event = Event()
    said = event.shard_labeled
    said.pair_index.extend(range(3))
    for name in COLUMNS:
        getattr(said, name).extend([1] * (kept if name == short else 3))
    signals = {signal.name: signal for signal in drift.signals([event], config())}
    assert signals[drift.UNUSABLE].hits == ((3 - kept if short == "choice" else 0),)
    assert isinstance(judge_health.silence({0: event}, True), str)


def test_a_pilot_with_short_columns_is_folded_and_counts_what_is_there():
    folded = FoldedRun(config(pilot=4, human_budget=8))
    events = [result(work) for work in folded.go_to(Stage.STAGE_PILOT_LABEL)]
    for event in events:
        del event.shard_labeled.choice[3:]
        event.shard_labeled.helpers.add(judge="another", disagree=[0.0])
    folded.hear(*events)
    folded.turn()
    assert not folded.folded.corrupt
    assert len(folded.state.pilot.judge) == len(folded.state.pilot.pair_indexes) == 4
    assert Choice.CHOICE_UNSPECIFIED in folded.state.pilot.judge


def test_what_is_not_there_is_nothing():
    assert [told([7.0], at, -1.0) for at in (0, 1)] == [7.0, -1.0]


@pytest.mark.parametrize("given", [0, 1, 2, 5])
def test_a_column_gives_what_it_has_for_the_pairs_that_there_are(given):
    """Shorter, longer, or about pairs beyond the run's end: nothing is raised, and nothing said of another pair."""
    said = ShardLabeled(pair_index=[1, 2, 9], choice=[1] * given)
    said.helpers.add(judge="another", disagree=[0.5] * given)
    said.signals.add(signal="rubric", against=[0.5] * given)
    for index in (2, 9):
        said.checked.add(pair_index=index, decided=True)
    there = list((1, 2)[:given])
    assert np.flatnonzero(verdict_column([said], "choice", 3, 0)).tolist() == there
    assert np.flatnonzero(helper_columns([said], 3)["another"] >= 0).tolist() == there
    assert np.flatnonzero(signal_columns([said], 3)["rubric"] >= 0).tolist() == there
    assert decided([said], 3).tolist() == [False, False, True]
    assert not decided([said], 0).size
