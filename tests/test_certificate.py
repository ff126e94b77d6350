"""The certificate's estimators: what audit answers say of all labels, and what people's own error does to it."""

from dataclasses import replace

import numpy as np
import pytest

from concord.certificate import people, stopping
from concord.certificate.estimate import estimate
from concord.certificate.evidence import Evidence, evidence, within
from concord.preference.annotations import Answers
from concord.preference.wilson import wilson
from tests.certificate_world import asked


def answers(p_first, audit=True, **more) -> Answers:
    count = len(p_first)
    return Answers(np.arange(count), np.array(p_first, float), np.full(count, audit), np.ones(count, np.int64), **more)


def test_without_a_model_it_is_the_share_among_audit_answers_with_wilsons_interval_and_a_little_care():
    made = asked(100_000, 200, 0.2)
    found = estimate(made)
    assert found.error == pytest.approx(made.error.mean(), abs=1e-3)
    (low, high), (lowest, highest) = wilson(made.error.sum(), 200), found.ends()
    assert lowest < low < high < highest < high + 0.15 * (high - low)
    assert (found.audits, found.open, found.rows, found.predicted) == (200, 99_800, 100_000, False)


def test_seven_audit_answers_say_too_little():
    assert estimate(asked(100, 7, 0.2)) is None
    assert estimate(asked(100, 8, 0.2)) is not None


def test_a_label_that_prefers_nothing_is_half_wrong_and_so_is_a_preference_where_a_person_sees_a_tie():
    label = np.array([1, 1, 0.5, 0.5, 0])
    made = evidence(label, np.full(5, np.nan), answers([1, 0.5, 1, 0.5, 1]))
    assert made.error.tolist() == [0, 0.5, 0.5, 0, 1]


def test_a_question_that_nobody_could_answer_says_nothing():
    made = evidence(np.ones(3), np.full(3, np.nan), answers([1, np.nan, 0]))
    assert made.pair.tolist() == [0, 2]


@pytest.mark.parametrize("other", [0.0, 1.0])
@pytest.mark.parametrize("others", range(25))
def test_people_who_call_nearly_everything_a_tie_make_no_certainty(others, other):
    """Each tie is half an error: that they are all alike is no proof that the labels nobody looked at are as well."""
    error = np.full(100, 0.5)
    error[:others] = other
    made = replace(asked(10_000, 100, 0.2), error=error)
    found = estimate(made)
    low, high = found.ends()
    assert found.error == pytest.approx(error.mean(), abs=0.01) and high - low > 0.05


def test_where_everything_was_looked_at_nothing_is_uncertain():
    found = estimate(asked(50, 50, 0.3, replaced=np.zeros(50, bool)))
    assert found.ends() == (found.error, found.error)


def test_answers_that_do_not_become_labels_leave_their_rows_in_the_count():
    made = asked(400, 200, 0.3, replaced=np.zeros(200, bool))
    found = estimate(made)
    assert found.open == 400 and found.error == pytest.approx(made.error.mean())


def test_early_audits_do_not_count_doubtful_rows_that_people_have_corrected_since():
    """1,000 rows, the first 200 of them wrong; the pilot draws from all, then people answer all the wrong ones."""
    generator, rows = np.random.default_rng(1), 1_000
    wrong = np.arange(rows) < 200
    pilot = generator.choice(rows, 300, replace=False)
    later = np.setdiff1d(np.flatnonzero(wrong), pilot)
    pair = np.concatenate([pilot, later])
    made = asked(
        rows,
        len(pair),
        0,
        pair=pair,
        round=np.repeat([0, 1], [300, len(later)]),
        audit=np.repeat([True, False], [300, len(later)]),
        error=wrong[pair].astype(float),
    )
    assert made.error[made.audit].mean() == pytest.approx(0.2, abs=0.04)
    assert estimate(made).error == pytest.approx(0, abs=0.04)


def covered(draws, right) -> float:
    """Share of the intervals that hold what is right."""
    return float(np.mean([low <= right <= high for low, high in draws]))


def test_the_interval_holds_the_truth_19_times_of_20():
    ends = [estimate(asked(20_000, 150, 0.15, seed)).ends() for seed in range(400)]
    assert 0.92 <= covered(ends, 0.15) <= 0.98


def predicted(seed: int, informed: bool) -> tuple[Evidence, float]:
    """Rows of which a model tells the doubtful ones; evidence, and the true share of wrong ones among open rows."""
    generator, rows, audits = np.random.default_rng(seed), 5_000, 200
    p = np.where(generator.random(rows) < 0.3, 0.6, 0.05)
    wrong = generator.random(rows) < p
    pair = generator.choice(rows, audits, replace=False)
    known = p if informed else generator.permutation(p)
    made = asked(rows, audits, 0, pair=pair, error=wrong[pair].astype(float), p_error=known)
    return made, float(np.delete(wrong, pair).mean())


