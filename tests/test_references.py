"""What a row brings to check its answers against: read where it is meant, passed over where the column is another."""

import pytest

from concord import sample
from concord.client.intake import intake
from concord.client.intake.formats.canonical import read_responses
from concord.client.intake.rows import rows
from concord.client.run.options import resolve, run_config
from concord.client.run.parent_options import options_of
from concord.preference.references import MOST_ANSWERS, reference_of
from concord.v1 import pairs_pb2 as pb
from tests.row_files import good, jsonl


def known(**row) -> pb.Reference | None:
    """What the pair of a row brings."""
    (made,) = rows(read_responses({"prompt": "How many?", "responses": ["4", "5"], **row}), 1)
    return made.pair.known if made.pair.HasField("known") else None


def test_a_row_without_a_reference_brings_nothing():
    assert known() is None


@pytest.mark.parametrize(("said", "answers"), [("4", ["4"]), (4, ["4"]), (0.5, ["0.5"]), (["a", "b"], ["a", "b"])])
def test_a_reference_may_be_a_text_a_number_or_a_list(said, answers):
    brought = known(reference=said)
    assert list(brought.answers) == answers
    assert brought.kind == ("list" if isinstance(said, list) else "")


@pytest.mark.parametrize("name", ["answer", "ground_truth", "answers"])
def test_the_right_answer_has_several_names(name):
    assert list(known(**{name: "forty-two"}).answers) == ["forty-two"]


def test_alternatives_are_told_from_the_items_of_a_list():
    assert (list(known(answers=["NYC", "New York"]).answers), known(answers=["NYC", "New York"]).kind) == (
        ["NYC", "New York"],
        "",
    )
    squad = known(answers={"text": ["Paris", "Paris", "the city"], "answer_start": [3, 3, 9]})
    assert list(squad.answers) == ["Paris", "the city"]


def test_choices_come_as_a_list_or_by_their_letters():
    assert list(known(answer="B", choices=["red", "blue"]).choices) == ["red", "blue"]
    assert list(known(answer="B", choices={"B": "blue", "A": "red"}).choices) == ["red", "blue"]
    assert list(known(answer="B", choices={"label": ["A", "B"], "text": ["red", "blue"]}).choices) == ["red", "blue"]


def test_constraints_are_taken_all_or_none():
    (one,) = known(constraints=[{"name": "words", "most": 50}]).constraints
    assert (one.name, one.settings) == ("words", '{"most": 50}')
    assert known(constraints=[{"name": "words", "most": 50}, {"most": 3}]) is None


def test_the_demands_of_ifeval_are_read_from_its_two_columns():
    said = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"num_words": None}]}
    (one,) = known(**said).constraints
    assert (one.name, one.settings) == ("punctuation:no_comma", "")
    assert known(instruction_id_list=["punctuation:no_comma"], kwargs=[]) is None


def test_a_kind_may_be_said():
    assert known(answer="b, a", reference_kind="list").kind == "list"


@pytest.mark.parametrize(
    "row",
    [
        {"answer": {"score": {"deep": 1}}},
        {"answers": [{"text": "one", "rank": 1}]},
        {"answers": [str(number) for number in range(MOST_ANSWERS + 1)]},
        {"answer": "x" * 2_001},
        {"answer": True},
        {"choices": ["red", "blue"]},
        {"constraints": 7},
        {"ground_truth": "\ud800"},
    ],
)
def test_a_column_of_the_same_name_that_holds_something_else_says_nothing(row):
    assert known(**row) is None


def test_the_data_packs_gold_answers_are_alternatives_of_their_kind():
    brought = known(gold={"kind": "short-answer", "answer": "Big Ben/Great Bell", "correct": [True, False]})
    assert (list(brought.answers), brought.kind) == (["Big Ben", "Great Bell", "Big Ben/Great Bell"], "short_answer")
    assert known(gold={"kind": "numeric", "answer": "18"}).kind == "number"


def test_columns_name_a_reference_too(tmp_path):
    row = {"q": "How many?", "one": "4", "two": "5", "gold": "4", "also": ["four"], "demands": [{"name": "words"}]}
    path = jsonl(tmp_path / "table.jsonl", [row])
    said = "prompt=q,first=one,second=two,reference=gold,answers=also,constraints=demands"
    brought = intake.read(path, columns=said).rows[0].pair.known
    assert (list(brought.answers), len(brought.constraints)) == (["four", "4"], 1)


def test_every_pair_of_a_prompt_with_many_responses_has_its_reference():
    made = rows(read_responses({"prompt": "How many?", "responses": ["4", "5", "6"], "answer": 4}), 1)
    assert [list(row.pair.known.answers) for row in made] == [["4"]] * 3


def test_a_preference_row_may_bring_one(tmp_path):
    path = jsonl(tmp_path / "pairs.jsonl", [good(1) | {"answer": "18"}])
    assert list(intake.read(path).rows[0].pair.known.answers) == ["18"]


def test_the_bundled_sample_brings_none_because_it_is_made_of_its_references():
    given = intake.read_sample()
    assert all(row.pair.reference and not row.pair.HasField("known") for row in given.rows)
    assert given.name == sample.SOURCE


def test_nothing_that_cannot_be_carried_comes_through():
    assert reference_of(None, {"choices": ["a", "b"], "schema": {"type": "object"}}).schema == '{"type": "object"}'
    assert reference_of(10**200, {}) is None


def test_checks_are_on_unless_somebody_says_no_and_then_it_is_recorded():
    assert not run_config(resolve({}), None).checks_off
    config = run_config(resolve({}, {"checks": False}), None)
    assert config.checks_off
    assert not options_of(config, 100, 6).checks
    assert options_of(run_config(resolve({}), None), 100, 6).checks
