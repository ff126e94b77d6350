"""The forms in which people's data sets come: each is recognised by its content and gives the pairs and labels that it holds."""

import csv
import json
from pathlib import Path

import pytest

from concord.client.intake import intake
from concord.v1 import pairs_pb2 as pb
from tests.row_files import chat, ids, jsonl, parquet, refusal

FIRST, SECOND, TIE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_TIE


def better(given: intake.Input) -> list[str]:
    """For each row the text that people call better, "=" for a tie, "" where nobody says."""
    texts = {FIRST: lambda row: row.pair.first.text, SECOND: lambda row: row.pair.second.text, TIE: lambda row: "="}
    return [texts[row.truth](row) if row.truth else "" for row in given.rows]


def judged(given: intake.Input, judge: str) -> list[str]:
    """For each row the text that the recorded judge calls better."""
    said = [(row, row.verdict_of(judge)) for row in given.rows]
    texts = {FIRST: lambda row: row.pair.first.text, SECOND: lambda row: row.pair.second.text, TIE: lambda row: "="}
    return [texts[verdict.choice](row) if verdict else "" for row, verdict in said]


def turns(row: intake.Row) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in row.pair.prompt]


def read(tmp_path: Path, *rows: dict) -> intake.Input:
    return intake.read(jsonl(tmp_path / "rows.jsonl", list(rows)))


def hh(*said: str) -> str:
    return "".join(f"\n\n{who}: {text}" for who, text in zip(("Human", "Assistant") * len(said), said, strict=False))


def test_hh_strings_are_conversations_with_and_without_a_prompt_column(tmp_path):
    whole = {"chosen": hh("Hi", "Yes?", "A bird?", "Finch"), "rejected": hh("Hi", "Yes?", "A bird?", "Cod")}
    apart = {"prompt": hh("Hi", "Yes?", "A bird?") + "\n\nAssistant:", "chosen": " Finch", "rejected": " Cod"}
    given = read(tmp_path, whole, apart, whole | {"prompt": hh("Hi", "Yes?", "A bird?") + "\n\nAssistant:"})
    assert given.form == "HH transcripts" and better(given) == ["Finch"] * 3
    assert [turns(row) for row in given.rows] == [[("user", "Hi"), ("assistant", "Yes?"), ("user", "A bird?")]] * 3


def test_arena_conversations_have_a_winner_and_both_bad_is_a_tie(tmp_path):
    def battle(winner: str | None, **more: object) -> dict:
        asked = chat("user", f"{winner}?")
        sides = {f"conversation_{side}": asked + chat("assistant", side) for side in "ab"}
        return {"question_id": "x", "model_a": "m", "model_b": "n", "winner": winner, **sides} | more

    given = read(tmp_path, *map(battle, ("model_a", "model_b", "tie", "tie (bothbad)", "both_bad", None)))
    assert given.form == "arena conversations" and better(given) == ["a", "b", "=", "=", "=", ""]
    assert (given.rows[0].pair.first.model, given.rows[0].pair.second.model) == ("m", "n")
    assert "not used: question_id" in given.notes
    assert "'winner'" not in refusal(jsonl(tmp_path / "odd.jsonl", [battle("nobody")]))
    assert "`winner` is 'nobody'" in refusal(jsonl(tmp_path / "odd.jsonl", [battle("nobody")]))
    by_model = read(tmp_path, battle("model_b", judge=["gpt-4", "pair-v2"]))
    assert better(by_model) == [""] and judged(by_model, "gpt-4-pair-v2") == ["b"]


def test_an_arena_conversation_that_goes_on_is_compared_whole_and_said_or_cut_where_it_was_judged(tmp_path):
    def long(side: str) -> list[dict]:
        return [*chat("user", "q"), *chat("assistant", side), *chat("user", "more"), *chat("assistant", side * 2)]

    row = {"winner": "model_a", "conversation_a": long("a"), "conversation_b": long("b")}
    given = read(tmp_path, row)
    assert (
        turns(given.rows[0]) == [("user", "q")] and given.rows[0].pair.first.text == "a\n\nUser: more\n\nAssistant: aa"
    )
    assert "in 1 row the conversation goes on behind the first answer: all of it is compared" in given.notes
    assert better(read(tmp_path, row | {"turn": 1})) == ["a"]