def test_predictions_narrow_the_interval_and_it_still_holds():
    made = [predicted(seed, informed=True) for seed in range(300)]
    found = [estimate(one) for one, _ in made]
    plain = [estimate(one, with_model=False) for one, _ in made]
    assert all(one.predicted for one in found)
    narrower = np.mean([np.diff(a.ends()) / np.diff(b.ends()) for a, b in zip(found, plain, strict=True)])
    assert narrower < 0.85
    held = [low <= right <= high for (low, high), (_, right) in zip([f.ends() for f in found], made, strict=True)]
    assert 0.92 <= np.mean(held) <= 0.995


def test_predictions_that_know_nothing_cost_nothing():
    made, right = predicted(0, informed=False)
    plain = estimate(made, with_model=False)
    assert estimate(made).effective >= plain.effective
    assert estimate(made).error == pytest.approx(right, abs=0.08)


def test_of_an_export_only_its_own_rows_count():
    made = asked(1_000, 400, 0.3)
    kept = np.zeros(1_000, bool)
    kept[made.pair[made.error == 0]] = True
    kept[np.setdiff1d(np.arange(1_000), made.pair)] = True
    part = within(made, kept)
    assert part.rows == kept.sum() and part.error.sum() == 0
    assert estimate(part).error == 0


def test_without_re_asked_questions_peoples_error_is_not_known():
    assert people.people_error(asked(1_000, 100, 0.2, people=0.1)) is None


def test_peoples_error_is_what_two_of_them_contradict_each_other_in():
    found = people.people_error(asked(10_000, 4_000, 0.2, people=0.1, again=4_000))
    assert found.split == pytest.approx(0.18, abs=0.02)
    assert found.error == pytest.approx(0.1, abs=0.012) and found.low < 0.1 < found.high
    assert found.questions == 4_000


def test_targeted_questions_say_nothing_of_peoples_error():
    assert people.people_error(asked(1_000, 100, 0.2, people=0.1, again=50, audit=np.zeros(100, bool))) is None


def test_people_who_contradict_each_other_like_coins_correct_nothing():
    assert people.people_error(asked(1_000, 100, 0.2, people=0.5, again=100)) is None


def test_few_re_asks_that_all_agree_do_not_make_people_infallible():
    found = people.people_error(asked(1_000, 100, 0.2, again=30))
    assert (
        found.error == 0
        and found.high == pytest.approx(one := people.one_persons_error(wilson(0, 30)[1]))
        and one > 0.05
    )


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.2])
def test_the_corrected_interval_holds_what_is_wrong_whatever_people_get_wrong(epsilon):
    ends, raw = [], []
    for seed in range(300):
        made = asked(50_000, 250, 0.15, seed, epsilon, again=100)
        found = estimate(made)
        known = people.people_error(made)
        sure = people.corrected(made, found, known)
        ends.append((sure.low, sure.high))
        raw.append(found.ends())
    assert covered(ends, 0.15) >= 0.92
    if epsilon:
        assert covered(raw, 0.15) < 0.9


def test_an_answer_that_became_a_label_is_as_wrong_as_the_person_who_gave_it():
    made = asked(400, 400, 0.5, people=0.1, again=400)
    found = estimate(made)
    assert found.open == 0
    sure = people.corrected(made, found, known := people.people_error(made))
    assert sure.error == pytest.approx(known.error)


def test_a_majority_errs_less_than_one_and_a_draw_counts_half():
    assert people.majority_error(0.1, 1) == pytest.approx(0.1)
    assert people.majority_error(0.1, 2) == pytest.approx(0.1)
    assert people.majority_error(0.1, 3) == pytest.approx(3 * 0.01 * 0.9 + 0.001)


def test_a_bound_is_wider_the_oftener_one_looks():
    made = asked(5_000, 200, 0.1)
    once, often = stopping.bound_of_error(made, 1), stopping.bound_of_error(made, 20)
    assert estimate(made).error < once < often


def test_no_run_stops_on_few_answers_or_without_a_target():
    right = np.zeros(20)
    assert not stopping.may_stop(asked(5_000, 20, 0, error=right), 0.9, 1)
    assert not stopping.may_stop(asked(5_000, 200, 0.01), 0.0, 1)
    assert stopping.may_stop(asked(5_000, 200, 0.01), 0.1, 1)


def test_looking_after_every_answer_stops_too_early_in_one_of_twenty_runs_at_most():
    """The labels are just as wrong as the target: whoever stops was misled."""
    looks = 10
    misled = 0
    for seed in range(300):
        whole = asked(100_000, 400, 0.2, seed)
        parts = [within_first(whole, 40 * (look + 1)) for look in range(looks)]
        misled += any(stopping.may_stop(part, 0.2, looks) for part in parts)
    assert misled / 300 <= 0.05


def within_first(made: Evidence, answers: int) -> Evidence:
    cut = {name: column[:answers] for name, column in vars(made).items() if name != "p_error"}
    return Evidence(p_error=made.p_error, **cut)
