"""Rows of pairs in files of a user's, and what reading them gives: for the tests of formats."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from concord.client.intake import intake
from concord.kit.errors import InvalidInput


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


def ids(given: intake.Input) -> list[str]:
    return [row.pair.pair_id for row in given.rows]


def refusal(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        intake.read(path)
    return str(caught.value)
