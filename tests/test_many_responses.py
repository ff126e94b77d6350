"""Data with more than two responses a prompt: which pairs are made of them, and what their labels mean."""

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from concord.client.intake import intake
from concord.client.intake.formats.canonical import read_responses
from concord.client.intake.multi_response import majority
from concord.client.intake.rows import rows
from concord.preference.pairs import BadRecord, Row
from concord.v1 import pairs_pb2 as pb
from tests.row_files import jsonl

FIRST, SECOND, TIE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_TIE


def rows_of(row: dict, number: int = 1) -> list[Row]:
    return rows(read_responses(row), number)


def test_up_to_four_responses_give_all_pairs_and_their_labels():
    said = [
        {"pair": [2, 0], "choice": 2},
        {"pair": [0, 2], "choice": 2},
        {"pair": [1, 2], "choice": "tie"},
        {"kind": "grade"},
    ]
    judged = {
        "J": [{"pair": [0, 1], "choice": 1, "choice_swapped": 0, "confidence": 0.9}, {"pair": [1, 2], "choice": 1}]
    }
    record = {"id": "x", "prompt": "q", "responses": ["a", "b", "c"], "human_labels": said, "ai_labels": judged}
    rows = {row.pair.pair_id: row for row in rows_of(record)}
    assert list(rows) == ["x/0-1", "x/0-2", "x/1-2"] and len({row.pair.group for row in rows.values()}) == 1
    assert [row.truth for row in rows.values()] == [None, SECOND, TIE] and len(rows["x/0-2"].people) == 2
    first, second = (rows[name].verdict_of("J") for name in ("x/0-1", "x/1-2"))
    assert first is not None and (first.choice, first.choice_swapped, first.confidence) == (
        SECOND,
        FIRST,
        pytest.approx(0.9),
    )
    assert second is not None and second.choice == FIRST and rows["x/0-2"].verdict_of("J") is None


def test_of_more_responses_six_pairs_are_drawn_labelled_ones_first_and_always_the_same():
    record = {"id": "x", "prompt": "q", "responses": list("abcdefgh"), "human_labels": [{"pair": [6, 7], "choice": 7}]}
    drawn = [row.pair.pair_id for row in rows_of(record)]
    assert len(drawn) == 6 and "x/6-7" in drawn and drawn == [row.pair.pair_id for row in rows_of(record, 9)]
    others = {tuple(row.pair.pair_id for row in rows_of({**record, "id": f"y{at}"})) for at in range(20)}
    assert len({tuple(name.split("/")[1] for name in names) for names in others}) > 10


def test_equal_responses_are_no_pair_and_the_best_of_many_beats_each_other():
    rows = rows_of({"id": "x", "prompt": "q", "responses": ["a", "b", "a"], "human_majority": 1})
    assert [(row.pair.pair_id, row.truth) for row in rows] == [("x/0-1", SECOND), ("x/1-2", FIRST)]
    with pytest.raises(BadRecord, match="all 3 responses are the same text"):
        rows_of({"prompt": "q", "responses": ["a"] * 3})


def test_pairs_of_one_row_without_a_prompt_stay_together():
    one, other = (rows_of({"id": name, "prompt": "", "responses": ["a", "b", "c"], "ai_labels": {}}) for name in "xy")
    assert len({row.pair.group for row in one}) == 1 and one[0].pair.group != other[0].pair.group


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"human_labels": [{"choice": 1}]}, "must say which `pair`"),
        ({"human_labels": [{"pair": [0, 9], "choice": 0}]}, "of 3"),
        ({"human_labels": [{"pair": [0, 1], "choice": 2}]}, "is for '2'"),
        ({"human_majority": 3}, "there are 3 responses"),
        ({"ai_labels": {"J": 7}}, "not a list of objects"),
        ({"human_labels": 7}, "not a list of objects"),
        ({"responses": ["a"] * 500}, "at most 200"),
        ({"id": ["x"]}, "neither a text"),
        ({"responses": ["a", "b", ""]}, "is empty"),
    ],
)
def test_a_label_that_does_not_fit_many_responses_is_refused(changes, words):
    record = {"id": "x", "prompt": "q", "responses": ["a", "b", "c"], **changes}
    with pytest.raises(BadRecord, match=words):
        rows_of(record)


@given_any(st.lists(st.sampled_from([0, 1, "tie", None])))
def test_the_majority_is_what_most_say(choices_made):
    said = [choice for choice in choices_made if choice is not None]
    counts = sorted((said.count(choice) for choice in (0, 1, "tie")), reverse=True)
    expected = None if not said else "tie" if counts[0] == counts[1] else max(set(said), key=said.count)
    assert majority(choices_made) == expected


def test_how_many_pairs_came_of_many_responses_is_said(tmp_path):
    rows = [{"id": f"m{at}", "prompt": f"q{at}", "responses": ["a", "b", "c"]} for at in range(2)]
    given = intake.read(jsonl(tmp_path / "many.jsonl", rows))
    assert len(given.rows) == 6 and given.notes[0].startswith(
        "2 prompts have more than two responses: that gave 6 pairs"
    )