def test_arena_texts_say_in_three_columns_who_won(tmp_path):
    def row(at: int) -> dict:
        won = {f"winner_{name}": int(at == number) for number, name in enumerate(("model_a", "model_b", "tie"))}
        return {"id": at, "prompt": f'["q{at}"]', "response_a": '["a"]', "response_b": '["b"]', **won}

    by_word = {"prompt": "q", "response_a": "a", "response_b": "b", "winner": "b"}
    assert better(read(tmp_path, by_word)) == ["b"]
    given = read(tmp_path, *map(row, range(3)))
    assert given.form == "arena texts" and better(given) == ["a", "b", "="] and turns(given.rows[0]) == [("user", "q0")]


def test_helpsteers_signed_preferences_are_peoples_labels(tmp_path):
    def row(preference: int, *votes: int) -> dict:
        said = {
            "context": chat("user", f"q{preference}"),
            "response1": "a",
            "response2": "b",
            "overall_preference": preference,
        }
        return said | {"domain": "code", "individual_preference": [{"score": vote, "reasoning": "…"} for vote in votes]}

    given = read(tmp_path, row(-2, -3, 1), row(0), row(1))
    assert given.form == "HelpSteer preferences" and better(given) == ["a", "=", "b"]
    assert given.rows[0].people == (FIRST, SECOND) and given.rows[0].pair.domain == "code"
    second = {"prompt": "q", "response_1": "a", "response_2": "b", "preference_strength": 3}
    assert better(read(tmp_path, second)) == ["b"]


def test_helpsteer2s_ratings_of_neighbouring_rows_are_compared(tmp_path):
    def row(prompt: str, response: str, helpfulness: int) -> dict:
        rest = dict.fromkeys(("correctness", "coherence", "complexity", "verbosity"), 4)
        return {"prompt": prompt, "response": response, "helpfulness": helpfulness, **rest}

    talk = "q\n<extra_id_1>Assistant\nWhat?\n<extra_id_1>User\nThis."
    given = read(tmp_path, row("p", "a", 1), row("p", "b", 4), row(talk, "c", 3), row(talk, "d", 3))
    assert given.form == "HelpSteer2 ratings" and better(given) == ["b", "="]
    assert turns(given.rows[1]) == [("user", "q"), ("assistant", "What?"), ("user", "This.")]
    alone = refusal(jsonl(tmp_path / "alone.jsonl", [row("p", "a", 1), row("r", "b", 4)]))
    assert "one response to its prompt" in alone and "sort the file by prompt" in alone


def test_shp_says_which_of_two_replies_people_preferred(tmp_path):
    row = {"post_id": "x", "domain": "askphysics_train", "human_ref_A": "a", "human_ref_B": "b"}
    given = read(tmp_path, row | {"history": "q", "labels": 1}, row | {"history": "r", "labels": 0})
    assert given.form == "SHP" and better(given) == ["a", "b"] and given.rows[0].pair.domain == "askphysics"


def test_nectars_ranks_are_a_judges_verdicts(tmp_path):
    answers = [
        {"answer": text, "model": f"m-{text}", "rank": rank} for text, rank in (("a", 3.0), ("b", 1.0), ("c", 2.0))
    ]
    given = read(
        tmp_path, {"prompt": "\n\nHuman: q\n\nAssistant: ", "answers": answers, "turns": 1, "num_responses": 3}
    )
    assert given.form == "Nectar" and judged(given, "rank") == ["b", "c", "b"] and better(given) == [""] * 3
    assert turns(given.rows[0]) == [("user", "q")]


