"""More signals from one endpoint: how they become columns, and what P(label wrong) makes of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from concord.labeling.judge import combine
from concord.labeling.verdict import Verdict
from concord.labeling.verdict_columns import p_tokens
from concord.triage.posterior import posterior
from concord.triage.signals import design, signals_of
from concord.v1 import events_pb2, pairs_pb2
from tests.triage_world import NOBODY, answers, signals

FIRST, SECOND = pairs_pb2.CHOICE_FIRST, pairs_pb2.CHOICE_SECOND


def shard(**columns) -> events_pb2.ShardLabeled:
    """Three pairs: the judge prefers the first, the second, and says nothing of the third."""
    return events_pb2.ShardLabeled(pair_index=[0, 1, 2], choice=[FIRST, SECOND, 0], **columns)


def read(*shards, pairs=3):
    return signals_of(
        shards, np.zeros(pairs), np.zeros((pairs, 0)), np.arange(pairs, dtype=np.uint64), np.zeros(pairs, int)
    )


def column(world, name):
    made = design(world, np.zeros(len(world.helpers), bool))
    return made.columns[:, made.names.index(name)]


def test_scores_of_each_answer_alone_speak_against_the_label_that_they_contradict():
    said = read(shard(rubric_first=[9, 9, 9], rubric_second=[7, 7, 7]))
    assert said.rubric[0] < 0.2 and said.rubric[1] > 0.8
    assert said.rubric[2] == -1, "without a label there is nothing to speak against"


def test_a_pair_that_was_not_scored_says_nothing():
    assert read(shard()).rubric.tolist() == [-1, -1, -1]
    assert read(shard(rubric_first=[0, 5, 0], rubric_second=[5, 0, 0])).rubric.tolist() == [-1, -1, -1]


def test_equal_scores_speak_for_neither():
    assert read(shard(rubric_first=[6, 6, 6], rubric_second=[6, 6, 6])).rubric[:2].tolist() == [0.5, 0.5]


def test_further_verdicts_go_by_their_names_over_all_shards():
    votes = events_pb2.SignalColumn(signal="votes", against=[0.25, -1, -1])
    other = events_pb2.ShardLabeled(pair_index=[3], choice=[FIRST])
    said = read(shard(signals=[votes]), other, pairs=4)
    assert list(said.further) == ["votes"] and said.further["votes"].tolist() == [0.25, -1, -1, -1]


def test_signals_that_nobody_asked_for_leave_the_model_as_it_was():
    assert design(read(shard()), np.zeros(0, bool)).names == ("intercept",)


@pytest.mark.parametrize("name", ["rubric", "votes", "criteria", "taught"])
def test_each_further_signal_moves_p_wrong_the_way_it_speaks(name):
    against = np.array([1.0, 0.0, -1.0])
    world = signals(3, **({"rubric": against} if name == "rubric" else {"further": {name: against}}))
    p_against, p_for, p_silent = posterior(world, NOBODY).p_wrong
    assert p_for < p_silent < p_against


def test_further_verdicts_of_one_mind_share_what_one_of_them_counts():
    one = design(signals(2, further={"votes": np.ones(2)}), np.zeros(0, bool))
    two = design(signals(2, further={"votes": np.ones(2), "criteria": np.ones(2)}), np.zeros(0, bool))
    assert dict(zip(two.names, two.mean, strict=True))["votes"] < dict(zip(one.names, one.mean, strict=True))["votes"]


def test_token_odds_of_both_orders_are_one_probability_of_the_label():
    sure, unsure = Verdict("A", 0.99, p_tokens=0.99), Verdict("A", 0.6, p_tokens=0.6)
    both = combine(sure, unsure)
    # For the first in its own order, and against it the other way round: the surer order wins, and much doubt is left.
    assert both.choice == FIRST and 0.6 < both.p_tokens < 0.99
    assert combine(sure, Verdict("B", 0.99, p_tokens=0.99)).p_tokens == pytest.approx(0.99)
    assert combine(sure, None).p_tokens == pytest.approx(0.99)
    assert combine(Verdict("A", 0.8), None).p_tokens is None


def test_a_shard_without_any_odds_has_no_column_of_them():
    silent, spoke = combine(Verdict("A", 0.8), None), combine(Verdict("A", 0.8, p_tokens=0.8), None)
    assert p_tokens([silent]) == []
    assert p_tokens([silent, spoke]) == pytest.approx([-1, 0.8])


def test_where_the_token_speaks_the_confidence_that_was_made_of_it_is_not_counted_again():
    world = signals(3, confidence=np.array([0.9, 0.7, 0.8]), p_tokens=np.array([0.9, 0.7, -1]))
    assert column(world, "confidence").tolist()[:2] == [0, 0] and column(world, "confidence")[2] != 0
    assert column(world, "log-probabilities")[2] == 0


@pytest.mark.parametrize("shift", [0.0, 5.0], ids=["a judge with room for doubt", "a judge that is always sure"])
def test_token_odds_are_calibrated_by_answers_whatever_surety_is_usual_at_the_endpoint(shift):
    draw = np.random.default_rng(4)
    pairs = 4_000
    odds = draw.normal(2, 1.5, pairs)
    truth_wrong = draw.random(pairs) < expit(-0.4 - 0.9 * odds)
    p = expit(odds + shift)
    world = signals(pairs, confidence=p, p_tokens=p)
    seen = np.arange(300)
    said = answers(seen, (~truth_wrong[seen]).astype(float))
    believed = posterior(world, said).p_wrong[300:]
    wrong = truth_wrong[300:]
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 1)):
        inside = (believed >= low) & (believed < high)
        assert believed[inside].mean() == pytest.approx(wrong[inside].mean(), abs=0.07), (low, high)
    # The plain confidence of a judge that is always sure is the same for all, and tells nothing.
    plain = posterior(replace(world, p_tokens=None), said).p_wrong[300:]
    assert _log_loss(believed, wrong) <= _log_loss(plain, wrong) + (0.001 if shift == 0 else -0.02)


def _log_loss(p, wrong) -> float:
    p = np.clip(p, 1e-3, 1 - 1e-3)
    return float(-np.where(wrong, np.log(p), np.log(1 - p)).mean())
