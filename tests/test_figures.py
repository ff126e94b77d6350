"""The figures are what the run's facts say, and nothing that they cannot know."""

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from concord.client.run import options
from concord.preference import datasets
from concord.report.accuracy import Evaluation, label_accuracy
from concord.report.annotator_agreement import krippendorff
from concord.report.figures import Figures, Method, figures_of, method_of
from concord.report.history import Rows, read_history
from concord.report.margins import _edges
from concord.report.overruled import shortened
from concord.report.shares import share_of
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import AnswerFault, Event, Stage
from concord.v1.pairs_pb2 import Choice
from tests.small_run import SmallRun, config_of, small_run

RUN = cache(small_run)


def figures(run: SmallRun | None = None, truth: bool = True, **given) -> Figures:
    run = run or RUN()
    return figures_of(run.events, run.blobs.get, run.truth if truth else None, **given)


def rows(run: SmallRun) -> list[dict]:
    built = next(event.dataset_built for event, _ in run.events if event.WhichOneof("kind") == "dataset_built")
    return list(datasets.rows(built.dataset_uri, run.blobs.get))


def facts(run: SmallRun, kind: str) -> list[Event]:
    return [event for event, _ in run.events if event.WhichOneof("kind") == kind]


def test_label_accuracy_is_the_datasets_agreement_with_the_decided_truth():
    run = RUN()
    decided = {at: side for at, side in run.truth.items() if side != Choice.CHOICE_TIE}
    names = {Choice.CHOICE_FIRST: "first", Choice.CHOICE_SECOND: "second"}
    kept = [row for row in rows(run) if row["index"] in decided]
    right = [row["label"] == names[decided[row["index"]]] for row in kept]
    judged = [row["judge_label"] == names[decided[row["index"]]] for row in kept]
    measured = figures().label_accuracy
    assert measured.rows == len(kept) < len(rows(run))
    assert measured.final == pytest.approx(sum(right) / len(kept))
    assert measured.start == pytest.approx(sum(judged) / len(kept))
    assert measured.final > measured.start


def test_without_truth_nothing_pretends_to_know_accuracy():
    blind = figures(truth=False)
    said = json.dumps(blind.as_json())
    assert blind.label_accuracy.start is None and blind.label_accuracy.final is None and blind.human_accuracy is None
    assert blind.gap_closed is None and blind.methods["posterior"].label_accuracy is None
    assert all(r.accuracy is None for r in blind.rounds) and blind.flips.right is None
    assert '"accuracy": null' in said
    assert (
        blind.certificate.method == "audit" and blind.certificate.low < blind.certificate.error < blind.certificate.high
    )


def test_truth_changes_no_figure_but_those_that_need_it():
    open_, blind = figures().as_json(), figures(truth=False).as_json()
    differing = {key for key in open_ if open_[key] != blind[key]}
    assert differing == {"label_accuracy", "human_accuracy", "methods", "rounds", "bought", "flips"}


def test_people_are_counted_by_answered_pairs_and_by_votes():
    run = RUN()
    resolved = facts(run, "task_resolved")
    answered = [e for e in resolved if e.task_resolved.annotation_ids]
    counted = figures()
    assert counted.human_labels == len(answered) == counted.votes
    assert counted.unanswered == len(resolved) - len(answered) > 0
    assert counted.human_share == pytest.approx(len(answered) / 200)


def test_three_votes_on_a_pair_are_one_human_label():
    counted = figures(small_run(config_of(quorum=3, human_budget=90)))
    assert counted.votes == 3 * counted.human_labels > 0


def test_a_late_answer_is_reported_and_counts_for_nothing():
    run = RUN()
    said = facts(run, "annotation_submitted")[0]
    late = Event()
    late.CopyFrom(said)
    late.event_id, late.annotation_submitted.annotator = "11111111-1111-5111-8111-111111111111", "latecomer"
    other = SmallRun([*run.events, (late, run.events[-1][1] + 1)], run.blobs, run.truth)
    assert figures(other).late_votes == 1 and figures().late_votes == 0
    assert replace(figures(other), late_votes=0, wall_seconds=0, human_time=None) == replace(
        figures(), wall_seconds=0, human_time=None
    )


