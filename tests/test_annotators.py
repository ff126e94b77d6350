"""An annotator who deviates: who is named and who is not, and what becomes of a run that one of three answers the opposite in."""

import numpy as np
import pytest

from benchmarks import annotators
from concord.client.run.progress import plain
from concord.kit.loop.events import Fact
from concord.operate.timeline import tell
from concord.preference import annotations, deviating
from concord.preference.annotations import Votes
from concord.preference.votes import by_person, heard
from concord.report.figures import figures_of
from concord.report.history import read_history
from concord.report.overview import header
from concord.report.satisfaction import satisfaction
from concord.triage.annotators import COIN, LEAST, deviations
from concord.v1.events_pb2 import Deviation, Event, RoundTriaged, StageManifest, TaskOutcome, TaskResolved
from concord.v1.pairs_pb2 import Choice, Mark
from concord.v1.runs_service_pb2 import RunView
from concord.v1.work_pb2 import Work
from tests.small_run import config_of, small_run

FIRST, SECOND, TIE = Choice.CHOICE_FIRST, Choice.CHOICE_SECOND, Choice.CHOICE_TIE
OPPOSITE, LAZY = 1.0, 0.5


def resolved(*said: tuple[str, int], counted: int = 0) -> TaskResolved:
    """A question on pair 7 that these answered."""
    task = TaskResolved(pair_index=7, outcome=TaskOutcome.TASK_OUTCOME_DECIDED, choice=said[0][1], counted=counted)
    task.annotation_ids.extend(f"annotation of {who}" for who, _ in said)
    task.annotators.extend(who for who, _ in said)
    task.choices.extend([choice for _, choice in said] if len(said) > 1 else [])
    return task


# ── one question ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_question_that_only_somebody_set_aside_answered_is_as_if_nobody_could_say():
    task = heard(resolved(("eve", FIRST)), ["eve"])
    assert (task.outcome, task.choice, len(task.annotation_ids)) == (TaskOutcome.TASK_OUTCOME_SKIPPED, 0, 0)
    manifest = StageManifest(audit=[True], events=[Event(task_resolved=resolved(("eve", FIRST)))])
    assert np.isnan(annotations.read([manifest], ["eve"]).p_first[0])
    assert annotations.read([manifest], []).p_first[0] == 1


def test_of_several_votes_the_others_decide():
    three = resolved(("ann", FIRST), ("eve", SECOND), ("bob", FIRST))
    assert heard(three, ["eve"]).choice == FIRST
    assert heard(resolved(("ann", FIRST), ("eve", SECOND), ("bob", SECOND)), ["eve"]).choice == TIE
    assert heard(three, ["mallory"]) is three


def test_a_second_person_takes_the_place_of_a_first_one_who_is_set_aside():
    task = heard(resolved(("eve", FIRST), ("bob", SECOND), counted=1), ["eve"])
    assert (task.choice, task.counted, list(task.annotators)) == (SECOND, 0, ["bob"])


def test_votes_that_go_by_no_persons_name_are_nobodys():
    assert [who for who, _ in by_person(resolved(("reused-0", FIRST), ("file-1", FIRST), ("ann", FIRST)))] == [
        "",
        "",
        "ann",
    ]
    before = resolved(("ann", FIRST))
    before.ClearField("annotators")
    assert by_person(before) == [("", FIRST)] and heard(before, ["ann"]) is before


# ── who is named ────────────────────────────────────────────────────────────────────────────────────────────────────


def said(errs: dict[str, float], each: int, seed: int, wrong: float = 0.15) -> tuple[Votes, np.ndarray, np.ndarray]:
    """Votes on labels of which so many are wrong, the doubtful ones more often, and what the run says of the labels."""
    draw = np.random.default_rng(seed)
    names = draw.permutation(np.repeat(list(errs), each))
    p_error = np.minimum(draw.gamma(1.5, wrong / 1.5, len(names)), 0.5)
    is_wrong = draw.random(len(names)) < p_error
    err = np.array([errs[name] for name in names])
    right = is_wrong != (draw.random(len(names)) < err)
    pair = np.arange(len(names))
    return Votes(names, pair, 1.0 - right, draw.random(len(names)) < 0.4), np.ones(len(names)), p_error


