"""Checks in the loop: what they decide costs no call, stands in the fact as theirs, and only an audit asks people about it."""

import asyncio

import numpy as np
import pytest

from concord.kit.blobs import MemoryBlobs
from concord.labeling import checking
from concord.labeling.judge import Combined
from concord.labeling.service import Labeling
from concord.preference import checked
from concord.preference.annotations import Answers
from concord.preference.pairs import make_pair
from concord.preference.references import reference_of
from concord.runs import judge_health
from concord.triage import dataset, rounds
from concord.triage.service import RULES
from concord.v1 import pairs_pb2 as pb
from concord.v1.config_pb2 import JudgeConfig, Rlthf, RunConfig
from concord.v1.events_pb2 import Event, ShardLabeled, Stage, StageManifest, Usage
from concord.v1.work_pb2 import LabelShard, Work
from tests.triage_world import answers, signals

EIGHTEEN = "3 boxes hold 6 eggs each, so there are 18 eggs."


def question(name: str, first: str, second: str, answer: object = "18", **known) -> pb.Pair:
    message = pb.Message(role="user", content=f"{name}: how many eggs are in 3 boxes of 6?")
    reference = reference_of(answer, known) if answer is not None else None
    return make_pair(name, [message], pb.Response(text=first), pb.Response(text=second), known=reference)


RIGHT_FIRST = question("a", EIGHTEEN, "A splendid question! Let me think it over with you. There are 19 eggs.")
RIGHT_SECOND = question("b", "There are 20 eggs, of course.", EIGHTEEN)
BOTH_WRONG = question("c", "It is 19.", "It is 20.")
BOTH_RIGHT = question("d", "It is 18.", EIGHTEEN)
OPEN = question("e", "Lovely eggs.", "Eggs are fine.", None)
UNTOLD = question("f", r"$\frac{x^2 - 1}{x + 1}$", "$(x - 1)(x + 1)$", "x^2 - 1", reference_kind="symbolic")
ALL = (RIGHT_FIRST, RIGHT_SECOND, BOTH_WRONG, BOTH_RIGHT, OPEN)


def labelled(*pairs: pb.Pair, checks_off: bool = False, helper: bool = False) -> tuple[ShardLabeled, list[str], Usage]:
    """The fact of a shard with these pairs, the ids that the judge was asked about, and what that used."""
    blobs, seen = MemoryBlobs(), list[str]()
    uri = blobs.put(pb.PairShard(first_index=10, pairs=pairs).SerializeToString(deterministic=True))
    labeling = Labeling(blobs, "memory://", 4, {})

    async def ask(asked, config, seed):
        if config.name == "judge":
            seen.extend(pair.pair_id for pair in asked)
        said = Combined(pb.CHOICE_SECOND, 0.3, 0.7, 0, (pb.CHOICE_SECOND, pb.CHOICE_SECOND))
        return [said for _ in asked], Usage(calls=2 * len(asked))

    labeling.kinds["recorded"] = ask
    config = RunConfig(judge=JudgeConfig(kind="recorded", name="judge"), checks_off=checks_off)
    if helper:
        config.helpers.append(JudgeConfig(kind="recorded", name="helper"))
    work = Work(config=config, label_shard=LabelShard(shard_uris=[uri]), unit={"stage": Stage.STAGE_LABEL})
    event = asyncio.run(labeling.do(work))
    return event.shard_labeled, seen, event.usage


def test_the_judge_is_asked_about_what_checks_leave_open_and_about_nothing_else():
    fact, asked, used = labelled(*ALL)
    assert asked == ["d", "e"] and used.calls == 4
    assert list(fact.pair_index) == [10, 11, 12, 13, 14]
    assert list(fact.choice) == [
        pb.CHOICE_FIRST,
        pb.CHOICE_SECOND,
        pb.CHOICE_UNSPECIFIED,
        pb.CHOICE_SECOND,
        pb.CHOICE_SECOND,
    ]
    assert list(fact.verified) == [checked.FIRST, checked.SECOND, checked.NEITHER, checked.BOTH, checked.NOT_CHECKED]