def test_ultrafeedback_as_it_was_rated_and_as_it_was_binarised(tmp_path):
    rated = [{"model": "m", "response": "a", "overall_score": 4.0}, {"model": "n", "response": "b", "overall_score": 7}]
    given = read(tmp_path, {"source": "evol", "instruction": "q", "models": ["m", "n"], "completions": rated})
    assert given.form == "UltraFeedback completions" and judged(given, "overall_score") == ["b"]
    talk = {side: chat("user", "q") + chat("assistant", side) for side in ("chosen", "rejected")}
    rest = {"prompt_id": "x", "messages": talk["chosen"], "score_chosen": 8.0, "score_rejected": 4.0}
    binarised = read(tmp_path, {"prompt": "q", **talk, **rest})
    assert better(binarised) == ["chosen"] and turns(binarised.rows[0]) == [("user", "q")]
    assert "not used: prompt_id, messages, score_chosen, score_rejected" in binarised.notes


def test_orca_alpaca_and_sharegpt_name_the_prompt_otherwise(tmp_path):
    sides = {"chosen": "a", "rejected": "b"}
    orca = read(tmp_path, {"system": "Be brief.", "question": "q", **sides})
    assert orca.form == "Orca-DPO" and turns(orca.rows[0]) == [("system", "Be brief."), ("user", "q")]
    history = [["before?", "Yes."]]
    alpaca = read(tmp_path, {"instruction": "Translate.", "input": "Hut", "history": history, **sides})
    assert alpaca.form == "alpaca ranking"
    assert turns(alpaca.rows[0]) == [("user", "before?"), ("assistant", "Yes."), ("user", "Translate.\nHut")]
    said = {side: {"from": "gpt", "value": text} for side, text in sides.items()}
    sharegpt = read(tmp_path, {"conversations": [{"from": "human", "value": "q"}], "system": "Be brief.", **said})
    assert sharegpt.form == "sharegpt ranking" and turns(sharegpt.rows[0]) == turns(orca.rows[0])
    assert better(orca) == better(alpaca) == better(sharegpt) == ["a"]


def test_distilabels_generations_are_compared_by_their_ratings(tmp_path):
    row = {"instruction": "q", "generations": ["a", "b"], "ratings": [3.0, 5.0], "generation_models": ["m", "n"]}
    given = read(tmp_path, row, row | {"ratings": [4, 4]}, {"instruction": "q2", "generations": ["c", "d"]})
    assert given.form == "distilabel generations" and judged(given, "ratings") == ["b", "=", ""]
    assert given.rows[0].pair.second.model == "n"


def test_nemos_completions_are_read_by_rank(tmp_path):
    completions = [{"rank": rank, "completion": chat("assistant", text)} for rank, text in ((1, "b"), (0, "a"))]
    given = read(tmp_path, {"context": chat("user", "q"), "completions": completions})
    assert given.form == "NeMo completions" and better(given) == ["a"]


def test_argillas_first_version_is_read_nested_and_as_the_hub_holds_it(tmp_path):
    fields = {"instruction": "q", "response-1": "a", "response-2": "b"}
    nested = {
        "fields": fields,
        "responses": [
            {"user_id": "u", "status": "submitted", "values": {"preference": {"value": "response-2"}}},
            {"user_id": "v", "status": "discarded", "values": {"preference": {"value": "response-1"}}},
        ],
        "suggestions": [{"question_name": "preference", "value": "response-1", "agent": "gpt"}],
        "external_id": "x",
    }
    given = read(tmp_path, nested)
    assert better(given) == ["b"] and judged(given, "gpt") == ["a"]
    hub = {
        **fields,
        "preference": [{"user_id": "u", "value": "response-2", "status": "submitted"}],
        "preference-suggestion": "response-1",
        "preference-suggestion-metadata": {"agent": "gpt", "score": None, "type": "model"},
        "external_id": "x",
        "metadata": "{}",
    }
    given = intake.read(parquet(tmp_path / "train.parquet", [hub]))
    assert given.form == "Argilla records of version 1" and better(given) == ["b"] and judged(given, "gpt") == ["a"]


