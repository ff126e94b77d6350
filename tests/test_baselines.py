"""The baselines: each ranks or labels as its name says, and believes people."""

import numpy as np
import pytest

from concord.triage import baselines
from concord.triage.rounds import RoundContext
from concord.v1.config_pb2 import RunConfig
from tests.triage_world import NOBODY, answers, signals

CONFIG = RunConfig(seed=1, audit_share=0.5)
LABEL = np.array([1, -1, 1, -1, 1, 0])
MARGIN = np.array([0.1, 2.0, -1.5, -0.2, 3.0, 0.05])
WORLD = signals(6, label=LABEL, margin=MARGIN, length_difference=np.array([0.5, -0.1, 0.0, 2.0, -3.0, 1.0]))


def test_margin_asks_where_the_model_is_least_sure():
    assert baselines.triage_margin(WORLD, NOBODY, CONFIG, 1, 3).asked.pair.tolist() == [5, 0, 3]


def test_cleanlab_asks_where_the_model_contradicts_the_label_most():
    assert baselines.triage_cleanlab(WORLD, NOBODY, CONFIG, 1, 3).asked.pair.tolist() == [1, 2, 5]


@pytest.mark.parametrize("triage", [baselines.triage_margin, baselines.triage_cleanlab])
def test_a_ranking_changes_only_what_people_were_asked_about_and_asks_no_pair_twice(triage):
    said = answers([1, 2, 5], [1.0, 0.5, np.nan])
    decided = triage(WORLD, said, CONFIG, 2, 6)
    assert sorted(decided.asked.pair.tolist()) == [0, 3, 4]
    assert decided.target[[1, 2]].tolist() == [1.0, 0.5]
    assert ((decided.target[[0, 3, 4]] > 0.5) == (LABEL[[0, 3, 4]] > 0)).all()
    assert decided.flipped == 0


def test_human_only_asks_at_random_and_ends_with_what_the_models_say():
    decided = baselines.triage_human_only(WORLD, NOBODY, CONFIG, 1, 4)
    assert len(decided.asked.pair) == 4 and decided.asked.audit.all()
    said = answers([4], [0.0])
    last = baselines.triage_human_only(WORLD, said, CONFIG, 2, 0, RoundContext(last=True))
    assert (last.target[:4] > 0.5).tolist() == [True, True, False, False]
    assert last.target[4] == 0.0
    assert last.flipped == 2


def test_longest_prefers_the_longer_response_and_has_no_opinion_on_equals():
    decided = baselines.triage_longest(WORLD, NOBODY, CONFIG, 1, 5)
    assert decided.target.tolist() == [1.0, 0.0, 0.5, 1.0, 0.0, 1.0]
    assert len(decided.asked.pair) == 0


def test_the_better_judge_labels_alone_and_where_it_is_silent_or_of_two_minds_the_judge_does():
    world = signals(6, label=LABEL, helpers=("h",), helper_disagree=np.array([[1, 1, 0, 0.5, -1, -1.0]]))
    decided = baselines.triage_better_judge(world, NOBODY, CONFIG, 1, 5)
    assert decided.target.tolist() == [0.0, 1.0, 1.0, 0.0, 1.0, 0.5]
    assert decided.flipped == 2 and len(decided.asked.pair) == 0


def test_of_several_helpers_the_one_that_agrees_most_with_all_others_is_the_better_judge():
    noise = np.array([0, 1, 0, 1, 0, 1.0])
    world = signals(
        6, helpers=("noise", "sound", "mute"), helper_disagree=np.array([noise, [1, 0, 0, 0, 0, 0], -np.ones(6)])
    )
    assert baselines.best_helper(world) == 1
    assert baselines.best_helper(signals(6)) is None


def test_without_helpers_the_better_judge_is_the_judge():
    decided = baselines.triage_better_judge(WORLD, NOBODY, CONFIG, 1, 5)
    assert decided.target.tolist() == ((1 + LABEL) / 2).tolist() and decided.flipped == 0
