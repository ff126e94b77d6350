"""Files made to break a reader: each ends in rows or in a refusal, within its bounds, and bad rows can be set aside."""

import datetime
import gzip
import json
import os
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from concord.client.intake import intake, json_text, problems, text_lines
from concord.kit.errors import InvalidInput
from concord.preference.pairs import BadRecord
from tests.row_files import good, ids, jsonl, refusal


@pytest.mark.parametrize(
    "row",
    [
        {"suggestions": {"best": {"value": "response_1", "agent": ["gpt", "v1"]}}},
        {"suggestions": {"best": {"value": "response_1", "agent": 7}}},
        {"suggestions": {"best": {"value": "response_1", "agent": "\ud800"}}},
        {"suggestions": {"best": {"value": ["response_1", {"rank": []}], "agent": {}}}},
        {"responses": {"best": [{"value": "response_1", "status": ["x"]}]}},
        {"responses": {"best": [{"value": {"x": 1}, "user_id": {"a": [1]}}]}},
        {"responses": [{"values": {"best": {"value": []}}, "status": 5}]},
        {"responses": [7], "suggestions": "x"},
    ],
)
def test_an_annotation_of_any_type_is_read_or_its_row_set_aside(tmp_path, row):
    record = {"id": "r", "fields": {"prompt": "p", "response_1": "a", "response_2": "b"}, **row}
    fine = {"id": "s", "fields": record["fields"] | {"prompt": "q"}, "responses": {}}
    given = intake.read(jsonl(tmp_path / "rows.jsonl", [fine, record]), tmp_path / "aside.jsonl")
    assert "s" in ids(given) and len(given.rows) + sum(given.set_aside.values()) == 2


@pytest.mark.parametrize("status", [5, "submitted", {"a": 1}, [], ["submitted", "x"], [["submitted"]]])
def test_states_of_any_type_beside_flat_responses(tmp_path, status):
    row = {
        "prompt": "p",
        "response_1": "a",
        "response_2": "b",
        "best.responses": ["response_1"],
        "best.responses.status": status,
    }
    fine = {**row, "prompt": "q", "best.responses.status": ["submitted"]}
    given = intake.read(jsonl(tmp_path / "rows.jsonl", [fine, row]), tmp_path / "aside.jsonl")
    assert len(given.rows) + sum(given.set_aside.values()) == 2


@pytest.mark.parametrize(
    "key", ["id", "source", "domain", "reference", "prompt", "chosen", "system", "model_a", "\ud800"]
)
def test_half_a_surrogate_pair_anywhere_is_a_row_refused_or_a_column_not_used(tmp_path, key):
    path = jsonl(tmp_path / "rows.jsonl", [good(1), good(2, **{key: "x\ud800"})])
    given = intake.read(path, tmp_path / "aside.jsonl")
    assert len(given.rows) + sum(given.set_aside.values()) == 2
    "\n".join(given.notes).encode()


def arrow_texts(*raw: bytes) -> pyarrow.Array:
    """Texts that nobody has checked."""
    return pyarrow.Array.from_buffers(
        pyarrow.string(),
        len(raw),
        pyarrow.array(list(raw), pyarrow.binary()).buffers(),
    )


FAR = pyarrow.array([10**18, 1], pyarrow.int64())
ODD_COLUMNS = {
    "dates far away": pyarrow.array([10**8, 1], pyarrow.int32()).cast(pyarrow.date32()),
    "milliseconds far away": FAR.cast(pyarrow.timestamp("ms")),
    "nanoseconds": FAR.cast(pyarrow.timestamp("ns")),
    "durations": FAR.cast(pyarrow.duration("ns")),
    "times": pyarrow.array([1, 2], pyarrow.int64()).cast(pyarrow.time64("ns")),
    "bytes": pyarrow.array([b"\xff", b""], pyarrow.binary()),
    "broken UTF-8": arrow_texts(b"\xff\xfe", b"fine"),
    "decimals": pyarrow.array([1, 2], pyarrow.decimal128(20, 3)),
    "dates inside": pyarrow.StructArray.from_arrays(
        [pyarrow.array([10**14, 1]).cast(pyarrow.timestamp("s")), pyarrow.array(["a", "b"])], ["at", "by"]
    ),
}


@pytest.mark.parametrize("name", ODD_COLUMNS)
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_column_that_nobody_needs_harms_nobody(tmp_path, name, kind):
    columns = {key: pyarrow.array([good(1)[key], good(2)[key]]) for key in good(1)}
    path = columnar(tmp_path / f"rows.{kind}", columns | {"odd": ODD_COLUMNS[name]})
    given = intake.read(path)
    assert ids(given) == ["p1", "p2"] and given.notes == ("not used: odd",)


@pytest.mark.parametrize("name", [name for name in ODD_COLUMNS if name != "dates inside"])
def test_a_column_that_is_needed_and_cannot_be_read_refuses_its_rows(tmp_path, name):
    columns = {key: pyarrow.array([good(1)[key], good(2)[key]]) for key in good(1)}
    path = columnar(tmp_path / "rows.arrow", columns | {"chosen": ODD_COLUMNS[name]})
    assert "`chosen` is UnreadableValue, not a text" in refusal(path)


def columnar(path: Path, columns: dict[str, pyarrow.Array]) -> Path:
    table = pyarrow.table(columns)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
        return path
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return path


def test_a_choice_of_thousands_of_digits_refuses_its_row(tmp_path):
    row = {"id": "x", "prompt": "p", "responses": ["a", "b"], "human_majority": "1" * 5_000}
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row, row | {"id": "y", "human_majority": "1"}]), path)
    given = intake.read(path, tmp_path / "aside.jsonl")
    assert ids(given) == ["y"] and given.set_aside == {"broken label": 1}


