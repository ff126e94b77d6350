"""Plans: which stages a run has, and how a budget that moves changes only what is still ahead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.preference import methods
from concord.preference.budget import MOST_ASKED, ask_in_round, batch_size, human_budget, pilot_size, rounds, tasks
from concord.preference.methods import METHODS
from concord.preference.stages import Step, step_name
from concord.runs import plan
from concord.v1.config_pb2 import JudgeConfig, RunConfig


def names(steps: tuple[Step, ...]) -> list[str]:
    return [step_name(*step) for step in steps]


def config(**more: object) -> RunConfig:
    return RunConfig(**{"method": "posterior", "quorum": 1, "pilot": 0, "batch_share": 0.1, "folds": 2, **more})


def test_posterior_trains_the_ai_head_once_then_asks_and_updates_in_turn():
    assert names(plan.stages(config(), 100, 20)) == [
        "LABEL",
        "FIT_FEATURES",
        "FEATURES",
        "TRAIN.1",
        "SCORE.1",
        "TRIAGE.1",
        "ANNOTATE.1",
        "TRIAGE.2",
        "ANNOTATE.2",
        "TRIAGE.3",
        "FINAL",
        "DATASET",
    ]


def test_random_has_no_ai_head_and_none_asks_nobody():
    assert names(plan.stages(config(method="random"), 100, 10)) == [
        "LABEL",
        "FIT_FEATURES",
        "FEATURES",
        "TRIAGE.1",
        "ANNOTATE.1",
        "FINAL",
        "DATASET",
    ]
    assert names(plan.stages(config(method="none", pilot=-1), 100, 10)) == [
        "LABEL",
        "FIT_FEATURES",
        "FEATURES",
        "FINAL",
        "DATASET",
    ]


def test_a_pilot_comes_first_where_the_budget_pays_one():
    assert names(plan.stages(config(pilot=-1), 100, 40))[:3] == ["PILOT_LABEL", "PILOT_ANNOTATE", "LABEL"]
    assert names(plan.stages(config(pilot=-1), 100, 0))[0] == "LABEL"


@pytest.mark.parametrize(
    ("pairs", "budget", "quorum", "size"),
    [(100, 1000, 1, 8), (10_000, 10_000, 1, 50), (100, 16, 1, 4), (100, 16, 2, 2), (5, 1000, 1, 5), (100, 3, 1, 0)],
)
def test_the_pilot_has_eight_pairs_or_half_a_per_cent_and_at_most_a_quarter_of_the_budget(pairs, budget, quorum, size):
    assert pilot_size(config(pilot=-1, quorum=quorum), pairs, budget) == size


@given(
    st.sampled_from(sorted(METHODS)),
    st.integers(1, 400),
    st.integers(1, 3),
    st.integers(-1, 9),
    st.data(),
)
def test_what_is_opened_stays_whatever_the_budget_does(method, pairs, quorum, pilot, data):
    given_config = config(method=method, quorum=quorum, pilot=pilot)
    budgets = st.integers(0, 3 * pairs)
    opened: tuple[Step, ...] = ()
    while True:
        steps = plan.stages(given_config, pairs, data.draw(budgets), opened)
        assert steps[: len(opened)] == opened
        assert len(set(steps)) == len(steps)
        assert steps[-2:] == methods.END
        if len(opened) == len(steps):
            break
        opened = steps[: len(opened) + data.draw(st.integers(1, 3))]


@given(st.integers(1, 500), st.integers(1, 3), st.integers(0, 400), st.integers(-1, 9))
def test_the_rounds_spend_the_budget_and_no_more(pairs, quorum, budget, pilot):
    given_config = config(quorum=quorum, pilot=pilot)
    votes = quorum * pilot_size(given_config, pairs, budget)
    last = rounds(given_config, pairs, budget)
    for round_ in range(1, last + 1):
        votes += quorum * ask_in_round(given_config, pairs, budget, votes, round_, last)
    assert votes <= budget or votes == 0
    if last:
        assert budget - votes < quorum
    assert ask_in_round(given_config, pairs, budget, votes, last + 1, last) == 0


def test_a_round_never_asks_more_than_one_event_carries():
    many = config(batch_share=1.0)
    assert batch_size(many, 1_000_000) == MOST_ASKED
    assert ask_in_round(many, 1_000_000, 900_000, 0, 1, 1) == MOST_ASKED


@pytest.mark.parametrize("quorum", [1, 2, 3])
def test_whoever_asks_everybody_asks_about_every_pair_whatever_the_quorum(quorum):
    asked = config(method="all-human", quorum=quorum, human_budget_share=1.0, batch_share=1.0)
    assert human_budget(asked, 100) == 100 * quorum
    assert tasks(asked, human_budget(asked, 100)) == 100
    assert human_budget(config(quorum=quorum, human_budget_share=0.1), 100) == 10


@given(
    st.sampled_from(sorted(METHODS)), st.integers(1, 5_000), st.integers(0, 3_000), st.integers(0, 40), st.booleans()
)
def test_a_plan_is_the_same_whether_it_was_kept_or_is_made_anew(method, pairs, budget, opened, enough):
    short, long = config(method=method), config(method=method, judge=JudgeConfig(criteria="x" * plan.MOST_KEPT_BYTES))
    begun = plan.stages(short, pairs, budget)[:opened]
    for _ in range(2):
        assert plan.stages(short, pairs, budget, begun, enough) == plan.stages(long, pairs, budget, begun, enough)


@given(pairs=st.integers(1, 60_000), quorum=st.integers(2, 4), more=st.integers(0, 3), third=st.floats(0, 1))
def test_whoever_asks_everybody_reaches_every_pair_however_often_people_disagree(pairs, quorum, more, third):
    asked = config(method="all-human", quorum=quorum, most_votes=quorum + more, human_budget_share=1.0, batch_share=1.0)
    budget = human_budget(asked, pairs)
    last, votes, left = rounds(asked, pairs, budget), 0, pairs
    for round_ in range(1, last + 1):
        wanted = min(left, ask_in_round(asked, pairs, budget, votes, round_, last))
        votes, left = votes + quorum * wanted + int(more * third * wanted), left - wanted
    assert left == 0 and votes <= budget