def named(errs: dict[str, float], each: int, seed: int) -> list[str]:
    return [one.annotator for one in deviations(*said(errs, each, seed)) if one.set_aside]


def test_somebody_who_answers_the_opposite_is_named_after_some_dozen_answers():
    errs = {"ann": 0.05, "bob": 0.05, "eve": OPPOSITE}
    assert sum(named(errs, 40, seed) == ["eve"] for seed in range(20)) >= 19
    assert not any(set(named(errs, each, seed)) - {"eve"} for each in (10, 20, 80) for seed in range(10))


def test_somebody_who_tosses_a_coin_is_named_after_some_hundreds():
    errs = {"ann": 0.05, "bob": 0.05, "lee": LAZY}
    assert sum(named(errs, 400, seed) == ["lee"] for seed in range(10)) >= 8


@pytest.mark.parametrize("errs", [(0.05, 0.05, 0.05), (0.05, 0.1, 0.2), (0.15, 0.15, 0.3)])
def test_people_of_different_skill_raise_no_alarm_in_whole_runs_of_many_looks(errs):
    alarms = 0
    for seed in range(12):
        votes, label, p_error = said(dict(zip("abc", errs, strict=True)), 200, seed)
        for look in range(50, 601, 50):
            so_far = Votes(*(column[:look] for column in vars(votes).values()))
            alarms += bool(deviations(so_far, label, p_error))
    assert not alarms


def test_of_two_persons_nobody_is_set_aside_and_an_alarm_is_raised():
    found = deviations(*said({"ann": 0.05, "eve": OPPOSITE}, 100, 0))
    assert [(one.annotator, one.set_aside) for one in found] == [("eve", False)]


def test_who_was_set_aside_stays_so_and_is_no_measure_for_the_others():
    votes, label, p_error = said({"ann": 0.05, "bob": 0.05, "eve": OPPOSITE}, 60, 1)
    (one,) = deviations(votes, label, p_error, ["eve"])
    assert one.set_aside and one.others_against < one.others_answers / 3
    (silent,) = deviations(Votes(*(column[:0] for column in vars(votes).values())), label, p_error, ["eve"])
    assert silent.set_aside and silent.answers == 0


def test_nothing_is_said_of_few_answers_of_ties_of_nobody_or_where_no_label_is():
    votes, label, p_error = said({"ann": 0.0, "bob": 0.0, "eve": OPPOSITE}, LEAST - 1, 0)
    assert not deviations(votes, label, p_error)
    votes, label, p_error = said({"ann": 0.0, "bob": 0.0, "eve": OPPOSITE}, 60, 0)
    assert not deviations(votes, np.full(len(label), 0.5), p_error)
    assert not deviations(Votes(votes.annotator, votes.pair, np.full(len(label), 0.5), votes.audit), label, p_error)
    nobody = np.full(len(label), "")
    assert not deviations(Votes(nobody, votes.pair, votes.p_first, votes.audit), label, p_error)


def test_the_one_honest_person_beside_two_who_say_the_opposite_is_not_named():
    assert not any("ann" in named({"ann": 0.05, "eve": OPPOSITE, "mal": OPPOSITE}, 100, seed) for seed in range(10))


def test_the_order_of_the_votes_changes_nothing():
    votes, label, p_error = said({"ann": 0.05, "bob": 0.1, "eve": OPPOSITE}, 60, 3)
    order = np.random.default_rng(0).permutation(len(label))
    mixed = Votes(*(column[order] for column in vars(votes).values()))
    assert deviations(votes, label, p_error) == deviations(mixed, label, p_error)
    assert 0 < COIN < 1


# ── a whole run ─────────────────────────────────────────────────────────────────────────────────────────────────────


CONFIG = config_of(human_budget=240, shard_pairs=64, audit_share=0.4)