@pytest.mark.parametrize("where", ["line", "list", "document"])
def test_a_key_that_stands_twice_refuses_its_row(tmp_path, where):
    twice = '{"id": "x", "prompt": "p", "chosen": "a", "rejected": "b", "chosen": "c"}'
    inside = '{"id": "y", "prompt": "p", "responses": ["a", "b"], "ai_labels": {"J": {"choice": 0, "choice": 1}}}'
    path = tmp_path / "rows.json"
    lines = {"line": f"{twice}\n{inside}", "list": f"[{twice}, {inside}]", "document": f'{{"data": [{twice}]}}'}
    path.write_text(lines[where])
    assert "the key 'choice" in refusal(path) or "the key 'chosen' stands twice in one object" in refusal(path)
    if where != "document":
        path.write_text(f"{json.dumps(good(1))}\n{twice}" if where == "line" else f"[{json.dumps(good(1))}, {twice}]")
        assert intake.read(path, tmp_path / "aside.jsonl").set_aside == {"duplicate key": 1}


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "no regular file" in refusal(tmp_path / "pipe.jsonl")
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "train.jsonl")
    assert "no regular file" in refusal(folder)
    assert "no regular file" in refusal(Path("/dev/zero"))


def test_an_archive_that_unpacks_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "_UNPACKED_AT_LEAST", 1_000_000)
    for name, content in {
        "lines": b"\n" * 2_000_000,
        "list": b"[" + b" " * 4_000_000,
        "table": b"a,b\n" + b"\n" * 2_000_000,
    }.items():
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress(content))
        assert "unpacks to over 300 times its size" in refusal(path)


def test_a_file_of_nothing_but_bad_rows_is_given_up_and_none_of_them_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(problems, "MOST_BEFORE_STOPPING", 1_000)
    path = tmp_path / "bad.jsonl"
    path.write_bytes((b"x" * 20_000 + b"\n") * 1_200)
    tracemalloc.start()
    try:
        for aside in (None, tmp_path / "aside.jsonl"):
            with pytest.raises(InvalidInput, match="the rest of it was not looked at") as refused:
                intake.read(path, aside)
            assert "1,000 of 1,000 rows" in str(refused.value)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert not (tmp_path / "aside.jsonl").exists()


@pytest.mark.parametrize("length", [100_000, 5_000_000])
def test_a_name_of_any_length_is_read_past_and_said_shortly(tmp_path, length):
    long = "response_" * (length // 9) + "1"
    flat = {"prompt": "p", long: "a", "best.responses": []}
    row = {
        "id": "r",
        "fields": {"prompt": "p", long: "a", "response_1": "a", "response_2": "b"},
        "responses": {long: [{"value": long}]},
    }
    assert len(refusal(jsonl(tmp_path / "flat.jsonl", [flat]))) < 2_000
    given = intake.read(jsonl(tmp_path / "rows.jsonl", [row]))
    assert ids(given) == ["r"] and all(len(note) < 1_000 for note in given.notes)
    assert len(refusal(jsonl(tmp_path / "unknown.jsonl", [{long: "x"}]))) < 2_000


@pytest.mark.parametrize("key", ["domain", "source", "model", "judge"])
def test_a_name_that_no_service_takes_refuses_its_row(tmp_path, key):
    long = "x" * 30_000
    row = {"id": "r", "prompt": "q", "responses": [{"text": "a", "model": long if key == "model" else "m"}, "b"]}
    row |= (
        {key: long} if key in ("domain", "source") else {"ai_labels": {long if key == "judge" else "J": {"choice": 0}}}
    )
    fine = {"id": "s", "prompt": "q", "responses": ["a", "c"]}
    given = intake.read(jsonl(tmp_path / "rows.jsonl", [fine, row]), tmp_path / "aside.jsonl")
    assert ids(given) == ["s"] and sum(given.set_aside.values()) == 1


def test_a_list_is_read_piece_by_piece_however_it_is_cut():
    text = ' [ {"a": [1, "ü"]}\n, {"b": {}}, 12, "x", {"c": 1, "c": 2} , {"d": 3} ] \n'
    for size in range(1, 30):
        rest = iter([text[at : at + size] for at in range(0, len(text), size)])
        made = list(json_text.elements(lambda _, rest=rest: next(rest, "")))
        assert made[:4] == [{"a": [1, "ü"]}, {"b": {}}, 12, "x"] and made[5] == {"d": 3}
        assert isinstance(made[4], BadRecord)
    for broken in ("[", "[1", "[1,", "[1 2]", "[1] 2", "[{]", '["a', "7"):
        rest = iter([broken])
        with pytest.raises(ValueError):
            list(json_text.elements(lambda _, rest=rest: next(rest, "")))


def test_a_large_list_is_not_held_as_a_whole(tmp_path):
    path = tmp_path / "rows.json"
    with path.open("w") as file:
        file.write("[" + ",\n".join(json.dumps(good(at, margin="x" * 20_000)) for at in range(800)) + "]")
    tracemalloc.start()
    try:
        assert len(intake.read(path).rows) == 800
        assert tracemalloc.get_traced_memory()[1] < 10_000_000 < path.stat().st_size
    finally:
        tracemalloc.stop()


def test_what_json_has_no_words_for_is_no_message(tmp_path):
    row = {
        "prompt": "q",
        "chosen": [
            {"role": "assistant", "content": "a", "tool_calls": [{"name": "f", "arguments": {"x": datetime.date.max}}]}
        ],
    }
    from concord.client.intake.formats.table import format_of
    from concord.client.intake.rows import rows

    row |= {"rejected": [{"role": "assistant", "content": "b"}]}
    with pytest.raises(BadRecord, match="what JSON cannot say"):
        rows(format_of(row).read(row), 1)
