"""Data in other people's formats: real Parquet and Arrow files, annotation tools' exports, many responses, the hub."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from concord.v1 import pairs_pb2 as pb
from services.client import fetch, intake, layout, people
from services.kit.errors import InvalidInput, Unavailable
from services.preference import argilla, fields, labelstudio
from services.preference.many import majority, rows_of
from services.preference.pairs import BadRecord
from services.preference.records import CONVERSATION, PREFERENCE, RECORD, RESPONSES

FIRST, SECOND, TIE = pb.CHOICE_FIRST, pb.CHOICE_SECOND, pb.CHOICE_TIE


def good(number: int, **changes) -> dict:
    return {"id": f"p{number}", "prompt": f"Question {number}?", "chosen": "yes", "rejected": "no"} | changes


def chat(role: str, content: str) -> list[dict]:
    return [{"role": role, "content": content}]


def parquet(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def jsonl(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def saved(folder: Path, *shards: list[dict]) -> Path:
    """A folder as `Dataset.save_to_disk` leaves it: Arrow streams, state.json, dataset_info.json."""
    folder.mkdir(parents=True)
    names = [f"data-{at:05}-of-{len(shards):05}.arrow" for at in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        table = pyarrow.Table.from_pylist(rows)
        with pyarrow.OSFile(str(folder / name), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    state = {"_data_files": [{"filename": name} for name in names], "_split": "train", "_fingerprint": "x"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}}))
    return folder


def ids(given: intake.Input) -> list[str]:
    return [row.pair.pair_id for row in given.rows]


def refusal(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        intake.read(path)
    return str(caught.value)


# Parquet, Arrow and folders


def test_parquet_gives_the_same_pairs_as_the_same_rows_in_json_lines(tmp_path):
    rows = [good(at) for at in range(1200)]
    packed = intake.read(parquet(tmp_path / "pairs.parquet", rows))
    plain = intake.read(jsonl(tmp_path / "pairs.jsonl", rows))
    assert packed.form == PREFERENCE and packed.rows == plain.rows


def test_parquet_is_told_by_its_content_and_chats_and_labels_are_read(tmp_path):
    turns = [good(1, prompt=chat("user", "q"), chosen=chat("assistant", "a"), rejected=chat("assistant", "b"))]
    assert intake.read(parquet(tmp_path / "named.jsonl", turns)).form == CONVERSATION
    labelled = [
        {"prompt": "q1", "responses": ["a", "b"], "human_majority": "1", "ai_labels": {"J": {"choice": 0.0}, "K": None}},
        {"prompt": "q2", "responses": ["a", "b"], "human_majority": "tie", "ai_labels": {"J": None, "K": {"choice": 1.0}}},
        {"prompt": "q3", "responses": ["a", "b"], "human_majority": None, "ai_labels": None},
    ]
    given = intake.read(parquet(tmp_path / "labelled.parquet", labelled))
    assert [row.truth for row in given.rows] == [SECOND, TIE, None] and given.judges == {"J": 1, "K": 1}
    assert ids(given) == ["row-1", "row-2", "row-3"]


def test_a_bad_row_of_a_parquet_file_is_named_and_can_be_set_aside(tmp_path):
    path = parquet(tmp_path / "pairs.parquet", [good(1), good(2, chosen=""), good(3)])
    assert f"{path}, row 2: `chosen` is empty" in refusal(path)
    given = intake.read(path, tmp_path / "bad.jsonl")
    (aside,) = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert ids(given) == ["p1", "p3"] and (aside["line"], json.loads(aside["row"])["id"]) == (2, "p2")
    assert people.ids_set_aside(tmp_path / "bad.jsonl") == {"p2", "row-2"}


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1 and then no table at all PAR1", b"text"])
def test_a_broken_parquet_file_is_refused_in_words(tmp_path, content):
    path = tmp_path / "pairs.parquet"
    path.write_bytes(content)
    assert str(path) in refusal(path) and "cannot be read as Parquet" in refusal(path)


def test_without_pyarrow_the_user_is_told_what_to_install(tmp_path):
    path = parquet(tmp_path / "pairs.parquet", [good(1)])
    code = f"import sys; sys.modules['pyarrow'] = None\nfrom services.client import intake\nintake.read({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "InvalidInput" in done.stderr and "need pyarrow: pip install pyarrow" in done.stderr


def test_a_data_set_saved_to_disk_is_read_in_the_order_of_its_state(tmp_path):
    folder = saved(tmp_path / "set", [good(1), good(2)], [good(3)])
    given = intake.read(folder)
    assert ids(given) == ["p1", "p2", "p3"] and given.name == "set" and "`datasets`" in given.notes[0]


def test_of_several_saved_splits_the_train_split_is_read_and_the_others_named(tmp_path):
    saved(tmp_path / "train", [good(1)])
    saved(tmp_path / "test", [good(2)])
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["test", "train"]}))
    given = intake.read(tmp_path)
    assert ids(given) == ["p1"] and "split train" in given.notes[0] and "left out: test" in given.notes[0]
    assert ids(intake.read(tmp_path / "test")) == ["p2"]


def test_a_saved_state_reaches_no_file_outside_its_folder(tmp_path):
    folder = saved(tmp_path / "set", [good(1)])
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../secret.arrow"}]}))
    assert "names no data files" in refusal(folder)


def test_the_hubs_layout_is_read_shard_by_shard(tmp_path):
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", [good(2)])
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", [good(1)])
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", [good(3)])
    (tmp_path / "README.md").write_text("---\n---\n")
    jsonl(tmp_path / ".cache" / "train.jsonl", [good(9)])
    given = intake.read(tmp_path)
    assert ids(given) == ["p1", "p2"]
    assert given.notes == ("2 Parquet files of the split train; left out: test",)


def test_the_hash_of_a_folder_is_that_of_its_names_and_contents(tmp_path):
    def sha256(name: str, **rows: list[dict]) -> str:
        for file, held in rows.items():
            jsonl(tmp_path / name / f"{file}.jsonl", held)
        return intake.read(tmp_path / name).sha256

    one = sha256("one", a=[good(1)], b=[good(2)])
    assert one == sha256("same", a=[good(1)], b=[good(2)])
    assert one != sha256("other", a=[good(1)], b=[good(3)]) and one != sha256("renamed", a=[good(1)], c=[good(2)])


def test_rows_without_ids_are_counted_over_all_files_and_duplicates_name_the_file(tmp_path):
    bare = {"prompt": "q", "chosen": "a", "rejected": "b"}
    jsonl(tmp_path / "a.jsonl", [bare, bare])
    jsonl(tmp_path / "b.jsonl", [bare])
    assert ids(intake.read(tmp_path)) == ["row-1", "row-2", "row-3"]
    jsonl(tmp_path / "c.jsonl", [good(1)])
    jsonl(tmp_path / "d.jsonl", [good(1)])
    assert f"{tmp_path / 'd.jsonl'}:1: the id 'p1' stands in {tmp_path / 'c.jsonl'}:1 already" in refusal(tmp_path)


def test_a_folder_that_means_more_than_one_thing_is_refused_with_the_choice(tmp_path):
    jsonl(tmp_path / "one" / "x.jsonl", [good(1)])
    jsonl(tmp_path / "two" / "x.jsonl", [good(1)])
    assert "several data sets are in the folder (one, two)" in refusal(tmp_path)
    with pytest.raises(InvalidInput, match=r"JSON Lines and Parquet"):
        layout.choose(["train.jsonl", "train.parquet"], "here")
    with pytest.raises(InvalidInput, match=r"which split\? There are: test, validation"):
        layout.choose(["dev.jsonl", "test.jsonl"], "here")
    with pytest.raises(InvalidInput, match=r"no split extra; there are: train"):
        layout.choose(["train.jsonl"], "here", "extra")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00001.parquet", "train"), ("data/test_prefs-00000-of-00002.parquet", "test_prefs"),
        ("default/validation/0000.parquet", "validation"), ("my-data.dev.jsonl", "validation"), ("pairs.jsonl", ""),
        ("training-pairs.jsonl.gz", "train"), ("attest.jsonl", ""), ("Eval 2.jsonl", "test"),
    ],
)  # fmt: skip
def test_a_files_name_tells_its_split_as_on_the_hub(name, split):
    assert layout.split_of(name) == split


# JSON lists and annotation tools


def argilla_record(number: int, *votes: object, question: str = "preference", **changes) -> dict:
    answers = [{"value": vote, "user_id": f"u{at}"} for at, vote in enumerate(votes)]
    shown = {"instruction": f"Question {number}?", "response_1": "yes", "response_2": "no"}
    return {
        "id": f"r{number}", "fields": shown, "metadata": {}, "vectors": {}, "_server_id": "s",
        "responses": {question: answers} if votes else {}, "suggestions": {},
    } | changes  # fmt: skip


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
    assert given.form == argilla.FORM and ids(given) == ["r1", "r2", "r3"]
    assert [row.truth for row in given.rows] == [SECOND, TIE, None]
    assert given.rows[0].people == (SECOND, SECOND, FIRST)
    verdict = given.rows[0].verdict_of("gpt")
    assert verdict is not None and verdict.choice == SECOND and verdict.confidence == pytest.approx(0.7)
    assert (given.rows[0].pair.prompt[0].content, given.rows[0].pair.first.text) == ("Question 1?", "yes")


def test_an_argilla_ranking_orders_every_two_responses(tmp_path):
    shown = {"prompt": "q", "generation-1": "a", "generation-2": "b", "generation-3": "c"}
    ranking = [{"value": "generation-3", "rank": 1}, {"value": "generation-1", "rank": 2}, {"value": "generation-2", "rank": 2}]
    record = argilla_record(1, ranking, question="ranking", fields=shown)
    given = intake.read(jsonl(tmp_path / "records.jsonl", [record]))
    assert dict(zip(ids(given), [row.truth for row in given.rows], strict=True)) == {
        "r1/0-1": TIE, "r1/0-2": SECOND, "r1/1-2": SECOND,
    }  # fmt: skip


def test_argilla_on_the_hub_counts_only_what_was_submitted(tmp_path):
    row = {
        "id": "h1", "status": "completed", "prompt": chat("user", "q"), "response_a": "yes", "response_b": "no",
        "best.responses": ["response_a", "response_b"], "best.responses.users": ["u", "v"],
        "best.responses.status": ["submitted", "discarded"], "best.suggestion": "response_b", "best.suggestion.agent": "m",
    }  # fmt: skip
    (read,) = intake.read(parquet(tmp_path / "train.parquet", [row])).rows
    assert read.truth == FIRST and read.people == (FIRST,)
    verdict = read.verdict_of("m")
    assert verdict is not None and verdict.choice == SECOND


def test_an_answer_that_is_no_preference_is_no_truth_and_is_said(tmp_path):
    records = [argilla_record(1, 1, question="rating"), argilla_record(2, "response_1")]
    given = intake.read(jsonl(tmp_path / "records.jsonl", records))
    assert [row.truth for row in given.rows] == [None, FIRST]
    assert "in 1 rows no answer says which response is better, such as 'rating: 1'" in given.notes[0]


def test_fields_and_questions_that_are_not_plain_are_refused_with_what_there_is(tmp_path):
    odd = argilla_record(1, fields={"prompt": "q", "one thing": "a", "another": "b"})
    assert "which fields hold the responses?" in refusal(jsonl(tmp_path / "odd.jsonl", [odd]))
    two = argilla_record(1, responses={q: [{"value": "response_1"}] for q in ("preferred style", "preferred facts")})
    assert "which question is the preference? 'preferred facts', 'preferred style'" in refusal(jsonl(tmp_path / "two.jsonl", [two]))


def task(number: int, *results: dict, **changes) -> dict:
    annotations = [{"id": at, "completed_by": at, "was_cancelled": False, "result": [held]} for at, held in enumerate(results)]
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
    assert given.form == labelstudio.FORM and ids(given) == ["1", "2", "3", "4", "5"] and given.notes == ()
    assert [row.truth for row in given.rows] == [SECOND, FIRST, TIE, None, None]
    verdict = given.rows[0].verdict_of("v1")
    assert verdict is not None and verdict.choice == FIRST


def test_a_pairwise_result_that_names_its_data_says_which_response_is_on_the_left():
    made, _ = labelstudio.converted(task(1, pairwise("left", "answer2,answer1")))
    assert made["responses"] == ["no", "yes"] and made["human_majority"] == 0


@pytest.mark.parametrize(
    ("label", "names", "short", "index"),
    [
        ("response_2", ("response_1", "response_2"), False, 1), ("Response 2 is better", ("answer1", "answer2"), False, 1),
        ("B", ("text_a", "text_b"), True, 1), ("Response A", ("answer1", "answer2"), False, 0), ("left", ("a", "b"), False, 0),
        ("Tie", ("answer1", "answer2"), False, "tie"), ("both are equally bad", ("answer1", "answer2"), False, "tie"),
        ("1", ("response_0", "response_1"), True, 1), ("1", ("answer1", "answer2"), True, 0),
        ("1", ("answer1", "answer2"), False, None),
        ("A is not better", ("a", "b"), True, None), ("good", ("answer1", "answer2"), True, None), (1, ("a", "b"), True, None),
        ("response 3", ("answer1", "answer2"), True, None),
    ],
)  # fmt: skip
def test_a_label_in_words_means_a_response_a_tie_or_nothing(label, names, short, index):
    assert fields.index_of(label, names, short) == index


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.text(max_size=8) | st.sampled_from(["tie", "left", "pairwise"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["value", "result", "type", "selected", "answer1", "answer2", "prompt"]), inner, max_size=4),
    max_leaves=12,
)


@given_any(ANY, ANY, ANY)
def test_no_export_whatever_ends_in_anything_but_a_record_or_a_refusal(one, two, three):
    argillas = {"fields": one, "responses": two, "suggestions": three}
    for record in (argillas, {"data": one, "annotations": two, "predictions": three}):
        tool = argilla if "fields" in record else labelstudio
        if tool.is_record(record):
            try:
                made, _ = tool.converted(record)
                rows_of(made, RECORD, 1)
            except BadRecord as error:
                assert str(error)


# Many responses


def test_up_to_four_responses_give_all_pairs_and_their_labels():
    said = [{"pair": [2, 0], "choice": 2}, {"pair": [0, 2], "choice": 2}, {"pair": [1, 2], "choice": "tie"}, {"kind": "grade"}]
    judged = {"J": [{"pair": [0, 1], "choice": 1, "choice_swapped": 0, "confidence": 0.9}, {"pair": [1, 2], "choice": 1}]}
    record = {"id": "x", "prompt": "q", "responses": ["a", "b", "c"], "human_labels": said, "ai_labels": judged}
    rows = {row.pair.pair_id: row for row in rows_of(record, RECORD, 1)}
    assert list(rows) == ["x/0-1", "x/0-2", "x/1-2"] and len({row.pair.group for row in rows.values()}) == 1
    assert [row.truth for row in rows.values()] == [None, SECOND, TIE] and len(rows["x/0-2"].people) == 2
    first, second = (rows[name].verdict_of("J") for name in ("x/0-1", "x/1-2"))
    assert first is not None and (first.choice, first.choice_swapped, first.confidence) == (SECOND, FIRST, pytest.approx(0.9))
    assert second is not None and second.choice == FIRST and rows["x/0-2"].verdict_of("J") is None


def test_of_more_responses_six_pairs_are_drawn_labelled_ones_first_and_always_the_same():
    record = {"id": "x", "prompt": "q", "responses": list("abcdefgh"), "human_labels": [{"pair": [6, 7], "choice": 7}]}
    drawn = [row.pair.pair_id for row in rows_of(record, RECORD, 1)]
    assert len(drawn) == 6 and "x/6-7" in drawn and drawn == [row.pair.pair_id for row in rows_of(record, RECORD, 9)]
    others = {tuple(row.pair.pair_id for row in rows_of({**record, "id": f"y{at}"}, RECORD, 1)) for at in range(20)}
    assert len({tuple(name.split("/")[1] for name in names) for names in others}) > 10


def test_equal_responses_are_no_pair_and_the_best_of_many_beats_each_other():
    rows = rows_of({"id": "x", "prompt": "q", "responses": ["a", "b", "a"], "human_majority": 1}, RECORD, 1)
    assert [(row.pair.pair_id, row.truth) for row in rows] == [("x/0-1", SECOND), ("x/1-2", FIRST)]
    with pytest.raises(BadRecord, match="all 3 responses are the same text"):
        rows_of({"prompt": "q", "responses": ["a"] * 3}, RESPONSES, 1)


def test_pairs_of_one_row_without_a_prompt_stay_together():
    one, other = (rows_of({"id": name, "prompt": "", "responses": ["a", "b", "c"], "ai_labels": {}}, RECORD, 1) for name in "xy")
    assert len({row.pair.group for row in one}) == 1 and one[0].pair.group != other[0].pair.group


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"human_labels": [{"choice": 1}]}, "must say which `pair`"), ({"human_labels": [{"pair": [0, 9], "choice": 0}]}, "of 3"),
        ({"human_labels": [{"pair": [0, 1], "choice": 2}]}, "is for '2'"), ({"human_majority": 3}, "there are 3 responses"),
        ({"ai_labels": {"J": 7}}, "not a list of objects"), ({"human_labels": 7}, "not a list of objects"),
        ({"responses": ["a"] * 500}, "at most 200"), ({"id": ["x"]}, "neither a text"), ({"responses": ["a", "b", ""]}, "is empty"),
    ],
)  # fmt: skip
def test_a_label_that_does_not_fit_many_responses_is_refused(changes, words):
    record = {"id": "x", "prompt": "q", "responses": ["a", "b", "c"], **changes}
    with pytest.raises(BadRecord, match=words):
        rows_of(record, RECORD if len(changes) and "human" in str(changes) else RESPONSES, 1)


@given_any(st.lists(st.sampled_from([0, 1, "tie", None])))
def test_the_majority_is_what_most_say(choices_made):
    said = [choice for choice in choices_made if choice is not None]
    counts = sorted((said.count(choice) for choice in (0, 1, "tie")), reverse=True)
    expected = None if not said else "tie" if counts[0] == counts[1] else max(set(said), key=said.count)
    assert majority(choices_made) == expected


def test_how_many_pairs_came_of_many_responses_is_said(tmp_path):
    rows = [{"id": f"m{at}", "prompt": f"q{at}", "responses": ["a", "b", "c"]} for at in range(2)]
    given = intake.read(jsonl(tmp_path / "many.jsonl", rows))
    assert len(given.rows) == 6 and given.notes[0].startswith("2 prompts have more than two responses: they gave 6 pairs")


# The hub


def hub_folder(root: Path) -> Path:
    parquet(root / "data" / "train-00000-of-00001.parquet", [good(1), good(2)])
    parquet(root / "data" / "test-00000-of-00001.parquet", [good(3)])
    (root / "README.md").write_text("# a card\n")
    return root


def local_hub(root: Path) -> tuple[fetch.Listing, fetch.Download]:
    """A hub that is a folder in its layout."""

    def listing(name: str) -> list[str]:
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())

    def download(name: str, files, out: Path) -> None:
        for file in files:
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / file, out / file)

    return listing, download


def test_what_was_fetched_is_read_as_it_lies_there(tmp_path):
    hub = local_hub(hub_folder(tmp_path / "hub"))
    out, chosen = fetch.fetch("me/pairs", "train", tmp_path / "train", *hub)
    assert chosen.files == ("data/train-00000-of-00001.parquet",) and ids(intake.read(out)) == ["p1", "p2"]
    out, _ = fetch.fetch("me/pairs", "test", tmp_path / "test", *hub)
    assert ids(intake.read(out)) == ["p3"]
    with pytest.raises(InvalidInput, match="data set me/pairs: there is no split dev; there are: test, train"):
        fetch.fetch("me/pairs", "dev", tmp_path / "dev", *hub)


def test_a_folder_with_other_rows_of_the_split_is_not_mixed_with_them(tmp_path):
    hub = local_hub(hub_folder(tmp_path / "hub"))
    jsonl(tmp_path / "out" / "train.jsonl", [good(7)])
    with pytest.raises(InvalidInput, match=r"holds train\.jsonl already"):
        fetch.fetch("me/pairs", "train", tmp_path / "out", *hub)


def test_a_hub_that_cannot_be_reached_is_said_in_words(tmp_path):
    def away(name: str) -> list[str]:
        raise httpx2.ConnectError("no route")

    with pytest.raises(Unavailable, match=r"me/pairs: the hub cannot be reached .* give their folder to `concord run`"):
        fetch.fetch("me/pairs", "train", tmp_path, away)


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP as its client asks for: one data set, one gated, none else."""

    root: Path
    COMMIT = "0" * 40

    def log_message(self, *words) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        files = sorted(file for file in self.root.rglob("*") if file.is_file())
        names = [file.relative_to(self.root).as_posix() for file in files]
        if "me/gated" in path:
            self.say(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        elif path.startswith("/api/datasets/me/pairs/tree/"):
            tree = [{"type": "file", "path": n, "size": f.stat().st_size, "oid": n} for n, f in zip(names, files, strict=True)]
            self.say(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
        elif path.startswith("/api/datasets/me/pairs"):
            info = {"id": "me/pairs", "sha": self.COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self.say(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
        elif path.startswith(f"/datasets/me/pairs/resolve/{self.COMMIT}/"):
            name = path.removeprefix(f"/datasets/me/pairs/resolve/{self.COMMIT}/")
            content = (self.root / name).read_bytes()
            tag = hashlib.sha256(content).hexdigest()
            self.say(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": self.COMMIT})
        else:
            self.say(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "no such"})

    def say(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub_url(tmp_path):
    """A server on this machine that the hub's own client takes for the hub."""
    served = type("Served", (_Hub,), {"root": hub_folder(tmp_path / "hub")})
    server = ThreadingHTTPServer(("127.0.0.1", 0), served)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def concord_fetch(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "services.cli", "fetch", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_hubs_own_client_fetches_the_files_of_the_split_and_no_others(tmp_path, hub_url):
    done = concord_fetch(tmp_path, hub_url, "me/pairs", "--out", "got")
    assert (done.returncode, done.stdout) == (0, "got\n"), done.stderr
    assert ids(intake.read(tmp_path / "got")) == ["p1", "p2"]
    assert not (tmp_path / "got" / "data" / "test-00000-of-00001.parquet").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("me/gated", "is gated: accept its terms at"), ("me/nothing", "there is no such data set on the hub"),
        ("a/b/c", "a data set's name such as OWNER/NAME is expected"),
    ],
)  # fmt: skip
def test_the_hubs_refusals_are_said_in_words(tmp_path, hub_url, name, words):
    done = concord_fetch(tmp_path, hub_url, name)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