@pytest.fixture(scope="module")
def opposed():
    """One of three says the opposite, always."""
    return small_run(CONFIG, pairs=500, people=3, opposing="person-3")


def last_round(run) -> RoundTriaged:
    return [event.round_triaged for event, _ in run.events if event.HasField("round_triaged")][-1]


def right(run) -> tuple[float, float]:
    """Share of the judge's labels that are right, and of those at the end."""
    figures = figures_of(run.events, run.blobs.get, run.truth)
    return figures.label_accuracy.start, figures.label_accuracy.final


def test_a_run_with_somebody_who_says_the_opposite_goes_on_without_his_answers_and_ends_above_its_judge(opposed):
    assert deviating.set_aside(last_round(opposed)) == ["person-3"]
    start, final = right(opposed)
    assert final >= start
    figures = figures_of(opposed.events, opposed.blobs.get, opposed.truth)
    assert figures.set_aside > 30 and figures.human_labels + figures.set_aside == figures.votes
    # No label is his, and what people are said to have got right is what the others said.
    built = [event.dataset_built for event, _ in opposed.events if event.HasField("dataset_built")][-1]
    assert built.from_people == figures.human_labels
    assert figures.human_accuracy.share > 0.85
    asked = read_history(opposed.events, opposed.blobs.get).answers
    assert figures.certificate.answers == sum(one.uniform and one.given for one in asked)


def test_marks_of_somebody_set_aside_count_in_no_measure(opposed):
    marked = [(Event.FromString(event.SerializeToString()), at) for event, at in opposed.events]
    for event, _ in marked:
        if event.HasField("annotation_submitted"):
            by_him = event.annotation_submitted.annotator == "person-3"
            event.annotation_submitted.first_mark = Mark.MARK_NOT_ACCEPTABLE if by_him else Mark.MARK_ACCEPTABLE
            event.annotation_submitted.second_mark = event.annotation_submitted.first_mark
    measured = satisfaction(read_history(marked, opposed.blobs.get))
    assert measured.dataset.satisfaction.share == 1


def test_the_report_the_story_and_the_lines_of_a_run_say_who_deviates(opposed):
    figures = figures_of(opposed.events, opposed.blobs.get, opposed.truth)
    (one,) = figures.deviations
    assert one.set_aside and one.against > one.answers / 2 and one.others_against < one.others_answers / 2
    page = str(header(figures))
    assert "Alarm." in page and "person-3" in page and "set aside" in page
    told = " ".join(
        chapter.says for chapter in tell([Fact(event, at, time) for at, (event, time) in enumerate(opposed.events)])
    )
    assert "alarm: annotator 'person-3'" in told
    lines: list[str] = []
    seen = plain(lines.append)
    for against in (40, 41):
        found = Deviation(annotator="eve", answers=50, against=against, others_answers=80, set_aside=True)
        seen(RunView(last_round=RoundTriaged(deviations=[found])))
    assert sum("'eve'" in line for line in lines) == 1


def test_three_honest_people_raise_no_alarm_and_nothing_is_set_aside():
    run = small_run(CONFIG, pairs=500, people=3)
    assert not last_round(run).deviations
    figures = figures_of(run.events, run.blobs.get, run.truth)
    assert not figures.deviations and not figures.set_aside


def test_a_work_item_says_whose_answers_are_set_aside():
    task = resolved(("eve", FIRST))
    manifest = StageManifest(audit=[True], events=[Event(task_resolved=task)])
    assert np.isnan(annotations.known(Work(set_aside=["eve"]), ["one"], lambda _: manifest).p_first[0])
    assert annotations.votes(Work(set_aside=["eve"]), ["one"], lambda _: manifest).annotator.tolist() == ["eve"]


def test_the_benchmark_names_who_says_the_opposite_and_nobody_of_the_honest():
    honest = annotators.measured(annotators.CASES["5, 10 and 20 %, in parts"], range(2))
    assert not sum(honest["named"].values())
    opposite = annotators.measured(annotators.CASES["the opposite, 1,200 votes"], range(2))
    assert opposite["named"]["person-2"] == opposite["set_aside"] == 2
