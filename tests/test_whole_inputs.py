"""What is special in an input, all the way: from the file through judge and people into the dataset and out again."""

import json

import concord
from concord.client.intake import intake
from tests.row_files import chat, jsonl

CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


def run(folder, path, **asked):
    settings = {"annotators": "recorded", "pilot": 0, "method": "posterior"} | asked
    return concord.run(path, home=folder / "concord-data", tell=None, **settings)


def test_a_judges_recorded_ties_stay_in_the_run_and_people_are_asked_about_them_first(tmp_path):
    def row(number: int) -> dict:
        said = "tie" if number % 10 == 0 else number % 2
        labels = {"human_majority": number % 2, "ai_labels": {"J": {"choice": said, "confidence": 0.9}}}
        return {"id": f"p{number}", "prompt": f"Question {number}?", "responses": ["yes", "no"], **labels}

    done = run(
        tmp_path, jsonl(tmp_path / "rows.jsonl", list(map(row, range(60)))), judge="recorded:J", budget=6, audit=0.1
    )
    rows = done.dataset.to_list()
    ties = [row for row in rows if row["judge_label"] == "tie"]
    assert len(rows) == 60 and {row["pair_id"] for row in ties} == {f"p{at}" for at in range(0, 60, 10)}
    asked = {row["pair_id"] for row in rows if row["source"] == "people"}
    assert len(asked) == 6 and len(asked & {row["pair_id"] for row in ties}) >= 4, "an audit may take a place or two"
    assert all(row["source"] == "judge" and row["label"] == "tie" for row in ties if row["pair_id"] not in asked)


def test_a_judge_that_follows_the_order_leaves_rows_that_weigh_nothing_and_are_not_exported(tmp_path):
    def row(number: int) -> dict:
        said = {"choice": 0, "choice_swapped": 1 if number < 5 else 0}
        return {"prompt": f"Question {number}?", "responses": ["yes", "no"], "ai_labels": {"J": said}}

    path = jsonl(tmp_path / "rows.jsonl", list(map(row, range(20))))
    done = run(tmp_path, path, judge="recorded:J", budget=0, method="none", annotators=None)
    assert [row["weight"] for row in done.dataset] == [0.0] * 5 + [1.0] * 15
    assert len(done.export("trl").read_text().splitlines()) == 15
    card = (done.export("hf") / "README.md").read_text()
    assert "rows on which the judge's verdict follows the order of the answers, a coin flip, are left out: 5" in card


def test_calls_and_tools_of_the_input_come_out_as_they_went_in(tmp_path):
    def row(number: int) -> dict:
        better = [{"role": "assistant", "content": "", "tool_calls": [CALL]}]
        tools = [{"type": "function", "function": {"name": "weather"}}]
        return {
            "prompt": chat("user", f"Oslo {number}?"),
            "chosen": better,
            "rejected": chat("assistant", "7 C"),
            "tools": tools,
        }

    path = jsonl(tmp_path / "rows.jsonl", list(map(row, range(12))))
    done = run(tmp_path, path, judge="recorded:chosen", budget=0, method="none", annotators=None)
    exported = [json.loads(line) for line in done.export("trl-conversational").read_text().splitlines()]
    assert [{key: made[key] for key in row(0)} for made in exported] == list(map(row, range(12)))
    assert "<tool_call>" in done.dataset.to_list()[0]["chosen"]


def test_named_columns_are_taken_from_python_and_make_the_run_that_the_table_means(tmp_path):
    rows = [{"frage": f"Question {at}?", "a": "yes", "b": "no", "besser": "ab"[at % 2]} for at in range(20)]
    columns = {"prompt": "frage", "first": "a", "second": "b", "winner": "besser"}
    given = intake.read(jsonl(tmp_path / "rows.jsonl", rows), columns=columns)
    assert given.rows_with_truth == 20
    asked = {"judge": "recorded:x", "columns": {**columns, "third": "c"}}
    try:
        concord.run(rows, home=tmp_path / "concord-data", tell=None, **asked)
    except concord.InvalidInput as error:
        assert "'third' is none of" in str(error)
    else:
        raise AssertionError("a role that is none was taken")
