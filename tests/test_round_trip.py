"""Every form that goes out is read back by our own importer: the same pairs, the same labels, and whose they are."""

import json

import numpy as np
import pytest

from concord.client.intake import intake, parquet
from concord.client.intake.formats.table import format_of
from concord.client.intake.rows import rows
from concord.client.results.export import FORMATS, Exported, exported, uniform
from concord.preference.pairs import Row
from concord.triage import dataset
from concord.v1 import pairs_pb2 as pb
from tests.row_files import chat, jsonl

CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
TRAJECTORY = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "7 C", "tool_call_id": "c"},
    {"role": "assistant", "content": "7 degrees."},
]
TALK = [*chat("system", "Be brief."), *chat("user", "Hi"), *chat("assistant", "Yes?"), *chat("user", "A bird?")]
SIDES = {"chosen": "Finch", "rejected": "Cod"}
INPUTS = {
    "a text": {"prompt": "A bird?", **SIDES},
    "a text with its own line break": {"prompt": "A bird?\n", **SIDES},
    "answers that begin with a blank": {"prompt": "A bird:", "chosen": " Finch", "rejected": " Cod"},
    "a transcript as a text": {"prompt": "User: x\n\nAssistant: y\n\nUser: z\n\nAssistant:", **SIDES},
    "a conversation": {"prompt": TALK, **SIDES},
    "text parts": {"prompt": [{"role": "user", "content": [{"type": "text", "text": "A bird?"}]}], **SIDES},
    "reasoning": {
        "prompt": "A bird?",
        "chosen": [{"role": "assistant", "content": "Finch", "reasoning_content": "Hm."}],
        "rejected": chat("assistant", "Cod"),
    },
    "tool calls": {
        "prompt": TALK,
        "chosen": TRAJECTORY,
        "rejected": chat("assistant", "I do not know."),
        "tools": [{"type": "function", "function": {"name": "weather"}}],
    },
    "calls in the prompt": {"prompt": TALK[1:2] + TRAJECTORY[:2], **SIDES, "tools": json.dumps([{"name": "weather"}])},
    "turns of an arena": {
        "conversation_a": TALK + chat("assistant", "Finch") + chat("user", "No.") + chat("assistant", "Cod"),
        "conversation_b": TALK + chat("assistant", "Ox") + chat("user", "No.") + chat("assistant", "Ape"),
        "winner": "model_a",
    },
}


def row_of(given: dict) -> Row:
    (row,) = rows(format_of(given).read(given), 1)
    return row


def dataset_row(row: Row, index: int, first: bool, by_people: bool) -> dict:
    """The row of dataset.jsonl that a run makes of it."""
    none = np.array([False])
    said = dataset.Beliefs(
        np.array([0.9 if first else 0.1]), np.array([by_people]), np.array([1]), np.array([-1.0]), none, none, {}
    )
    (made,) = dataset.rows([row.pair], said, 2.0)
    return json.loads(dataset.line(made)) | {"index": index, "pair_id": f"p{index}"}


def texts(pair: pb.Pair) -> set[tuple[str, str]]:
    return {(answer.text, answer.original) for answer in (pair.first, pair.second)}


@pytest.mark.parametrize("first", [True, False], ids=["the first", "the second"])
@pytest.mark.parametrize("format_", FORMATS)
def test_what_is_exported_is_read_back_as_the_same_pairs_with_the_same_labels(tmp_path, format_, first):
    given = [row_of(held) for held in INPUTS.values()]
    made = [dataset_row(row, at, first, by_people=at % 2 == 0) for at, row in enumerate(given)]
    written = list(uniform(lambda: iter(made), format_, Exported()))
    assert len({tuple(sorted(row)) for row in written}) == 1, "every row has the same columns"
    path = tmp_path / ("rows.parquet" if format_ in ("parquet", "hf") else "rows.jsonl")
    if path.suffix == ".parquet":
        parquet.write_parquet(path, written)
    else:
        jsonl(path, written)
    back = intake.read(path)
    assert len(back.rows) == len(given)
    for at, (name, row, read) in enumerate(zip(INPUTS, given, back.rows, strict=True)):
        assert read.pair.pair_id == f"p{at}"
        assert list(read.pair.prompt) == list(row.pair.prompt), name
        assert texts(read.pair) == texts(row.pair), name
        label = read.verdict_of("chosen").choice
        better = read.pair.first.text if label == pb.CHOICE_FIRST else read.pair.second.text
        assert better == (row.pair.first.text if first else row.pair.second.text), name
        assert (read.truth is not None) == (at % 2 == 0), "only people's labels are truth"
    assert not any("not used" in note and "original" in note for note in back.notes)


@pytest.mark.parametrize("format_", FORMATS)
def test_what_the_order_of_the_answers_decided_is_not_exported_and_is_counted(format_):
    row = dataset_row(row_of(INPUTS["a text"]), 0, True, by_people=False)
    account = Exported()
    assert list(exported([row | {"weight": 0.0}], format_, account)) == [] and account.coin_flips == 1
    assert "a coin flip, are left out: 1" in account.notes[0]