def test_the_fact_says_which_kind_of_check_decided_and_why():
    fact, _, _ = labelled(*ALL)
    assert [(note.pair_index, note.kind, note.decided) for note in fact.checked] == [
        (10, "number", True),
        (11, "number", True),
        (12, "number", False),
        (13, "number", False),
    ]
    assert all(note.why for note in fact.checked)


def test_every_column_has_a_place_for_every_pair():
    fact, _, _ = labelled(*ALL, helper=True)
    columns = (fact.choice, fact.p_first, fact.confidence, fact.order_flipped, fact.own_disagree, fact.verified)
    assert {len(column) for column in (*columns, fact.length_difference, fact.helpers[0].disagree)} == {5}
    assert list(fact.p_first[:3]) == [1.0, 0.0, 0.5]
    assert list(fact.order_flipped[:3]) == [-1, -1, -1] and list(fact.order_flipped[3:]) == [0, 0]
    assert list(fact.helpers[0].disagree) == [-1, -1, -1, 0, 0]


def test_of_two_right_answers_the_one_with_a_wrong_step_loses():
    sound, slip = "3 x 6 = 18, so it is 18.", "3 x 6 = 19, but some break, so it is 18."
    fact, asked, _ = labelled(question("h", slip, sound))
    assert (asked, list(fact.verified), list(fact.choice)) == ([], [checked.BOTH], [pb.CHOICE_SECOND])


def test_demands_on_the_form_decide_too():
    pair = question("i", "Rain falls.", "Rain falls, and falls.", None)
    pair.known.CopyFrom(reference_of(None, {"constraints": [{"name": "punctuation:no_comma"}]}))
    fact, asked, _ = labelled(pair)
    assert (asked, fact.checked[0].kind, list(fact.choice)) == ([], "constraints", [pb.CHOICE_FIRST])


def test_what_checks_cannot_tell_is_the_judges():
    fact, asked, _ = labelled(UNTOLD)
    assert asked == ["f"] and list(fact.verified) == [checked.NOT_CHECKED] and not fact.checked[0].decided


def test_a_shard_that_checks_settle_whole_asks_no_judge():
    fact, asked, used = labelled(RIGHT_FIRST, RIGHT_SECOND, BOTH_WRONG)
    assert (asked, used.calls, len(fact.choice), len(fact.confidence)) == ([], 0, 3, 3)


def test_pairs_without_references_give_the_fact_that_they_gave_before_there_were_checks():
    fact, asked, _ = labelled(OPEN, question("g", "Yes.", "No.", None))
    without, _, _ = labelled(OPEN, question("g", "Yes.", "No.", None), checks_off=True)
    assert asked == ["e", "g"] and fact == without and not fact.checked


def test_with_checks_off_everything_is_the_judges():
    fact, asked, _ = labelled(*ALL, checks_off=True)
    assert asked == ["a", "b", "c", "d", "e"] and not fact.checked and set(fact.verified) == {0}


# ── the judge's health ──────────────────────────────────────────────────────────────────────────────────────────────


def test_pairs_on_which_both_answers_are_wrong_are_no_silence_of_the_judge():
    fact, _, _ = labelled(*(question(f"q{at}", "It is 19.", "It is 20.") for at in range(40)))
    assert checked.judged(fact) == []
    assert judge_health.stopped({0: Event(shard_labeled=fact)}, complete=True) is None
    assert judge_health.to_judge_anew({0: Event(shard_labeled=fact)}) == []


def test_kinds_are_counted_over_the_run_and_told_in_words():
    fact, _, _ = labelled(*ALL)
    (number,) = checked.by_kind([fact])
    assert (number.tried, number.decided, number.both_wrong, number.left) == (4, 2, 1, 1)
    assert checked.words([number]) == "checks decided 2 of 4 (number 2 of 4), both wrong 1"


# ── triage ──────────────────────────────────────────────────────────────────────────────────────────────────────────

PAIRS = 400


def world(checked_pairs: int = 200, **more):
    """Signals of which the first pairs were decided by checks; what the model sees calls all of these wrong."""
    margin = np.full(PAIRS, -3.0)
    held = np.arange(PAIRS) < checked_pairs
    return signals(PAIRS, label=np.ones(PAIRS, int), margin=margin, checked=held if checked_pairs else None, **more)


