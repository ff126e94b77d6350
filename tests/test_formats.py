"""A format is two functions and a line in the table; everything behind them is the same for all formats."""

import json
from pathlib import Path

import pytest

from concord.client.intake import intake
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.formats.table import FORMATS, Format, format_of
from concord.client.run import people, voters
from concord.kit.errors import InvalidInput
from concord.v1 import pairs_pb2 as pb
from tests.row_files import good, ids, jsonl

FIRST, SECOND, TIE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_TIE


def is_duel(row: Decoded) -> bool:
    return "duel" in row


def read_duel(row: Decoded) -> Record:
    return Record(
        responses=row["fighters"],
        prompt=row["duel"],
        id=row.get("name"),
        majority=row.get("winner"),
        annotations=[{"annotator": who, "choice": choice} for who, choice in row.get("crowd", {}).items()],
        verdicts={who: {"choice": choice, "confidence": 0.75} for who, choice in row.get("referees", {}).items()},
    )


DUELS = Format("duels", is_duel, read_duel)
ALL = (DUELS, *FORMATS)


def duel(number: int, **changes: object) -> dict:
    return {"duel": f"Question {number}?", "fighters": ["yes", "no"], "name": f"d{number}"} | changes


def read(path: Path, rows: list[dict], aside: Path | None = None) -> intake.Input:
    return intake.read(jsonl(path, rows), aside, ALL)


def test_a_new_format_gives_pairs_with_truth_people_and_verdicts(tmp_path):
    rows = [
        duel(1, winner=1, crowd={"ann": 1, "bob": 0}, referees={"J": 1}),
        duel(2, winner="tie"),
        duel(3, name=None, fighters=[{"text": "yes", "model": "m"}, "no"]),
    ]
    given = read(tmp_path / "duels.jsonl", rows)
    assert given.form == "duels" and ids(given) == ["d1", "d2", "row-3"] and given.judges == {"J": 1}
    assert [row.truth for row in given.rows] == [SECOND, TIE, None] and given.rows[0].people == (SECOND, FIRST)
    assert given.rows[0].pair.prompt[0].content == "Question 1?" and given.rows[2].pair.first.model == "m"


def test_a_new_format_is_checked_by_the_same_rules_and_its_bad_rows_can_be_set_aside(tmp_path):
    rows = [duel(1), duel(2, fighters=["yes", ""]), duel(1), duel(3, winner=7), good(4)]
    with pytest.raises(InvalidInput, match="4 of 5 rows cannot be used") as caught:
        read(tmp_path / "duels.jsonl", rows)
    said = str(caught.value)
    assert f"{tmp_path / 'duels.jsonl'}:2: response 1 is empty" in said and "for response 7" in said
    assert "this row is prompt/chosen/rejected, but the file began as duels" in said
    given = read(tmp_path / "duels.jsonl", rows, tmp_path / "bad.jsonl")
    assert ids(given) == ["d1"]
    assert given.set_aside == {
        "empty text": 1,
        "duplicate id": 1,
        "label without its response": 1,
        "another form": 1,
    }
    kept = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [row["line"] for row in kept] == [2, 3, 4, 5] and json.loads(kept[0]["row"]) == rows[1]


def test_a_new_formats_judges_can_be_the_recorded_ones(tmp_path):
    rows = [duel(1, winner=0, referees={"J": 0, "K": 1}), duel(2, winner=1, referees={"K": 1}), duel(3)]
    judged, judges = intake.judged_by(read(tmp_path / "duels.jsonl", rows), "K", ["J"])
    assert ids(judged) == ["d1", "d2"] and judged.set_aside == {"no verdict of K": 1}
    assert judges.keys == ("K", "J")
    assert [verdict.choice for verdict in judged.rows[0].pair.verdicts] == [SECOND, FIRST]
    assert judged.rows[1].pair.verdicts[0].confidence == pytest.approx(0.75)


def test_more_than_two_responses_of_a_new_format_give_pairs(tmp_path):
    given = read(tmp_path / "duels.jsonl", [duel(1, fighters=["a", "b", "c"], winner=2)])
    assert dict(zip(ids(given), [row.truth for row in given.rows], strict=True)) == {
        "d1/0-1": None,
        "d1/0-2": SECOND,
        "d1/1-2": SECOND,
    }
    assert "1 prompt has more than two responses: that gave 3 pairs" in given.notes[0]


