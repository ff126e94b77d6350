"""`--columns`: any table, with which column is what said by its user."""

import pytest

from concord.client.intake import intake
from concord.client.intake.formats import mapped
from concord.client.run import options
from concord.client.run.job import prepare
from concord.kit.errors import InvalidInput
from concord.v1 import pairs_pb2 as pb
from tests.row_files import chat, jsonl

FIRST, SECOND, TIE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_TIE
NAMES = "prompt=frage,first=eins,second=zwei,winner=besser"


def row(number: int, winner: object = None, **more: object) -> dict:
    return {"frage": f"q{number}", "eins": "a", "zwei": "b", "besser": winner, "rest": 1} | more


def read(tmp_path, columns, *rows: dict) -> intake.Input:
    return intake.read(jsonl(tmp_path / "rows.jsonl", list(rows)), columns=columns)


def test_named_columns_make_pairs_of_any_table_and_what_is_not_named_is_said(tmp_path):
    given = read(tmp_path, NAMES, row(1, "eins"), row(2, "zwei"), row(3, "tie"), row(4))
    assert [made.truth for made in given.rows] == [FIRST, SECOND, TIE, None] and given.form == mapped.NAME
    assert given.rows[0].pair.prompt[0].content == "q1" and given.notes == ("not used: rest",)


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        ("a", "b", FIRST),
        ("A", "B", FIRST),
        (0, 1, FIRST),
        ("0", "1", FIRST),
        (0.0, 1.0, FIRST),
        ("first", "second", FIRST),
    ],
)
def test_a_winner_is_a_side_in_any_of_the_usual_words(tmp_path, first, second, wins):
    given = read(tmp_path, NAMES, row(1, first), row(2, second))
    assert [made.truth for made in given.rows] == [wins, SECOND]


def test_a_winner_may_be_a_models_name_or_the_number_of_a_column(tmp_path):
    models = NAMES + ",first_model=m1,second_model=m2"
    given = read(tmp_path, models, row(1, "gpt", m1="llama", m2="gpt"))
    assert given.rows[0].truth == SECOND and given.rows[0].pair.second.model == "gpt"
    numbered = [{"q": f"q{won}", "answer_1": "a", "answer_2": "b", "won": won} for won in (1, 2, "answer_2")]
    given = read(tmp_path, {"prompt": "q", "first": "answer_1", "second": "answer_2", "winner": "won"}, *numbered)
    assert [made.pair.second.text if made.truth == SECOND else made.pair.first.text for made in given.rows] == [
        "a",
        "b",
        "b",
    ]


@pytest.mark.parametrize("winner", ["c", 2, -1, True, "response 3", ["a"], "x" * 5_000, 10**50, "nan"])
def test_a_winner_that_is_neither_is_refused_with_what_is_understood(tmp_path, winner):
    with pytest.raises(InvalidInput, match=r"'besser' is .* which is neither response"):
        read(tmp_path, NAMES, row(1, winner))


def test_names_lead_into_objects_and_lists_with_dots_and_ratings_are_compared(tmp_path):
    rows = [{"in": {"q": "q"}, "out": ["a", "b"], "score": {"x": 1, "y": 2}, "out.0": None}]
    del rows[0]["out.0"]
    names = "prompt=in.q,first=out.0,second=out.1,first_rating=score.x,second_rating=score.y"
    (made,) = read(tmp_path, names, *rows).rows
    assert (made.pair.first.text, made.pair.second.text, made.truth) == ("a", "b", SECOND)


def test_chosen_and_rejected_may_be_named_and_be_chats(tmp_path):
    rows = [{"gut": chat("user", "q") + chat("assistant", "a"), "schlecht": chat("user", "q") + chat("assistant", "b")}]
    (made,) = read(tmp_path, "chosen=gut,rejected=schlecht", *rows).rows
    assert made.pair.prompt[0].content == "q" and made.verdict_of("chosen") is not None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("first=a", "both responses"),
        ("prompt=p", "both responses"),
        ("first=a,second=b,chosen=c,rejected=d", "both responses"),
        ("first=a,second=b,chosen=c", "does not go with first and second"),
        ("chosen=a,rejected=b,winner=c", "does not go with chosen and rejected"),
        ("first=a,second=a", "cannot be the same column"),
        ("first=a,second=b,third=c", "'third' is none of"),
        ("first=a,first=b,second=c", "named twice"),
        ("first=,second=b", "names of columns are expected"),
        ("eins", "names of columns are expected"),
        ('{"first": 3}', "names of columns are expected"),
        ("{broken", "names of columns are expected"),
        ("first=" + "a" * 20_000, "characters"),
        ({"first": "a"}, "both responses"),
        ({"first": "a", "second": "\ud800"}, "no column"),
        ([("first", "a")], "names of columns are expected"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_in_words(tmp_path, said, words):
    with pytest.raises(InvalidInput, match=words):
        read(tmp_path, said, row(1))


def test_a_row_without_a_named_column_is_refused_with_the_columns_that_there_are(tmp_path):
    with pytest.raises(InvalidInput, match="no column 'zwei', which --columns names; its columns: 'eins', 'frage'"):
        read(tmp_path, NAMES, {"frage": "q", "eins": "a"})


def test_another_reading_of_a_file_is_another_run_and_the_same_reading_the_same(tmp_path):
    rows = jsonl(tmp_path / "rows.jsonl", [row(at, "eins", domain="d") for at in range(4)])

    def run_id(columns: object) -> str:
        asked = options.resolve({"judge": "http://127.0.0.1:9/v1#m", "budget": "2"})
        return prepare(
            str(rows), asked, None, "", read=lambda path, aside: intake.read(path, aside, columns=columns)
        ).run_id

    mapping = {"winner": "besser", "second": "zwei", "first": "eins", "prompt": "frage"}
    assert (
        run_id(NAMES)
        == run_id(mapping)
        != run_id(NAMES.replace("eins", "zwei", 1).replace("second=zwei", "second=eins"))
    )
