"""Data from annotation tools: JSON lists, Argilla's and Label Studio's exports, and what people said there."""

import json

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from concord.client.intake import intake
from concord.client.intake.formats import argilla, fields, labelstudio
from concord.client.intake.rows import rows
from concord.preference.pairs import BadRecord
from concord.v1 import pairs_pb2 as pb
from tests.row_files import chat, ids, jsonl, parquet, refusal

FIRST, SECOND, TIE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_TIE


def argilla_record(number: int, *votes: object, question: str = "preference", **changes) -> dict:
    answers = [{"value": vote, "user_id": f"u{at}"} for at, vote in enumerate(votes)]
    shown = {"instruction": f"Question {number}?", "response_1": "yes", "response_2": "no"}
    return {
        "id": f"r{number}",
        "fields": shown,
        "metadata": {},
        "vectors": {},
        "_server_id": "s",
        "responses": {question: answers} if votes else {},
        "suggestions": {},
    } | changes


def test_argillas_json_is_read_with_peoples_majority_as_truth(tmp_path):
    suggested = {"preference": {"value": "response_2", "score": 0.7, "agent": "gpt"}}
    records = [
        argilla_record(1, "response_2", "response_2", "response_1", suggestions=suggested),
        argilla_record(2, "tie"),
        argilla_record(3),
    ]
    path = tmp_path / "records.json"
    path.write_text(json.dumps(records))
    given = intake.read(path)
    assert given.form == "Argilla records" and ids(given) == ["r1", "r2", "r3"]
    assert [row.truth for row in given.rows] == [SECOND, TIE, None]
    assert given.rows[0].people == (SECOND, SECOND, FIRST)
    verdict = given.rows[0].verdict_of("gpt")
    assert verdict is not None and verdict.choice == SECOND and verdict.confidence == pytest.approx(0.7)
    assert (given.rows[0].pair.prompt[0].content, given.rows[0].pair.first.text) == ("Question 1?", "yes")


def test_an_argilla_ranking_orders_every_two_responses(tmp_path):
    shown = {"prompt": "q", "generation-1": "a", "generation-2": "b", "generation-3": "c"}
    ranking = [
        {"value": "generation-3", "rank": 1},
        {"value": "generation-1", "rank": 2},
        {"value": "generation-2", "rank": 2},
    ]
    record = argilla_record(1, ranking, question="ranking", fields=shown)
    given = intake.read(jsonl(tmp_path / "records.jsonl", [record]))
    assert dict(zip(ids(given), [row.truth for row in given.rows], strict=True)) == {
        "r1/0-1": TIE,
        "r1/0-2": SECOND,
        "r1/1-2": SECOND,
    }


def test_argilla_on_the_hub_counts_only_what_was_submitted(tmp_path):
    row = {
        "id": "h1",
        "status": "completed",
        "prompt": chat("user", "q"),
        "response_a": "yes",
        "response_b": "no",
        "best.responses": ["response_a", "response_b"],
        "best.responses.users": ["u", "v"],
        "best.responses.status": ["submitted", "discarded"],
        "best.suggestion": "response_b",
        "best.suggestion.agent": "m",
    }
    (read,) = intake.read(parquet(tmp_path / "train.parquet", [row])).rows
    assert read.truth == FIRST and read.people == (FIRST,)
    verdict = read.verdict_of("m")
    assert verdict is not None and verdict.choice == SECOND


def test_an_answer_that_is_no_preference_is_no_truth_and_is_said(tmp_path):
    records = [argilla_record(1, 1, question="rating"), argilla_record(2, "response_1")]
    given = intake.read(jsonl(tmp_path / "records.jsonl", records))
    assert [row.truth for row in given.rows] == [None, FIRST]
    assert "in 1 row no answer says which response is better, such as 'rating: 1'" in given.notes[0]


def test_answers_to_other_questions_than_the_preference_are_named_as_not_used(tmp_path):
    said = {"preference": [{"value": "response_1"}], "fluency": [{"value": 4}], "why": [{"value": "Shorter."}]}
    given = intake.read(jsonl(tmp_path / "records.jsonl", [argilla_record(1, responses=said)]))
    assert [row.truth for row in given.rows] == [FIRST] and given.notes == ("not used: _server_id, fluency, why",)


