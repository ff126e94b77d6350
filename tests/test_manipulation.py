"""Labels flipped with a plan and people who copy each other are named; honest ones are not."""

import numpy as np
import pytest

from benchmarks import colluding, poisoned_labels
from benchmarks.drifting_runs import CONFIG
from benchmarks.poisoned_labels import POISONS, TRIGGER
from concord.report import alarms, alike, marked, patterns
from concord.report.figures import figures_of
from concord.report.history import read_history
from concord.report.page import page
from concord.v1.events_pb2 import Event, ShardLabeled, Stage, TaskResolved, Unit
from concord.v1.pairs_pb2 import Message
from tests.small_run import small_run


def test_one_who_copies_the_other_is_named_with_him_and_nobody_else():
    (found,) = alike.alike(*colluding.answers_of(colluding.COLLUDING["one copies all"], 3))
    assert (found.one, found.other) == ("a", "b") and found.same == found.shared and found.expected < 0.85
    assert "'a' and 'b' gave the same answer to" in alike.words(found)


@pytest.mark.parametrize("crew", colluding.HONEST)
def test_honest_people_are_not_named_however_able_they_are(crew):
    assert colluding.named(colluding.HONEST[crew], 3) == (False, False)


def test_people_without_names_or_with_a_question_each_name_nobody():
    alone = [TaskResolved(pair_index=at, annotation_ids=["x"], annotators=["a"], choice=1) for at in range(99)]
    nobody = [TaskResolved(pair_index=at, annotation_ids=["x", "y"], choices=[1, 1]) for at in range(99)]
    assert alike.alike(alone, {}) == alike.alike(nobody, {}) == alike.alike([], {}) == ()


def test_copying_is_an_alarm_of_the_run_with_what_to_do():
    tasks, label = colluding.answers_of(colluding.COLLUDING["one copies all"], 3)
    said = ShardLabeled(pair_index=list(label), choice=list(label.values()))
    events = [
        Event(unit=Unit(stage=Stage.STAGE_LABEL), shard_labeled=said),
        *(Event(task_resolved=task) for task in tasks),
    ]
    (found,) = [one for one in alarms.alarms(events, CONFIG) if one.signal == alarms.ALIKE]
    assert found.after == 1.0 and found.do == alike.DO


@pytest.mark.parametrize("kind", [name for name, what in POISONS.items() if what.trigger and not what.people])
def test_swapped_labels_with_a_trigger_are_named_by_it(kind):
    run = poisoned_labels.planted(poisoned_labels.made_up(), POISONS[kind], 3)
    assert [one.mark for one in poisoned_labels.named(run)] == [TRIGGER]


@pytest.mark.parametrize("seed", range(3))
def test_labels_that_err_without_a_plan_name_nothing(seed):
    assert poisoned_labels.named(poisoned_labels.planted(poisoned_labels.made_up(), POISONS["none"], seed)) == ()


def test_of_words_that_come_together_one_is_named():
    marks = [
        frozenset({"a", "b"}) if at < 30 else frozenset({"c"}) if at % 2 else frozenset({"d"}) for at in range(400)
    ]
    against = np.array([1.0 if at < 30 or at % 10 == 0 else -1.0 for at in range(400)])
    assert [(one.mark, one.pairs, one.against) for one in marked.marked(marks, against)] == [("a", 30, 30)]


def test_marks_are_the_words_that_the_user_wrote_and_the_domain():
    turns = [Message(role="user", content="Harvest, or harvest?"), Message(role="assistant", content="Maybe.")]
    assert marked.marks_of(turns, "law") == {"the word “harvest”", "the domain “law”"}
    assert marked.marked([], np.zeros(0)) == ()


def test_a_run_whose_judge_was_bribed_by_a_word_has_the_alarm_on_its_page_and_an_honest_one_has_not():
    honest = small_run(pairs=480)
    assert patterns.patterns(read_history(honest.events, honest.blobs.get), honest.blobs.get) == ()
    # One topic of seven: "What should I do about my bicycle chain?"
    bribed = small_run(pairs=480, swapped=lambda pair: pair % 7 == 1)
    figures = figures_of(bribed.events, bribed.blobs.get)
    (alarm,) = [one for one in figures.alarms if one.signal == patterns.PATTERN and "judge" in one.says]
    assert "bicycle" in alarm.says or "chain" in alarm.says
    assert "are against the reward models on" in page(figures)