def test_each_round_shows_what_people_had_said_before_it():
    measured = figures()
    labels = [r.human_labels for r in measured.rounds]
    assert labels == sorted(labels) and labels[0] < labels[-1] == measured.human_labels
    assert measured.rounds[-1].asked == 0
    assert measured.rounds[-1].accuracy == pytest.approx(measured.label_accuracy.final)


def test_estimates_take_peoples_answers_as_right_and_agree_with_the_certificate():
    measured = figures()
    built = facts(RUN(), "dataset_built")[0].dataset_built
    assert measured.certificate.accuracy == pytest.approx(built.estimated_accuracy)
    assert measured.certificate.rows_sha256 == built.dataset_sha256 and measured.certificate.rows == built.rows
    last = measured.rounds[-1]
    unasked = 1 - (measured.human_labels + measured.unanswered) / measured.pairs
    assert last.estimated_accuracy == pytest.approx(1 - unasked * last.expected_error)


def test_nobody_asked_means_no_estimate():
    alone = figures(small_run(config_of("none")), truth=False)
    assert alone.human_labels == 0 and alone.certificate is None and alone.rounds == ()
    assert alone.margins is None and alone.overruled == ()


def test_too_few_answers_give_no_estimate_and_no_assumption_in_its_place():
    few = figures(small_run(config_of(human_budget=4)))
    assert few.human_labels > 0 and few.certificate is None
    plain = few.as_json()
    assert plain["certificate"] is None and {r["estimated_accuracy"] for r in plain["rounds"]} == {None}
    assert {r["expected_error"] for r in plain["rounds"]} == {None}


def test_a_judge_that_said_nothing_has_no_accuracy_of_zero():
    run = RUN()
    quiet = figures()
    assert quiet.label_accuracy.start > 0
    silent = replace(history := read_history(run.events, run.blobs.get), rows=_without_labels(history.rows))
    measured = label_accuracy(silent, run.truth)
    assert (measured.start, measured.final) == (None, None) and measured.rows == quiet.label_accuracy.rows


def _without_labels(rows: Rows) -> Rows:
    nothing = np.zeros_like(rows.label)
    return replace(
        rows,
        label=np.full_like(nothing, Choice.CHOICE_TIE),
        judge_label=nothing,
        source=np.full(len(nothing), "none"),
    )


def test_calls_without_a_price_have_no_sum():
    run, free = RUN(), SmallRun()
    for event, at in run.events:
        other = Event()
        other.CopyFrom(event)
        other.usage.dollars = 0
        free.events.append((other, at))
    told = figures(SmallRun(free.events, run.blobs, run.truth)).as_json()
    assert told["usage"]["calls"] > 0 and told["usage"]["dollars"] is None
    assert told["cost"]["judge"] is None and "price unknown" not in json.dumps(told)
    assert {row["usage"]["dollars"] for row in told["ledger"]} == {None, 0.0}


def test_answers_that_are_no_verdict_are_counted_by_cause_with_examples():
    run, kept = RUN(), SmallRun()
    for event, at in run.events:
        other = Event()
        other.CopyFrom(event)
        if other.HasField("shard_labeled"):
            other.shard_labeled.faults.add(judge="llm:m", fault=AnswerFault.ANSWER_FAULT_EMPTY, answers=2)
            other.shard_labeled.kept_answers.add(judge="llm:m", fault=AnswerFault.ANSWER_FAULT_EMPTY, pair_index=3)
        kept.events.append((other, at))
    (found,) = figures(SmallRun(kept.events, run.blobs, run.truth)).unusable_answers
    shards = len([event for event in facts(run, "shard_labeled") if event.unit.stage == Stage.STAGE_LABEL])
    assert (found.cause, found.answers, len(found.examples)) == ("empty", 2 * shards, 3)
    named = next(row["pair_id"] for row in rows(run) if row["index"] == 3)
    assert {example.pair_id for example in found.examples} == {named}, "a pair goes by its id wherever it is shown"
    assert figures().unusable_answers == ()


