"""The story of a run: every stage once, and what is odd about it where it happened."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from concord.kit.loop.events import Fact
from concord.operate import timeline, timeline_text
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import AnswerFault, Event, PauseReason, ShardLabeled, Stage, Unit, Usage
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RunView
from tests.small_run import config_of, small_run

FIRST, SECOND, NONE = Choice.CHOICE_FIRST, Choice.CHOICE_SECOND, Choice.CHOICE_UNSPECIFIED
LABEL = Stage.STAGE_LABEL


def facts_of(events: Sequence[Event], every_s: float = 1.0) -> list[Fact]:
    return [Fact(event, at, 1_000.0 + every_s * at) for at, event in enumerate(events)]


def created(**judge) -> Event:
    return Event(run_created={"config": RunConfig(judge=JudgeConfig(kind="llm", both_orders=True, **judge))})


def opened(units: int) -> Event:
    return Event(stage_opened={"stage": LABEL, "units": units})


def closed() -> Event:
    return Event(stage_closed={"stage": LABEL})


def shard(number: int, choices: Sequence[int], calls: int | None = None, **columns) -> Event:
    """Verdicts; the second answer is always the longer one."""
    count = len(choices)
    given = {"order_flipped": [0] * count, "confidence": [0.8] * count, "verified": [0] * count} | columns
    said = ShardLabeled(
        pair_index=range(number * count, (number + 1) * count),
        choice=choices,
        length_difference=[-1.0] * count,
        **given,
    )
    used = Usage(calls=2 * count if calls is None else calls)
    return Event(unit=Unit(stage=LABEL, number=number), shard_labeled=said, usage=used)


def label(*shards: Event) -> list[Fact]:
    return facts_of([created(), opened(len(shards)), *shards, closed()])


MIXED = [FIRST, SECOND] * 16


@pytest.fixture(scope="module")
def whole():
    made = small_run()
    return [Fact(event, at, when) for at, (event, when) in enumerate(made.events)]


def test_every_stage_is_told_once_in_order_and_every_fact_belongs_somewhere(whole):
    chapters = timeline.tell(whole)
    stages = [chapter.stage for chapter in chapters if chapter.stage]
    opened_ = [fact.event.stage_opened for fact in whole if fact.kind == "stage_opened"]
    assert (
        len(stages) == len(opened_) and stages[0] == "PILOT_LABEL" and stages[-1] == "DATASET" and "TRIAGE.2" in stages
    )
    assert [chapter.first for chapter in chapters] == sorted(chapter.first for chapter in chapters)
    assert chapters[0].first == 0 and chapters[-1].last == len(whole) - 1
    assert all(after.first == before.last + 1 for before, after in pairwise(chapters))
    assert all(chapter.closed for chapter in chapters)
    assert sum(c.usage.calls for c in chapters) == sum(f.event.usage.calls for f in whole)
    assert "people agree with the judge on" in next(c.says for c in chapters if c.stage == "PILOT_ANNOTATE")


def test_a_sound_judge_gives_nothing_odd(whole):
    assert [odd for chapter in timeline.tell(whole) for odd in chapter.odd] == []


def test_a_stage_that_is_still_open_says_how_far_it_is():
    (_, stage) = timeline.tell(label(*(shard(n, MIXED) for n in range(3)))[:-2])
    assert not stage.closed and stage.says.startswith("2 of 3 units settled, 64 pairs: 32 first, 32 second")


BREAKS = {
    "silent": (lambda n: shard(n, [NONE] * 32, calls=128), "pairs without a usable verdict: from 0% to 100%"),
    "asked again": (lambda n: shard(n, MIXED, calls=120), "answers without a verdict: from 0% to 88%"),
    "position": (
        lambda n: shard(n, [FIRST] * 32, order_flipped=[1] * 32),
        "verdicts that change with the order: from 0% to 100%",
    ),
    "first": (lambda n: shard(n, [FIRST] * 32), "verdicts for the first response: from 50% to 100%"),
    "longer": (lambda n: shard(n, [SECOND] * 32), "verdicts for the longer response: from 50% to 100%"),
    "unsure": (lambda n: shard(n, MIXED, confidence=[0.1] * 32), "mean confidence from 0.80 to 0.10"),
    "wrong": (lambda n: shard(n, MIXED, verified=[2, 1] * 16), "verdicts that a check proves wrong: from 0% to 100%"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_the_shard_at_which_a_judge_breaks_is_named_with_its_offset(kind):
    broken, says = BREAKS[kind]
    facts = label(*(shard(n, MIXED, verified=[1, 2] * 16) for n in range(9)), *(broken(n) for n in range(9, 15)))
    odd = [odd for chapter in timeline.tell(facts) for odd in chapter.odd if odd.says == says]
    assert [(one.unit, one.offset, len(one.picture)) for one in odd] == [("LABEL/9", 11, 15)]


def test_failed_and_deferred_units_pauses_and_silences_are_told_where_they_were():
    events = [
        created(),
        opened(3),
        shard(0, MIXED),
        Event(unit={"stage": LABEL, "number": 1}, unit_deferred={"reason": "busy", "times": 1}),
        Event(unit={"stage": LABEL, "number": 1}, unit_deferred={"reason": "still busy", "times": 2}),
        Event(unit={"stage": LABEL, "number": 2}, unit_failed={"error": "no such model", "attempts": 3}),
        Event(run_paused={"reason": PauseReason.PAUSE_REASON_FAILED_UNITS, "detail": "too many"}),
        Event(stage_retried={"stage": LABEL}),
        shard(1, MIXED),
        closed(),
        Event(run_cancelled={"reason": "enough"}, actor="operator/ann"),
    ]
    facts = facts_of(events)
    later = [Fact(fact.event, fact.offset, fact.at + (500 if fact.offset >= 8 else 0)) for fact in facts]
    odd = [(odd.offset, odd.unit, odd.says) for chapter in timeline.tell(later) for odd in chapter.odd]
    assert odd == [
        (3, "LABEL/1", "put off 2 times: still busy"),
        (5, "LABEL/2", "failed after 3: no such model"),
        (6, "", "paused (failed_units): too many"),
        (7, "", "what failed or stayed without a verdict is tried anew"),
        (7, "", "after this nothing happened for 501 s"),
        (10, "", "cancelled: enough (by operator/ann)"),
    ]


def test_the_lines_point_to_the_run_before_the_break_and_to_the_unit(whole):
    facts = label(*(shard(n, MIXED) for n in range(9)), *(shard(n, [NONE] * 32) for n in range(9, 15)))
    about = timeline_text.About(RunView(run_id="0123456789", pairs=480), 3, "", 2, 4)
    lines = "\n".join(timeline_text.lines(about, timeline.tell(facts)))
    assert "concord replay 01234567 --until 10 " in lines and "concord replay 01234567 --unit LABEL/9 " in lines
    assert "--dead-letters" in lines and "2 facts were said again" in lines
    quiet = "\n".join(timeline_text.lines(timeline_text.About(RunView(run_id="0"), 3, "", 0, 0), timeline.tell(whole)))
    assert "→" not in quiet and " ! " not in quiet


def test_a_run_without_facts_and_a_judge_that_is_no_llm_are_told_as_well():
    assert "nothing of it stands in the log" in "\n".join(
        timeline_text.lines(timeline_text.About(RunView(), 0, "", 0, 0), [])
    )
    made = small_run(
        config_of(method="none", judge=JudgeConfig(kind="recorded", name="r"), human_budget=0, pilot=0), pairs=64
    )
    assert timeline.tell([Fact(event, at, when) for at, (event, when) in enumerate(made.events)])


def test_answers_that_are_no_verdict_are_told_by_cause_with_one_of_them_and_where_to_see_them_whole():
    cut = AnswerFault.ANSWER_FAULT_CUT
    faulty = shard(1, [NONE] * 4)
    faulty.shard_labeled.faults.add(judge="llm:m", fault=cut, answers=8)
    faulty.shard_labeled.kept_answers.add(judge="llm:m", fault=cut, pair_index=4, text="<think>\nFirst, I")
    about = timeline_text.About(RunView(run_id="0123456789"), 3, "", 0, 0)
    told = list(timeline_text.lines(about, timeline.tell(label(shard(0, MIXED[:4]), faulty))))
    at = next(n for n, line in enumerate(told) if "8 answers were cut by the limit on tokens" in line)
    assert "LABEL/1: " in told[at] and told[at + 1].strip() == "“<think> First, I”"
    assert any("--unit LABEL/1" in line for line in told)


def test_a_judge_that_follows_the_place_of_an_answer_is_odd():
    sided = shard(0, MIXED, order_flipped=[1] * 32)
    sided.shard_labeled.for_shown_first = 64
    (chapter,) = [chapter for chapter in timeline.tell(label(sided)) if chapter.stage == "LABEL"]
    assert any("says A in 64 of 64 answers" in odd.says for odd in chapter.odd)
