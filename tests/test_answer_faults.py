"""Answers that are no verdicts are counted by cause, each with words and with what to do; a few of them are shown."""

import pytest

from concord.preference import answer_faults
from concord.preference.answer_faults import CAUSES, collected, lines, standing
from concord.v1.events_pb2 import AnswerFault, Event, ShardLabeled, Stage

NAMES = {at: f"p{at}" for at in range(5)}
CUT, EMPTY = AnswerFault.ANSWER_FAULT_CUT, AnswerFault.ANSWER_FAULT_EMPTY


def said(fault: int, answers: int, *texts: str, judge: str = "llm:m") -> ShardLabeled:
    """A shard's verdicts with so many faulty answers."""
    out = ShardLabeled()
    out.faults.add(judge=judge, fault=fault, answers=answers)
    for at, text in enumerate(texts):
        out.kept_answers.add(judge=judge, fault=fault, pair_index=at, swapped=bool(at % 2), text=text)
    return out


def test_every_cause_has_words_and_says_what_to_do():
    assert set(CAUSES) == set(AnswerFault.values()) - {AnswerFault.ANSWER_FAULT_UNSPECIFIED}
    assert all(cause.words and cause.do for cause in CAUSES.values())


def test_causes_add_up_over_shards_the_most_frequent_first_and_three_examples_of_each_stay():
    found = collected([said(CUT, 5, "a", "b"), said(EMPTY, 9), said(CUT, 6, "c", "d")])
    assert [(one.fault, one.answers, [kept.text for kept in one.examples]) for one in found] == [
        (CUT, 11, ["a", "b", "c"]),
        (EMPTY, 9, []),
    ]


def test_a_cause_of_a_newer_version_is_told_as_unknown():
    (found,) = collected([said(CUT, 1)])
    newer = answer_faults.FaultyAnswers("llm:m", 99, 2)
    assert found.name == "cut" and newer.name == "unknown" and "does not know" in newer.words


def test_lines_name_cause_and_remedy_and_show_shortened_examples_on_one_line():
    text = "<think>\nFirst I look at one,\nthen " + "at the other " * 40
    told = lines(collected([said(CUT, 2, text, text, text)]), NAMES, most=2, characters=80)
    assert told[0].startswith("2 answers were cut by the limit on tokens") and "max_tokens" in told[0]
    assert [line[:9] for line in told[1:]] == ["  pair p0", "  pair p1"]
    assert "orders swapped" in told[2] and all("\n" not in line and len(line) < 120 for line in told[1:])


def test_with_several_causes_each_shows_one_example_and_several_judges_are_named():
    found = collected([said(CUT, 3, "x", "y"), said(EMPTY, 2, "", judge="llm:other")])
    told = lines(found, NAMES, most=5)
    assert told[0].startswith("llm:m: 3 answers") and told[2].startswith("llm:other: 2 answers")
    assert told[1].endswith(": x") and told[3].endswith(": (nothing)") and len(told) == 4


@pytest.mark.parametrize("through", [False, True])
def test_of_each_unit_the_last_try_counts_and_the_pilot_only_before_the_other_pairs(through):
    def event(stage: int, number: int, answers: int) -> Event:
        return Event(unit={"stage": stage, "number": number}, shard_labeled=said(CUT, answers))

    events = [event(Stage.STAGE_PILOT_LABEL, 0, 1)]
    events += [event(Stage.STAGE_LABEL, 0, 7), event(Stage.STAGE_LABEL, 1, 2), event(Stage.STAGE_LABEL, 0, 3)] * through
    assert [one.faults[0].answers for one in standing(events)] == ([3, 2] if through else [1])
