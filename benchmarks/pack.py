"""The data pack that CONCORD_DATA names, default `../shared/data`: read from there, never copied."""

import gzip
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def path_of(name: str) -> Path:
    """One file of the pack, such as `hh_train`; ends the program in words where it is missing."""
    path = Path(os.environ.get("CONCORD_DATA", ROOT.parent / "shared" / "data")) / f"{name}.jsonl.gz"
    if not path.exists():
        sys.exit(f"{path} is missing: set CONCORD_DATA to the folder that holds {path.name}")
    return path


def rows(name: str) -> Iterator[dict]:
    """The records of one file."""
    with gzip.open(path_of(name), "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)
