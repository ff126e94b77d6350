"""From one decoded record to a row."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.client.intake.formats import canonical
from concord.client.intake.formats.canonical import CONVERSATION, PREFERENCE, RECORD, RESPONSES
from concord.client.intake.formats.record import Record
from concord.client.intake.formats.table import format_of
from concord.client.intake.labels import better
from concord.client.intake.rows import rows
from concord.client.intake.verdicts import CHOSEN, UnknownJudge, resolve_judge, resolve_judges, verdicts_seen
from concord.preference.pairs import (
    MAX_TEXT_BYTES,
    BadRecord,
    Row,
    checked_text,
    domain_of,
    group_of,
    make_pair,
    pair_hash,
)
from concord.v1 import pairs_pb2 as pb


def all_rows(record: dict, number: int = 1) -> list[Row]:
    return rows(format_of(record).read(record), number)


def read(record: dict, number: int = 1) -> Row:
    (row,) = all_rows(record, number)
    return row


def form_of(record: dict) -> str:
    return format_of(record).name


def refused(record: dict) -> BadRecord:
    with pytest.raises(BadRecord) as caught:
        read(record)
    return caught.value


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict:
    return {"role": "assistant", "content": text}


def labelled(**changes) -> dict:
    return {
        "id": "a",
        "source": "llmbar/natural",
        "prompt": [user("Why?")],
        "responses": [{"text": "Because.", "model": "m1"}, {"text": "", "model": None}],
        "human_labels": [{"annotator": "x", "kind": "pairwise", "pair": [0, 1], "choice": 1}],
        "human_majority": 1,
        "ai_labels": {"L/Vanilla": {"pair": [0, 1], "choice": 0, "choice_swapped": 1}},
    } | changes


def chosen_text(row: Row) -> str:
    return (row.pair.first if row.truth == pb.CHOICE_FIRST else row.pair.second).text


def test_chosen_and_rejected_become_a_pair_whose_truth_is_the_chosen_one():
    row = read({"id": 7, "prompt": "Say yes.", "chosen": "yes", "rejected": "no"})
    assert row.pair.pair_id == "7"
    assert [(turn.role, turn.content) for turn in row.pair.prompt] == [("user", "Say yes.")]
    assert {row.pair.first.text, row.pair.second.text} == {"yes", "no"}
    assert chosen_text(row) == "yes"


def test_the_label_of_chosen_and_rejected_is_not_in_the_position():
    rows = [read({"id": i, "prompt": "Say yes.", "chosen": "yes", "rejected": "no"}) for i in range(2000)]
    first = Counter(row.truth for row in rows)[pb.CHOICE_FIRST]
    assert abs(first - 1000) < 4 * math.sqrt(500)
    assert all(chosen_text(row) == "yes" for row in rows)


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": [user("Hi")], "chosen": [assistant("Hello")], "rejected": [assistant("No")]},
        {"chosen": [user("Hi"), assistant("Hello")], "rejected": [user("Hi"), assistant("No")]},
        {"prompt": "Hi", "chosen": [user("Hi"), assistant("Hello")], "rejected": [user("Hi"), assistant("No")]},
    ],
    ids=["prompt apart", "prompt inside", "prompt apart and inside"],
)
def test_a_conversation_is_the_same_pair_however_its_prompt_is_given(record):
    row = read(record | {"id": "c"})
    assert form_of(record) == CONVERSATION
    assert [(turn.role, turn.content) for turn in row.pair.prompt] == [("user", "Hi")]
    assert {row.pair.first.text, row.pair.second.text} == {"Hello", "No"}
    assert chosen_text(row) == "Hello"


def test_a_conversation_of_several_turns_keeps_them_all_as_its_prompt():
    opening = [{"role": "system", "content": "Be kind."}, user("Hi"), assistant("Hello"), user("And?")]
    row = read({"chosen": [*opening, assistant("So.")], "rejected": [*opening, assistant("No.")]})
    assert [turn.content for turn in row.pair.prompt] == ["Be kind.", "Hi", "Hello", "And?"]


def test_responses_may_be_texts_or_objects():
    plain = read({"id": 1, "prompt": "Why?", "responses": ["a", "b"]})
    named = read({"id": 1, "prompt": "Why?", "responses": [{"text": "a", "model": "m"}, {"text": "b"}]})
    assert form_of({"responses": []}) == RESPONSES
    assert (plain.pair.first.text, plain.pair.second.text) == (named.pair.first.text, named.pair.second.text)
    assert (named.pair.first.model, named.pair.second.model) == ("m", "")
    assert plain.truth is None and named.truth is None


def test_a_labelled_record_keeps_truth_people_and_verdicts_apart_from_the_pair():
    row = read(labelled())
    assert form_of(labelled()) == RECORD
    assert row.truth == pb.CHOICE_SECOND and row.people == (pb.CHOICE_SECOND,)
    assert [(v.judge, v.choice, v.choice_swapped) for v in row.verdicts] == [
        ("L/Vanilla", pb.CHOICE_FIRST, pb.CHOICE_SECOND)
    ]
    assert not row.pair.verdicts and row.pair.domain == "llmbar" and row.pair.first.model == "m1"


def test_a_tie_of_the_people_is_truth_and_no_majority_is_none():
    assert read(labelled(human_majority="tie")).truth == pb.CHOICE_TIE
    assert read(labelled(human_majority=None)).truth is None


def test_a_judges_tie_is_a_verdict_and_a_vote_is_never_read():
    said = {"A": {"choice": "tie", "choice_swapped": 1}, "A/vote": {"choice": 0, "confidence": 0.9, "votes": 9}}
    (verdict,) = read(labelled(ai_labels=said)).verdicts
    assert (verdict.judge, verdict.choice, verdict.choice_swapped) == ("A", pb.CHOICE_TIE, pb.CHOICE_SECOND)
    assert not verdict.HasField("confidence")


@pytest.mark.parametrize(
    ("record", "kind", "words"),
    [
        ({"prompt": "x", "chosen": "y"}, "missing response", "`rejected`"),
        ({"prompt": "x"}, "missing response", "'prompt'"),
        ({"prompt": "x", "chosen": "", "rejected": "b"}, "empty text", "`chosen`"),
        ({"prompt": "x", "chosen": " \n", "rejected": "b"}, "empty text", "`chosen`"),
        ({"prompt": " ", "chosen": "a", "rejected": "b"}, "empty text", "`prompt`"),
        ({"chosen": "a", "rejected": "b"}, "missing prompt", "`prompt`"),
        ({"prompt": "x", "chosen": "a", "rejected": "a"}, "same responses", "same text"),
        ({"prompt": "x", "chosen": 3, "rejected": "a"}, "missing text", "a number"),
        ({"prompt": "x", "chosen": [assistant("a")], "rejected": "a"}, "broken messages", "`rejected`"),
        ({"chosen": [assistant("a")], "rejected": [assistant("b")]}, "missing prompt", "in common"),
        (
            {"chosen": [user("x"), assistant("a"), user("y"), assistant("z")], "rejected": [user("x"), assistant("b")]},
            "not one answer",
            "part ways",
        ),
        ({"prompt": "x", "responses": ["a"]}, "missing response", "1 of two"),
        ({"prompt": "x", "responses": ["a", {"model": "m"}]}, "missing response", "response 1 has no `text`"),
        ({"prompt": "x", "responses": ["a", ""]}, "empty text", "response 1"),
        ({"prompt": "x", "responses": ["a", "\ud800"]}, "invalid Unicode", "surrogate"),
        ({"prompt": "x", "responses": "ab"}, "missing response", "not a list"),
        ({"prompt": [{"role": "chorus", "content": "x"}], "responses": ["a", "b"]}, "broken messages", "'chorus'"),
        ({"prompt": [user("x"), assistant("y")], "responses": ["a", "b"]}, "broken messages", "ends with"),
        ({"id": True, "prompt": "x", "responses": ["a", "b"]}, "broken id", "`id`"),
        ({"id": "a\nb", "prompt": "x", "responses": ["a", "b"]}, "broken id", "printable"),
        (labelled(responses=[{"text": None}, "b"]), "missing text", "response 0 is null"),
        (labelled(human_majority=2), "label without its response", "response 2"),
        (labelled(human_majority="first"), "broken label", "'first'"),
        (labelled(human_labels=[{"pair": [0, 3], "choice": 3}]), "label without its response", "[0, 3]"),
        (labelled(ai_labels={"J": {"choice": 7}}), "label without its response", "'J'"),
        (labelled(ai_labels={"J": {"choice": 1, "confidence": 1.5}}), "broken label", "(0, 1]"),
        (labelled(ai_labels={"J": {"choice": 1, "confidence": float("nan")}}), "broken label", "(0, 1]"),
        (labelled(ai_labels={"J": 1}), "broken label", "not one object"),
        (labelled(ai_labels=[1]), "broken label", "`ai_labels`"),
    ],
)
def test_a_broken_record_is_refused_with_its_reason(record, kind, words):
    error = refused(record)
    assert error.kind == kind and words in str(error)


def test_an_order_that_is_the_label_is_one_of_two_responses():
    with pytest.raises(BadRecord, match="3 responses; a pair has two"):
        rows(Record(responses=["a", "b", "c"], prompt="x", best_first=True), 1)


def test_a_text_of_40_megabytes_is_refused_with_its_size():
    error = refused({"prompt": "x", "responses": ["a", "b" * 40_000_000]})
    assert error.kind == "text too long" and "response 1 has 40.0 MB" in str(error)


def test_a_pair_must_fit_into_one_message():
    many = [user("x" * (MAX_TEXT_BYTES - 1)) for _ in range(4)]
    assert refused({"prompt": many, "responses": ["a", "b"]}).kind == "text too long"


def test_a_row_without_an_id_is_named_after_its_line():
    assert read({"prompt": "x", "responses": ["a", "b"]}, number=12).pair.pair_id == "row-12"


def test_the_group_is_the_opening_without_case_and_punctuation():
    one = [pb.Message(role="system", content="Be brief."), pb.Message(role="user", content="What's  up, Doc?")]
    other = [pb.Message(role="user", content="what s up doc")]
    longer = [*other, pb.Message(role="assistant", content="Hm."), pb.Message(role="user", content="Well?")]
    assert group_of(one) == group_of(other) == group_of(longer)
    assert group_of(other) != group_of([pb.Message(role="user", content="What is down?")])
    assert group_of([pb.Message(role="user", content="???")]) != group_of([pb.Message(role="user", content="!!!")])


def test_pairs_without_a_prompt_are_not_one_group():
    groups = {make_pair(str(i), [], pb.Response(text=str(i)), pb.Response(text="b")).group for i in range(50)}
    assert len(groups) == 50


def test_the_hash_of_a_pair_is_of_its_content_and_of_nothing_else():
    prompt = [pb.Message(role="user", content="x")]
    one = make_pair("1", prompt, pb.Response(text="a", model="m"), pb.Response(text="b"), domain="d")
    same = make_pair("2", prompt, pb.Response(text="a"), pb.Response(text="b"))
    swapped = make_pair("1", prompt, pb.Response(text="b"), pb.Response(text="a"))
    shifted = make_pair("1", prompt, pb.Response(text="ab"), pb.Response(text=""))
    assert pair_hash(one) == pair_hash(same)
    assert len({pair_hash(pair) for pair in (one, swapped, shifted)}) == 3


def test_the_domain_is_named_or_follows_from_the_source():
    assert domain_of("law", "hh-rlhf/harmless-base") == "law"
    assert domain_of("", "hh-rlhf/harmless-base") == "harmless"
    assert domain_of("", "hh-rlhf/helpful-online") == "helpful"
    assert domain_of("", "mmlu/virology") == "mmlu" and domain_of("", "") == ""


def test_the_reference_is_the_records_or_the_gold_answer():
    assert read(labelled(reference="42")).pair.reference == "42"
    assert read(labelled(gold={"kind": "numeric", "answer": 42})).pair.reference == "42"
    assert read(labelled(gold={})).pair.reference == ""


SEEN = {"GPT-4/Vanilla_NoRules": 9, "GPT-4/CoT": 5, "LLaMA2/Vanilla": 4, "LLaMA2/CoT": 4, "solo": 3, "dumb": 0}


def test_an_llms_name_means_its_plainest_prompt_and_the_others_are_its_own_prompts():
    assert resolve_judge("GPT-4", SEEN) == ("GPT-4/Vanilla_NoRules", ("GPT-4/CoT",))
    assert resolve_judge("LLaMA2", SEEN) == ("LLaMA2/Vanilla", ("LLaMA2/CoT",))
    assert resolve_judge("GPT-4/CoT", SEEN) == ("GPT-4/CoT", ("GPT-4/Vanilla_NoRules",))
    assert resolve_judge("solo", SEEN) == ("solo", ())


def test_an_unknown_judge_is_refused_with_near_names_and_their_rows():
    with pytest.raises(UnknownJudge, match=r"near names: .*GPT-4/Vanilla_NoRules \(9 rows\)"):
        resolve_judge("gpt4", SEEN)
    with pytest.raises(UnknownJudge, match="there are: GPT-4/Vanilla_NoRules"):
        resolve_judge("zzzzzz", SEEN)
    with pytest.raises(UnknownJudge, match="holds no verdicts"):
        resolve_judge("dumb", {"dumb": 0})
    with pytest.raises(UnknownJudge, match="majorities are never an input"):
        resolve_judge("GPT-4/vote", SEEN)


def test_a_judge_cannot_help_itself():
    assert resolve_judges("GPT-4", ("LLaMA2", "solo"), SEEN).helpers == ("LLaMA2/Vanilla", "solo")
    with pytest.raises(UnknownJudge, match="the judge itself"):
        resolve_judges("GPT-4", ("GPT-4/Vanilla_NoRules",), SEEN)


def test_a_row_carries_only_the_verdicts_that_its_run_may_use():
    said = {name: {"choice": 0} for name in ("a", "b", "c")}
    row = read(labelled(ai_labels=said))
    used = row.with_verdicts(["c", "a", "absent"])
    assert [verdict.judge for verdict in used.pair.verdicts] == ["c", "a"]
    assert not row.pair.verdicts and verdicts_seen((row,)) == {"a": 1, "b": 1, "c": 1}


def test_chosen_can_serve_as_a_recorded_judge():
    row = read({"id": 3, "prompt": "Say yes.", "chosen": "yes", "rejected": "no"})
    verdict = row.verdict_of(CHOSEN)
    assert form_of({"chosen": "a", "rejected": "b"}) == PREFERENCE
    assert verdict is not None and verdict.choice == row.truth


def test_half_a_surrogate_pair_is_no_text_and_a_whole_one_is():
    assert checked_text("\U0001f600", "it") == "\U0001f600"
    with pytest.raises(BadRecord):
        checked_text("\ud83d", "it")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["", "user", "tie", "a", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "prompt",
                    "chosen",
                    "rejected",
                    "responses",
                    "text",
                    "model",
                    "role",
                    "content",
                    "choice",
                    "pair",
                    "ai_labels",
                    "human_labels",
                    "human_majority",
                    "confidence",
                    "choice_swapped",
                    "gold",
                    "answer",
                    "source",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_no_row_whatever_raises_anything_but_bad_record(row):
    try:
        all_rows(row)
    except BadRecord as error:
        assert str(error) and error.kind


@given(st.sampled_from(sorted(labelled())), JSON)
def test_no_value_in_a_good_record_raises_anything_but_bad_record(key, value):
    try:
        made = all_rows(labelled(**{key: value}))
    except BadRecord:
        return
    for row in made:
        assert row.pair.pair_id and pb.Pair.FromString(row.pair.SerializeToString()) == row.pair


@given(st.one_of(st.integers(), st.text(max_size=5), st.none(), st.floats()), st.one_of(st.none(), JSON))
def test_a_label_is_one_of_four_choices_or_refused(value, indexes):
    try:
        choice = better(value, "label", indexes)
    except BadRecord:
        return
    assert {0: 1, 1: 2, "tie": 3, None: 0}[value] == choice


def test_every_form_is_described_in_the_modules_table():
    table = canonical.__doc__ or ""
    assert all(form in table for form in ("PREFERENCE", "CONVERSATION", "RESPONSES", "RECORD"))