def test_random_asking_flips_nothing():
    asked = figures(small_run(config_of("random")))
    assert asked.flips.count == 0 and asked.human_labels > 0 and asked.margins is None


def test_the_models_flips_are_set_against_the_truth():
    run = small_run(config_of(human_budget=150, batch_share=0.02), pairs=900)
    measured = figures(run)
    flipped = [row for row in rows(run) if row["source"] == "flipped"]
    undecided = sum(run.truth[row["index"]] == Choice.CHOICE_TIE for row in flipped)
    assert measured.flips.count == len(flipped) > 0
    assert measured.flips.right + measured.flips.wrong == len(flipped) - undecided


def test_the_ledger_is_the_sum_over_the_facts():
    run, measured = RUN(), figures()
    for name in ("calls", "cached_calls", "prompt_tokens", "completion_tokens", "dollars", "seconds"):
        total = sum(getattr(event.usage, name) for event, _ in run.events)
        assert getattr(measured.usage, name) == pytest.approx(total)
        assert sum(getattr(cost.usage, name) for cost in measured.ledger) == pytest.approx(total)
    assert measured.usage.cached_calls == 6
    assert sum(cost.votes for cost in measured.ledger) == measured.votes


def test_human_minutes_are_votes_times_the_median():
    seconds = sorted(e.annotation_submitted.seconds for e in facts(RUN(), "annotation_submitted"))
    median = (seconds[(len(seconds) - 1) // 2] + seconds[len(seconds) // 2]) / 2
    assert figures().human_time.median_seconds == pytest.approx(median)
    assert figures().human_time.minutes == pytest.approx(figures().votes * median / 60)


def test_the_timeline_follows_the_logs_own_time():
    times = figures().timeline
    assert [t.stage for t in times[:3]] == ["PILOT_LABEL", "PILOT_ANNOTATE", "LABEL"]
    assert all(a.started_s + a.wall_seconds <= b.started_s for a, b in pairwise(times))


def test_order_flips_count_only_pairs_asked_in_both_orders():
    labeled = [e.shard_labeled for e in facts(RUN(), "shard_labeled") if e.unit.stage == Stage.STAGE_LABEL]
    flipped = [value for shard in labeled for value in shard.order_flipped]
    assert figures().order_flips == share_of(flipped.count(1), flipped.count(1) + flipped.count(0))
    assert flipped.count(-1) > 0


def test_length_is_compared_on_the_same_pairs():
    length = figures().length
    assert length.judge_where_asked.of == length.people.of < length.judge.of
    # The invented judge likes padding, people do not.
    assert length.judge.share > length.people.share


def test_agreement_is_told_apart_by_how_pairs_were_drawn():
    agreement, measured = figures().agreement, figures()
    decided = agreement.pilot.of + agreement.audit.of + agreement.chosen.of
    assert min(agreement.pilot.of, agreement.audit.of, agreement.chosen.of) > 0
    confirmed = agreement.pilot.count + agreement.audit.count + agreement.chosen.count
    assert decided - confirmed == measured.overruled_count


def test_the_margin_histogram_holds_every_labelled_pair_once():
    spread, measured = figures().margins, figures()
    labelled = sum(row["judge_label"] is not None for row in rows(RUN()))
    assert sum(spread.pairs) == labelled and 0.0 in spread.edges
    assert sum(spread.overruled) == measured.overruled_count
    negative = spread.edges.index(0.0)
    assert sum(spread.pairs[:negative]) == spread.against


@pytest.mark.parametrize("values", [[0.0], [1e-9, -1e-9], [5.0], [-3.0, -2.0], [1e6, -1e6], [0.3] * 50])
def test_histogram_bins_cover_the_values_and_keep_zero(values):
    edges = _edges(values)
    assert 0.0 in edges and len(edges) >= 2 and (edges[1:] > edges[:-1]).all()


def test_overruled_pairs_come_with_the_judges_surest_verdicts_first():
    measured = figures()
    assert 0 < len(measured.overruled) == min(10, measured.overruled_count)
    sure = [pair.judge_confidence for pair in measured.overruled]
    assert sure == sorted(sure, reverse=True)
    by_index = {row["index"]: row for row in rows(RUN())}
    for pair in measured.overruled:
        row = by_index[pair.index]
        assert (row["label"], row["judge_label"], row["pair_id"]) == (pair.people, pair.judge, pair.pair_id)
        assert {"first": pair.first, "second": pair.second}[pair.people] == row["chosen"].strip()


def test_long_texts_are_shortened_and_say_by_how_much():
    short = shortened("a" * 5_000 + "end", 600)
    left = short.count("a") - "characters left out".count("a")
    assert len(short) < 700 and short.endswith("end") and f"{5_003 - left - 3:,} characters left out" in short
    assert shortened("as it is ", 600) == "as it is"


def test_the_gap_is_null_below_eight_points_and_without_a_test():
    assert figures().gap_closed is None
    assert Evaluation(0.70, 0.76, 0.7799).gap_closed is None
    assert Evaluation(0.70, 0.76, 0.78).gap_closed == pytest.approx(0.75)
    assert figures(evaluation=Evaluation(0.68, 0.76, 0.80, 400)).gap_closed == pytest.approx(2 / 3)


def test_the_gap_may_come_out_below_zero_or_above_one():
    assert Evaluation(0.70, 0.69, 0.80).gap_closed == pytest.approx(-0.1)
    assert Evaluation(0.70, 0.81, 0.80).gap_closed == pytest.approx(1.1)


def test_report_json_holds_what_readers_rely_on():
    measured = figures(evaluation=Evaluation(0.6, 0.7, 0.8), methods={"random": Method(0.7, 48)}).as_json()
    finished = facts(RUN(), "run_finished")[0].run_finished
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    assert measured["pairs"] == 200 and measured["human_labels"] > 0 and 0 < measured["human_share"] < 1
    assert set(measured["label_accuracy"]) >= {"start", "final"} and measured["gap_closed"] == pytest.approx(0.5)
    assert measured["methods"]["random"] == {"label_accuracy": 0.7, "human_labels": 48, "curve": []}
    assert measured["methods"]["posterior"]["label_accuracy"] == measured["label_accuracy"]["final"]
    assert measured["usage"]["calls"] > 0
    assert (measured["dataset_sha256"], measured["history_sha256"]) == (
        finished.dataset_sha256,
        finished.history_sha256,
    )


def test_an_address_with_a_key_in_it_loses_the_key():
    judge = JudgeConfig(
        kind="llm", name="j", url="https://me:hunter2@judge.example:8000/v1?key=hunter2", api_key_env="KEY"
    )
    measured = figures(small_run(config_of("none", judge=judge))).as_json()
    assert "hunter2" not in json.dumps(measured)
    assert measured["config"]["judge"]["url"] == "https://judge.example:8000/v1"
    assert measured["config"]["judge"]["api_key_env"] == "KEY" and measured["config"]["seed"] == 7


def test_simulated_people_and_the_sample_judge_make_a_simulation():
    assert len(figures().simulation) == 1
    sample = config_of("none", annotators="recorded", judge=JudgeConfig(kind="sample"))
    assert "sample judge" in figures(small_run(sample)).simulation[0]
    assert figures(small_run(config_of("none", annotators="recorded"))).simulation == ()


def test_a_run_that_the_gate_stopped_reports_the_pilot():
    stopped = figures(small_run(judge_inverted=True))
    assert stopped.status == "paused" and "pilot" in stopped.status_detail
    assert stopped.agreement.pilot.of > 0 and stopped.agreement.pilot.share < 0.5
    assert stopped.label_accuracy.final is None and stopped.dataset_sha256 == "" and stopped.rows is None


@pytest.mark.parametrize("stage", [Stage.STAGE_PILOT_LABEL, Stage.STAGE_LABEL, Stage.STAGE_TRIAGE, Stage.STAGE_FINAL])
def test_an_unfinished_run_is_told_as_of_its_last_closed_stage(stage):
    measured = figures(small_run(stop_at=stage))
    assert measured.status == "running" and measured.rows is None
    assert measured.timeline[-1].wall_seconds is None
    json.dumps(measured.as_json(), allow_nan=False)


def test_a_run_that_only_exists_has_figures_too():
    run = RUN()
    measured = figures(SmallRun(run.events[:1], run.blobs, run.truth))
    assert (measured.status, measured.pairs, measured.human_share) == ("created", 0, 0.0)


def test_events_of_no_run_or_of_two_are_refused():
    run = RUN()
    with pytest.raises(ValueError, match="RunCreated"):
        figures(SmallRun(run.events[1:], run.blobs))
    other = small_run(config_of("none"))
    with pytest.raises(ValueError, match="more than one run"):
        figures(SmallRun([*run.events, *other.events], run.blobs))


def test_a_share_knows_its_interval():
    # Wilson's interval for 8 of 10 as tabulated in Newcombe (1998) by the formula: .4902 to .9433.
    share = share_of(8, 10)
    assert (share.share, round(share.low, 4), round(share.high, 4)) == (0.8, 0.4902, 0.9433)
    assert share_of(0, 0).share is None


def test_each_batch_of_questions_is_told_with_what_it_bought():
    measured = figures()
    assert [batch.round for batch in measured.bought] == list(range(len(measured.bought)))
    assert sum(batch.votes for batch in measured.bought) == measured.votes
    assert sum(batch.overruled for batch in measured.bought) == measured.overruled_count
    assert measured.bought[0].accuracy_before == pytest.approx(measured.label_accuracy.start)
    assert measured.bought[-1].accuracy_after == pytest.approx(measured.label_accuracy.final)
    assert all(a.accuracy_after == b.accuracy_before for a, b in pairwise(measured.bought))


def test_a_methods_curve_goes_from_the_judge_alone_to_the_dataset_and_survives_the_json():
    measured = figures()
    curve = measured.methods["posterior"].curve
    votes = [at for at, _ in curve]
    assert votes == sorted(set(votes)) and votes[0] == 0 and votes[-1] == measured.votes
    assert curve[0][1] == pytest.approx(measured.label_accuracy.start)
    assert curve[-1][1] == pytest.approx(measured.label_accuracy.final)
    kept = method_of(json.loads(json.dumps(measured.as_json()))["methods"]["posterior"])
    assert kept.curve == tuple((at, pytest.approx(right, abs=1e-6)) for at, right in curve)
    assert figures(truth=False).methods["posterior"].curve == ()
    assert method_of({"label_accuracy": None, "human_labels": 3}).curve == ()


def test_rlthfs_curve_shows_what_each_rounds_reward_model_would_have_labelled():
    config = config_of("rlthf")
    options.set_method(config, options.resolve({"judge": "recorded:J", "method": "rlthf"}))
    run = small_run(config)
    measured = figures(run)
    assert len(measured.rounds) > 2
    # The last round's labels are the dataset's, so what is read from its margins must be what the dataset holds.
    assert measured.rounds[-1].accuracy == pytest.approx(measured.label_accuracy.final)
    history = read_history(run.events, run.blobs.get)
    for round_ in measured.rounds:
        people = {a.pair: a.choice for a in history.answers if a.round < round_.round and a.given}
        margin = history.margins[round_.round]
        right = [
            people.get(at, Choice.CHOICE_FIRST if margin[at] > 0 else Choice.CHOICE_SECOND) == truth
            for at, truth in run.truth.items()
            if truth != Choice.CHOICE_TIE
        ]
        assert round_.accuracy == pytest.approx(sum(right) / len(right))
    assert len(measured.methods["rlthf"].curve) > 2


def test_a_method_that_labels_only_at_its_end_has_one_point_and_no_line():
    measured = figures(small_run(config_of("human-only")))
    assert measured.methods["human-only"].curve == ((measured.votes, pytest.approx(measured.label_accuracy.final)),)
    assert [r.accuracy for r in measured.rounds[:-1]] == [None] * (len(measured.rounds) - 1)
    assert measured.bought[-1].accuracy_after == pytest.approx(measured.label_accuracy.final)


def test_the_sorted_rewards_hold_every_labelled_pair_and_every_comparable_answer():
    measured = figures()
    curve = measured.reward_curve
    margins = [point.margin for point in curve.points]
    assert curve.pairs == sum(measured.margins.pairs) and margins == sorted(margins, reverse=True)
    assert (curve.points[0].position, curve.points[-1].position) == (0, curve.pairs - 1)
    assert sum(answer.overruled for answer in curve.answers) == measured.overruled_count
    places = [mark.position for _, mark in curve.bends]
    assert places == sorted(places) and len(places) > 0
    assert figures(small_run(config_of("random"))).reward_curve is None


def test_beliefs_are_held_against_the_answers_that_they_had_not_seen():
    run, measured = RUN(), figures().calibration
    asked_in_rounds = [e for e in facts(run, "task_resolved") if e.unit.stage == Stage.STAGE_ANNOTATE]
    assert 0 < measured.answers <= len(asked_in_rounds) and measured.absent == ""
    assert sum(at.wrong.of for at in measured.bins) == measured.answers
    assert sum(at.wrong.count for at in measured.bins) == measured.found
    assert all(at.low <= at.p_wrong <= at.high for at in measured.bins)
    assert sum(at.p_wrong * at.wrong.of for at in measured.bins) == pytest.approx(measured.expected)


def test_where_beliefs_cannot_be_checked_the_reason_is_given():
    assert "nobody was asked" in figures(small_run(config_of("none"))).calibration.absent
    assert "the same of every pair" in figures(small_run(config_of("random"))).calibration.absent
    few = figures(small_run(config_of(human_budget=12))).calibration
    assert "only" in few.absent and few.bins == ()


def test_people_are_held_against_each_other_where_several_answer():
    assert figures().between is None
    people = figures(small_run(config_of(quorum=3, human_budget=90))).between
    assert people.unanimous.of > 0 and people.pairs_of_votes.of == 3 * people.unanimous.of
    # They err in 5 of 100 votes.
    assert people.unanimous.share <= people.pairs_of_votes.share and 0.5 < people.alpha < 1


def test_krippendorffs_alpha_is_that_of_the_textbook():
    # Nominal example B of Krippendorff (2011): two observers, ten binary values, alpha = 0.095.
    one, other = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert krippendorff(list(zip(one, other, strict=True))) == pytest.approx(0.095, abs=0.001)
    assert krippendorff([(1, 1), (2, 2, 2)]) == 1.0 and krippendorff([(1, 1)]) is None and krippendorff([]) is None


def test_the_cost_is_set_against_people_alone_at_a_price_that_can_be_changed():
    measured, dear = figures(), figures(label_price=1.0)
    assert measured.cost.label_price == 0.036 and measured.cost.judge == measured.usage.dollars > 0
    assert measured.cost.people == pytest.approx(0.036 * measured.human_labels)
    assert dear.cost.all_human == 200.0 and dear.cost.people == measured.human_labels
    assert dear.cost.share == pytest.approx((dear.cost.people + dear.cost.judge) / 200)