def test_fields_and_questions_that_are_not_plain_are_refused_with_what_there_is(tmp_path):
    odd = argilla_record(1, fields={"prompt": "q", "one thing": "a", "another": "b"})
    assert "which fields hold the responses?" in refusal(jsonl(tmp_path / "odd.jsonl", [odd]))
    two = argilla_record(1, responses={q: [{"value": "response_1"}] for q in ("preferred style", "preferred facts")})
    assert "which question is the preference? 'preferred facts', 'preferred style'" in refusal(
        jsonl(tmp_path / "two.jsonl", [two])
    )


def task(number: int, *results: dict, **changes) -> dict:
    annotations = [
        {"id": at, "completed_by": at, "was_cancelled": False, "result": [held]} for at, held in enumerate(results)
    ]
    shown = {"prompt": f"Question {number}?", "answer1": "yes", "answer2": "no"}
    return {"id": number, "data": shown, "annotations": annotations, "predictions": [], "project": 1} | changes


def pairwise(side: str, to_name: str = "txt-1,txt-2") -> dict:
    return {"from_name": "pw", "to_name": to_name, "type": "pairwise", "value": {"selected": side}}


def choices(*words: str) -> dict:
    return {"from_name": "better", "to_name": "answers", "type": "choices", "value": {"choices": list(words)}}


def test_label_studios_export_is_read_with_peoples_majority_as_truth(tmp_path):
    guess = {"model_version": "v1", "result": [pairwise("left")]}
    cancelled = {"was_cancelled": True, "result": [pairwise("left")]}
    tasks = [
        task(1, pairwise("right"), pairwise("right"), pairwise("left"), predictions=[guess]),
        task(2, choices("Answer 1 is better")),
        task(3, choices("Both are equally good")),
        task(4, annotations=[cancelled]),
        task(5, {"from_name": "why", "to_name": "answers", "type": "textarea", "value": {"text": ["because"]}}),
    ]
    path = tmp_path / "project-1.json"
    path.write_text(json.dumps(tasks, indent=1))
    given = intake.read(path)
    assert given.form == "Label Studio tasks" and ids(given) == ["1", "2", "3", "4", "5"]
    assert given.notes == ("not used: project",)
    assert [row.truth for row in given.rows] == [SECOND, FIRST, TIE, None, None]
    verdict = given.rows[0].verdict_of("v1")
    assert verdict is not None and verdict.choice == FIRST


def test_a_pairwise_result_that_names_its_data_says_which_response_is_on_the_left():
    made = labelstudio.read(task(1, pairwise("left", "answer2,answer1")))
    assert made.responses == ["no", "yes"] and made.majority == 0


@pytest.mark.parametrize(
    ("label", "names", "short", "index"),
    [
        ("response_2", ("response_1", "response_2"), False, 1),
        ("Response 2 is better", ("answer1", "answer2"), False, 1),
        ("B", ("text_a", "text_b"), True, 1),
        ("Response A", ("answer1", "answer2"), False, 0),
        ("left", ("a", "b"), False, 0),
        ("Tie", ("answer1", "answer2"), False, "tie"),
        ("both are equally bad", ("answer1", "answer2"), False, "tie"),
        ("1", ("response_0", "response_1"), True, 1),
        ("1", ("answer1", "answer2"), True, 0),
        ("1", ("answer1", "answer2"), False, None),
        ("A is not better", ("a", "b"), True, None),
        ("good", ("answer1", "answer2"), True, None),
        (1, ("a", "b"), True, None),
        ("response 3", ("answer1", "answer2"), True, None),
    ],
)
def test_a_label_in_words_means_a_response_a_tie_or_nothing(label, names, short, index):
    assert fields.index_of(label, names, short) == index


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.text(max_size=8) | st.sampled_from(["tie", "left", "pairwise"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["value", "result", "type", "selected", "answer1", "answer2", "prompt"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given_any(ANY, ANY, ANY)
def test_no_export_whatever_ends_in_anything_but_rows_or_a_refusal(one, two, three):
    argillas = {"fields": one, "responses": two, "suggestions": three}
    for row in (argillas, {"data": one, "annotations": two, "predictions": three}):
        tool = argilla if "fields" in row else labelstudio
        if tool.recognises(row):
            try:
                rows(tool.read(row), 1)
            except BadRecord as error:
                assert str(error)