def test_ratings_of_the_responses_one_by_one_are_compared(tmp_path):
    fields = {"instruction": "q", "generation-0": "a", "generation-1": "b"}
    said = {f"generation-{at}-rating": [{"value": value, "user_id": "u"}] for at, value in enumerate((2, 5))}
    assert better(read(tmp_path, {"id": "r", "fields": fields, "responses": said, "suggestions": {}})) == ["b"]

    def rating(name: str, about: str, value: int) -> dict:
        return {"type": "rating", "from_name": name, "to_name": about, "value": {"rating": value}}

    results = [rating("r1", "response_1", 4), rating("r2", "response_2", 4)]
    task = {"id": 7, "data": {"prompt": "q", "response_1": "a", "response_2": "b"}}
    given = read(tmp_path, task | {"annotations": [{"completed_by": 1, "result": results}]})
    assert better(given) == ["="] and ids(given) == ["7"]
    half = read(tmp_path, task | {"annotations": [{"completed_by": 1, "result": results[:1]}]})
    assert better(half) == [""] and "in 1 row no answer says which response is better" in half.notes[0]


def test_label_studios_short_exports_have_one_annotation_a_row(tmp_path):
    def row(task: int, annotation: int, answer: object, **more: object) -> dict:
        about = {"id": task, "annotator": annotation, "annotation_id": annotation, "lead_time": 3.5, "created_at": "x"}
        return {"prompt": f"q{task}", "answer1": "a", "answer2": "b", "better": answer, **about} | more

    rows = [row(1, 1, "Answer 2"), row(1, 2, "Answer 2"), row(1, 3, "Answer 1"), row(2, 4, "Tie")]
    path = tmp_path / "min.json"
    path.write_text(json.dumps(rows))
    given = intake.read(path)
    assert given.form == "Label Studio annotations" and better(given) == ["b", "="]
    assert given.rows[0].people == (SECOND, SECOND, FIRST) and ids(given) == ["1", "2"]
    assert better(intake.read(table(tmp_path / "export.csv", rows))) == ["b", "="]
    rated = [row(1, 1, None, r1=2, r2=5), row(2, 2, None, r1=3, r2=1)]
    assert better(read(tmp_path, *rated)) == ["b", "a"]
    assert better(intake.read(table(tmp_path / "rated.csv", rated))) == ["b", "a"]


