"""Data in tables and folders: real Parquet and Arrow files, alone and many together."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest

from concord.client.intake import hub_layout, intake
from concord.client.intake.formats.canonical import CONVERSATION, PREFERENCE
from concord.client.run import people
from concord.kit.errors import InvalidInput
from concord.v1 import pairs_pb2 as pb
from tests.row_files import chat, good, ids, jsonl, parquet, refusal

SECOND, TIE = pb.CHOICE_SECOND, pb.CHOICE_TIE


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


def test_parquet_gives_the_same_pairs_as_the_same_rows_in_json_lines(tmp_path):
    rows = [good(at) for at in range(1200)]
    packed = intake.read(parquet(tmp_path / "pairs.parquet", rows))
    plain = intake.read(jsonl(tmp_path / "pairs.jsonl", rows))
    assert packed.form == PREFERENCE and packed.rows == plain.rows


def test_parquet_is_told_by_its_content_and_chats_and_labels_are_read(tmp_path):
    turns = [good(1, prompt=chat("user", "q"), chosen=chat("assistant", "a"), rejected=chat("assistant", "b"))]
    assert intake.read(parquet(tmp_path / "named.jsonl", turns)).form == CONVERSATION
    labelled = [
        {
            "prompt": "q1",
            "responses": ["a", "b"],
            "human_majority": "1",
            "ai_labels": {"J": {"choice": 0.0}, "K": None},
        },
        {
            "prompt": "q2",
            "responses": ["a", "b"],
            "human_majority": "tie",
            "ai_labels": {"J": None, "K": {"choice": 1.0}},
        },
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
    code = f"import sys; sys.modules['pyarrow'] = None\nfrom concord.client.intake import intake\nintake.read({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "InvalidInput" in done.stderr and "need the extra `data`: pip install" in done.stderr


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
        hub_layout.choose(["train.jsonl", "train.parquet"], "here")
    with pytest.raises(InvalidInput, match=r"which split\? There are: test, validation"):
        hub_layout.choose(["dev.jsonl", "test.jsonl"], "here")
    with pytest.raises(InvalidInput, match=r"no split extra; there are: train"):
        hub_layout.choose(["train.jsonl"], "here", "extra")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00001.parquet", "train"),
        ("data/test_prefs-00000-of-00002.parquet", "test_prefs"),
        ("default/validation/0000.parquet", "validation"),
        ("my-data.dev.jsonl", "validation"),
        ("pairs.jsonl", ""),
        ("training-pairs.jsonl.gz", "train"),
        ("attest.jsonl", ""),
        ("Eval 2.jsonl", "test"),
    ],
)
def test_a_files_name_tells_its_split_as_on_the_hub(name, split):
    assert hub_layout.split_of(name) == split
