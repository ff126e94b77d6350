"""A dataset is written and read part by part, and means what its rows mean."""

import json

import pytest

from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import Refused
from concord.preference import datasets
from concord.triage import dataset
from concord.v1.events_pb2 import DatasetManifest


def lines(count: int, size: int) -> list[bytes]:
    return [json.dumps({"index": at, "text": "x" * size}).encode() + b"\n" for at in range(count)]


@pytest.mark.parametrize(("count", "size"), [(0, 0), (1, 10), (100, 1_000), (7, datasets.PART_BYTES)])
def test_what_was_written_is_read_in_the_same_order_whatever_its_size(count, size):
    blobs, given = MemoryBlobs(), lines(count, size)
    uri = datasets.write(given, blobs.put)
    assert b"".join(datasets.parts(uri, blobs.get)) == b"".join(given)
    assert [row["index"] for row in datasets.rows(uri, blobs.get)] == list(range(count))
    assert datasets.write(iter(given), blobs.put) == uri


def test_parts_hold_whole_rows_and_hardly_more_bytes_than_they_should():
    blobs = MemoryBlobs()
    uri = datasets.write(lines(3_000, 1_000), blobs.put)
    parts = list(datasets.parts(uri, blobs.get))
    assert len(parts) == len(DatasetManifest.FromString(blobs.get(uri)).part_uris) == 3
    assert all(part.endswith(b"\n") and len(part) < datasets.PART_BYTES + 2_000 for part in parts)


def test_a_dataset_in_one_piece_is_refused_in_words():
    blobs = MemoryBlobs()
    with pytest.raises(Refused, match="in one piece by an earlier version; make it again"):
        datasets.parts(blobs.put(b"".join(lines(3, 10))), blobs.get)


def test_a_part_is_put_before_the_rows_behind_it_are_made():
    made, put = [], []

    def rows():
        for line in lines(8, datasets.PART_BYTES // 2):
            made.append(line)
            yield line

    def keep(content: bytes) -> str:
        put.append(len(made))
        return f"sha256:{len(put)}"

    datasets.write(rows(), keep)
    assert put == [2, 4, 6, 8, 8]


def test_what_is_counted_while_the_rows_go_by_is_what_all_of_them_together_say():
    said = [("judge", "first"), ("people", "second"), ("flipped", "first"), ("none", "tie"), ("people", "tie")]
    rows = [
        {"index": at, "pair_sha256": f"{at:064}", "label": label, "source": source, "p_chosen": 0.5, "weight": 1.0}
        for at, (source, label) in enumerate(said)
    ]
    account = dataset.Account()
    assert list(account.lines(rows)) == list(map(dataset.line, rows))
    assert (account.rows, account.sources["people"], account.labels["tie"]) == (5, 2, 2)
    shorter = dataset.Account()
    list(shorter.lines(rows[:-1]))
    assert account.sha256 == "f50c7f3b3dd8e978e16ba1b6d83949cd6bae60ce63e6d526eb2372229d4ec842" != shorter.sha256