def said(pairs, first=True, audit=True) -> Answers:
    return answers(pairs, [1.0 if first else 0.0] * len(pairs), [audit] * len(pairs))


def triaged(method: str, there, heard: Answers, places: int = 40, last: bool = False):
    config = RunConfig(
        method=method, seed=3, audit_share=0.3, rlthf=Rlthf(subset_share=1, amplification=[2], back_off=[0.4])
    )
    return RULES[method](there, heard, config, 1, places, rounds.RoundContext(last=last))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("method", sorted(RULES))
def test_no_method_turns_round_what_checks_decided(method, last):
    there = world()
    decided = triaged(method, there, said(range(300, 340), first=False), last=last)
    assert (decided.target[:200] > 0.9).all()


def test_what_checks_decided_is_asked_about_by_audits_alone_and_can_be_drawn():
    there = world()
    asked = triaged("posterior", there, said(range(300, 320), first=False), 60).asked
    of_checks = asked.pair < 200
    assert of_checks.any() and asked.audit[of_checks].all()


def test_audits_that_find_a_check_wrong_are_counted_and_make_the_others_less_sure():
    sure = triaged("posterior", world(), said(range(0, 20)))
    doubted = triaged("posterior", world(), said(range(0, 20), first=False))
    assert sure.audited.error == 0 and doubted.audited.error == 1
    assert sure.target[100] > 0.99 > 0.8 > doubted.target[100] > 0.5


def test_the_judges_labels_are_learnt_from_answers_on_the_judges_labels_alone():
    there = world()
    with_checks = triaged("posterior", there, said([*range(0, 40), *range(300, 340)]))
    without = triaged("posterior", there, said(range(300, 340)))
    assert np.allclose(with_checks.p_wrong[340:], without.p_wrong[340:])


def test_a_pair_with_two_wrong_answers_is_what_people_are_asked_first():
    label = np.ones(PAIRS, int)
    label[200:210] = 0
    there = signals(PAIRS, label=label, margin=np.full(PAIRS, 2.0), checked=np.arange(PAIRS) < 200)
    config = RunConfig(method="posterior", seed=3, audit_share=0.001)
    asked = RULES["posterior"](there, said([]), config, 1, 5, rounds.FIRST).asked
    assert set(asked.pair.tolist()) <= set(range(200, 210))


# ── the dataset ─────────────────────────────────────────────────────────────────────────────────────────────────────


def built(*pairs: pb.Pair, people: Answers | None = None) -> list[dict]:
    fact, _, _ = labelled(*pairs)
    fact.pair_index[:] = range(len(pairs))
    for note in fact.checked:
        note.pair_index -= 10
    labels = StageManifest(events=[Event(shard_labeled=fact)])
    return list(dataset.rows(pairs, dataset.beliefs(labels, None, people or said([]), len(pairs)), 2.0))


def test_a_row_says_that_checks_decided_by_which_kind_and_why():
    row = built(*ALL)[0]
    assert (row["source"], row["label"], row["chosen"], row["judge_label"]) == ("checked", "first", EIGHTEEN, None)
    assert {"kind": "number", "right": "first", "decided": True, "label": "first"}.items() <= row["check"].items()


def test_sources_tell_checks_from_the_judge_from_people_and_from_nobody():
    people = answers([1], [1.0], [True])
    assert [row["source"] for row in built(*ALL, people=people)] == ["checked", "people", "none", "judge", "judge"]


def test_a_row_that_was_not_checked_has_no_word_about_checks():
    assert "check" not in built(*ALL)[4]


def test_the_order_of_checks_and_judges_in_a_shard_makes_no_difference():
    pairs = [(at, pair) for at, pair in enumerate((OPEN, RIGHT_FIRST, BOTH_RIGHT, RIGHT_SECOND))]
    tried = checking.tried(pairs)
    fact = ShardLabeled(pair_index=[0, 2], choice=[1, 2], p_first=[1, 0], confidence=[0.9, 0.8], order_flipped=[0, 0])
    whole = checking.with_checks(fact, pairs, tried)
    assert list(whole.choice) == [1, 1, 2, 2] and np.allclose(whole.confidence, [0.9, -1, 0.8, -1])