def test_a_new_format_whose_order_is_the_label_has_it_drawn_like_any_other(tmp_path):
    ranked = Format("ranked", lambda row: "won" in row, _ranked)
    rows = [{"q": f"Question {at}?", "won": "yes", "lost": "no", "key": f"p{at}"} for at in range(60)]
    given = intake.read(jsonl(tmp_path / "ranked.jsonl", rows), formats=(ranked,))
    plain = intake.read(jsonl(tmp_path / "plain.jsonl", [good(at) for at in range(60)]))
    assert given.rows == plain.rows and {row.truth for row in given.rows} == {FIRST, SECOND}


def _ranked(row: Decoded) -> Record:
    return Record(responses=[row["won"], row["lost"]], prompt=row["q"], id=row["key"], best_first=True)


def test_an_answers_file_may_name_the_pairs_of_a_new_format(tmp_path):
    given = read(tmp_path / "duels.jsonl", [duel(1), duel(2)])
    answers = jsonl(tmp_path / "answers.jsonl", [{"pair_id": "d2", "choice": "second"}])
    written = voters.Written(answers, given.rows)
    assert [[vote.says() for vote in written.votes(pair, 1)] for pair in (0, 1)] == [[], [SECOND]]


def test_an_answers_file_may_name_the_pairs_of_rows_that_were_set_aside(tmp_path):
    aside = tmp_path / "bad.jsonl"
    read(tmp_path / "duels.jsonl", [duel(1), duel(2, fighters=["a", "b", ""]), duel(3, winner=7)], aside)
    assert people.ids_set_aside(aside, ALL) == {"d2", "d2/0-1", "d2/0-2", "d2/1-2", "d3", "row-2", "row-3"}


CHOSEN = {"chosen": "x", "rejected": "y"}
EXAMPLES = {
    "Argilla records of version 1": {"prompt": "q", "a": "x", "b": "y", "best": [], "best-suggestion": "a"},
    "Label Studio annotations": {"prompt": "q", "a": "x", "b": "y", "annotation_id": 1, "annotator": 1},
    "arena conversations": {"conversation_a": [], "conversation_b": [], "winner": "tie"},
    "arena texts": {"prompt": "q", "response_a": "x", "response_b": "y", "winner_model_a": 1},
    "HelpSteer preferences": {"context": [], "response1": "x", "response2": "y", "overall_preference": -1},
    "HelpSteer2 ratings": {"prompt": "q", "response": "x", "helpfulness": 3},
    "SHP": {"history": "q", "human_ref_A": "x", "human_ref_B": "y", "labels": 1},
    "Nectar": {"prompt": "q", "answers": [{"answer": "x", "rank": 1}]},
    "NeMo completions": {"context": [], "completions": [{"rank": 0, "completion": []}]},
    "UltraFeedback completions": {"instruction": "q", "completions": [{"response": "x"}]},
    "distilabel generations": {"instruction": "q", "generations": ["x", "y"]},
    "HH transcripts": dict.fromkeys(("chosen", "rejected"), "\n\nHuman: q\n\nAssistant: x"),
    "sharegpt ranking": {"conversations": [{"from": "human", "value": "q"}], **CHOSEN},
    "alpaca ranking": {"instruction": "q", "input": "", **CHOSEN},
    "Orca-DPO": {"system": "", "question": "q", **CHOSEN},
    "Argilla records": {"fields": {"prompt": "q", "a": "x", "b": "y"}, "responses": {}},
    "Label Studio tasks": {"data": {"prompt": "q", "a": "x", "b": "y"}, "annotations": []},
    "prompt/chosen/rejected": good(1),
    "prompt/chosen/rejected as chat messages": {"chosen": [], "rejected": []},
    "prompt/responses with labels": {"responses": [], "human_majority": None},
    "prompt/responses": {"responses": []},
}


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_every_format_of_the_table_is_told_from_all_the_others(known):
    assert format_of(EXAMPLES[known.name]) == known


def test_a_row_that_is_chosen_and_rejected_gives_one_pair_whatever_else_stands_in_it(tmp_path):
    given = intake.read(jsonl(tmp_path / "pairs.jsonl", [good(1, responses=["a", "b", "c"])]))
    assert ids(given) == ["p1"] and given.notes == ("not used: responses",)
