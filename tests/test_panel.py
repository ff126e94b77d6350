"""Judge and helpers on the same answers of people: counted, told in words after the pilot, at its gate and in the report."""

import pytest

from concord.client.run.progress import plain
from concord.preference.judges import column_name
from concord.preference.pilot import compared, rival
from concord.report.figures import figures_of
from concord.report.page import page
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Stage
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RunStatus
from tests.run_world import FoldedRun, config, resolved, result
from tests.small_run import config_of, small_run

FIRST, SECOND, TIE = Choice.CHOICE_FIRST, Choice.CHOICE_SECOND, Choice.CHOICE_TIE
BIG = JudgeConfig(kind="llm", name="big", url="https://other.example/v1")
SPEC = "https://other.example/v1#big"


def beside(right: int, better: int, worse: int, name: str = "big"):
    """A helper that agrees with the judge on `right` pairs, mends `better` of its errors and makes `worse` of its own."""
    said = {n: FIRST for n in range(right + better + worse)}
    judge = {n: SECOND if right <= n < right + better else FIRST for n in said}
    against = {n: 0.0 if n < right else 1.0 for n in said}
    return rival(name, said, judge, against)


def test_a_helper_is_held_against_the_judge_on_the_pairs_of_which_both_have_a_verdict():
    said = {0: FIRST, 1: SECOND, 2: TIE, 3: FIRST, 4: FIRST, 5: SECOND}
    judge = {0: FIRST, 1: FIRST, 2: FIRST, 3: Choice.CHOICE_UNSPECIFIED, 4: FIRST, 5: FIRST}
    against = {0: 0.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 0.5, 5: -1.0}
    one = rival("big", said, judge, against)
    # Ties, pairs without a verdict of the judge, and a helper of two minds or none count for nobody.
    assert (one.pairs, one.right, one.judge_right, one.differed, one.sided) == (2, 2, 1, 1, 1)


@pytest.mark.parametrize(
    ("better", "worse", "says"),
    [
        (5, 0, "big would judge better, for where they differ people sided with it in 5 of 5"),
        (7, 1, "people sided with it in 7 of 8"),
        (4, 0, "that it is ahead may be luck"),
        (6, 2, "that it is ahead may be luck"),
        (0, 3, "none of them would judge better"),
        (0, 0, "none of them would judge better"),
    ],
)
def test_another_one_would_judge_better_only_where_that_is_no_luck(better, worse, says):
    words = compared([beside(3, better, worse)])
    assert says in words
    assert f"big is right on {3 + better} of {3 + better + worse}, the judge on {3 + worse} of these" in words
    assert ("--judge big" in words) == ("would judge better, for" in words)


def test_of_several_the_best_is_named_first_and_the_last_are_only_counted():
    words = compared([beside(3, n, 0, f"judge-{n}") for n in range(6)])
    assert words.index("judge-5 is right") < words.index("judge-4 is right") < words.index("judge-3 is right")
    assert "judge-2" not in words and "3 helpers more are behind these" in words


def test_without_helpers_or_answers_nothing_is_said():
    assert compared([]) == compared([beside(0, 0, 0)]) == ""


def through_the_pilot(judge_right: int, helper_right: int) -> FoldedRun:
    """A pilot of eight; people say the first of each pair."""
    run = FoldedRun(config(pilot=8, human_budget=10, helpers=[BIG]))
    for work in run.go_to(Stage.STAGE_PILOT_LABEL):
        event = result(work)
        at = list(run.state.asked)
        mine = [at.index(pair) for pair in event.shard_labeled.pair_index]
        del event.shard_labeled.choice[:]
        event.shard_labeled.choice.extend(FIRST if n < judge_right else SECOND for n in mine)
        disagree = [float((n < helper_right) != (n < judge_right)) for n in mine]
        event.shard_labeled.helpers.add(judge=column_name(BIG), disagree=disagree)
        run.hear(event)
    run.go_to(Stage.STAGE_PILOT_ANNOTATE)
    run.hear(*[resolved(Stage.STAGE_PILOT_ANNOTATE, 0, n, pair, FIRST) for n, pair in enumerate(run.state.asked)])
    run.turn()
    return run


def test_after_the_pilot_the_run_says_that_a_helper_would_judge_better_before_all_is_judged():
    run = through_the_pilot(judge_right=3, helper_right=8)
    assert run.view.status == RunStatus.RUN_STATUS_RUNNING
    assert f"{SPEC} would judge better" in run.view.pilot_says and f"--judge {SPEC}" in run.view.pilot_says
    lines: list[str] = []
    seen = plain(lines.append)
    seen(run.view)
    seen(run.view)
    assert [line for line in lines if "would judge better" in line] == [f"  {run.view.pilot_says}"]


def test_the_gate_that_shuts_names_the_better_judge():
    run = through_the_pilot(judge_right=1, helper_right=8)
    assert run.view.status == RunStatus.RUN_STATUS_PAUSED
    assert (
        "people agree with the judge on 1 of 8" in run.view.detail and f"{SPEC} would judge better" in run.view.detail
    )


def test_a_worse_helper_is_not_recommended():
    run = through_the_pilot(judge_right=8, helper_right=5)
    assert "none of them would judge better" in run.view.pilot_says


# ── the report ──────────────────────────────────────────────────────────────────────────────────────────────────────


def told(**more):
    run = small_run(config_of(**more))
    return figures_of(run.events, run.blobs.get, run.truth)


def test_the_report_holds_each_signal_against_what_people_found():
    figures = told(rubric="all", helpers=[BIG])
    named = {said.name: said for said in figures.signals}
    assert list(named) == ["order flip", "rubric", column_name(BIG)]
    helper = named[column_name(BIG)]
    assert helper.says == f"helper {SPEC}"
    assert helper.wrong_against.share > 0.7 > 0.3 > helper.wrong_for.share
    assert named["rubric"].wrong_against.share > named["rubric"].wrong_for.share
    assert "on the answers that were drawn at random" in figures.judges and SPEC in figures.judges
    html = page(figures)
    assert "What each signal said" in html and "scores of each answer alone" in html


def test_a_signal_that_spoke_of_nothing_is_not_in_the_report():
    figures = told()
    assert [said.name for said in figures.signals] == ["order flip"] and figures.judges == ""


def test_scores_and_a_helper_that_knows_more_correct_more_labels():
    alone, more = told(), told(rubric="all", helpers=[BIG])
    assert more.label_accuracy.final > alone.label_accuracy.final