def table(path: Path, rows: list[dict], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(("name", "delimiter"), [("t.csv", ","), ("t.tsv", "\t"), ("t.csv", ";"), ("t.txt", ",")])
def test_a_table_has_its_columns_names_in_its_first_line(tmp_path, name, delimiter):
    rows = [{"id": f"p{at}", "prompt": f"q{at},\nor so?", "chosen": 'a "b"', "rejected": "c; d\te"} for at in range(3)]
    given = intake.read(table(tmp_path / name, rows, delimiter))
    assert ids(given) == ["p0", "p1", "p2"] and better(given) == ['a "b"'] * 3
    assert turns(given.rows[2]) == [("user", "q2,\nor so?")]


def test_a_table_may_have_any_form_and_lie_in_a_folder(tmp_path):
    rows = [{"history": f"q{label}", "human_ref_A": "a", "human_ref_B": "b", "labels": label} for label in (0, 1)]
    folder = tmp_path / "set"
    folder.mkdir()
    table(folder / "train.csv", rows)
    (folder / "dataset_info.json").write_text("{}")
    given = intake.read(folder)
    assert given.form == "SHP" and better(given) == ["b", "a"] and "1 CSV file of the split train" in given.notes[0]


def test_a_tables_bad_rows_are_named_by_their_line_and_can_be_set_aside(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("prompt,chosen,rejected\nq,a,b\nr,a\ns,a,b,c\nt,a,\nu,a,b\n")
    said = refusal(path)
    assert f"{path}:3: 2 cells, but the first line names 3 columns" in said and f"{path}:4: 4 cells" in said
    given = intake.read(path, tmp_path / "aside.jsonl")
    assert len(given.rows) == 2 and sum(given.set_aside.values()) == 3
    for text, words in (("a,a\n1,2\n", "two columns are called 'a'"), ('a,b\n"1,2\n', "quotation marks")):
        path.write_text(text)
        assert words in refusal(path)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda rows: {"data": rows},
        lambda rows: {"version": 1, "pairs": rows},
        lambda rows: {"rows": [{"row_idx": at, "row": row, "truncated_cells": []} for at, row in enumerate(rows)]},
        lambda rows: {"train": rows, "test": rows[:1]},
        lambda rows: {key: [row[key] for row in rows] for key in rows[0]},
        lambda rows: {key: {str(at): row[key] for at, row in enumerate(rows)} for key in rows[0]},
    ],
    ids=["data", "another key", "the hub's viewer", "splits", "columns", "pandas"],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_rows_inside_a_document_are_found_and_it_is_said_where(tmp_path, wrapped, indent):
    rows = [{"prompt": f"q{at}", "chosen": "a", "rejected": "b"} for at in range(3)]
    path = tmp_path / "wrapped.json"
    path.write_text(json.dumps(wrapped(rows), indent=indent))
    given = intake.read(path)
    assert better(given) == ["a"] * 3 and ("the rows under" in given.notes[0] or "columns" in given.notes[0])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "q", "completion": "a", "label": True}, "KTO"),
        ({"prompt": "q", "completion": chat("assistant", "a"), "label": False}, "KTO"),
        ({"messages": chat("user", "q"), "kto_tag": True}, "KTO"),
        ({"prompt": "q", "completions": ["one", "two"], "labels": [True, False]}, "PRM"),
        ({"question": "q", "label": {"steps": [{"rating": 1}]}}, "PRM"),
        ({"instruction": "q", "output": "a"}, "one answer to a prompt"),
        ({"messages": [*chat("user", "q"), *chat("assistant", "a")]}, "one chat"),
        ({"pair_id": "p", "choice": "A"}, "--annotators file:PATH"),
        ({"human_ref_A": None, "chosen": "a"}, "no `rejected` beside `chosen`"),
        (
            {"instruction": "q", "models": ["m"], "x": 1},
            "looks most like UltraFeedback completions, which also has 'completions'",
        ),
        (
            {"question": "q", "answer1": "a", "answer2": "b", "label": 0},
            "perhaps --columns prompt=question,first=answer1,second=answer2,winner=label",
        ),
        ({"frage": "q", "eins": "a", "zwei": "b"}, "--columns prompt=…,first=…,second=…,winner=…"),
    ],
)
def test_what_cannot_be_read_is_told_what_it_is_and_what_to_do(tmp_path, row, words):
    said = refusal(jsonl(tmp_path / "rows.jsonl", [row]))
    assert words in said and all(repr(name) in said for name in row), said


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"PK\x03\x04rest", "CSV UTF-8"), ("a,b".encode("utf-16"), "UTF-16"), (b"BZh9", "bzip2"), (b"%PDF-1.7", "a PDF")],
)
def test_a_file_of_another_kind_is_told_what_it_is(tmp_path, raw, words):
    (tmp_path / "rows.csv").write_bytes(raw)
    assert words in refusal(tmp_path / "rows.csv")


def test_chats_in_a_tables_cells_are_chats(tmp_path):
    cells = {side: json.dumps(chat("user", "q") + chat("assistant", side)) for side in ("chosen", "rejected")}
    given = intake.read(table(tmp_path / "t.csv", [cells | {"prompt": "q"}]))
    assert better(given) == ["chosen"] and turns(given.rows[0]) == [("user", "q")]


def test_rows_of_two_forms_do_not_stand_in_one_file(tmp_path):
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b"}, {"history": "q", "human_ref_A": "a", "human_ref_B": "b"}]
    assert "this row is SHP, but the file began as prompt/chosen/rejected" in refusal(jsonl(tmp_path / "r.jsonl", rows))
