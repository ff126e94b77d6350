"""The real data that some tests need; it does not travel with the code."""

import os
from pathlib import Path

import pytest

_FOLDER = Path(os.environ.get("CONCORD_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data").resolve()


def data_path(name: str) -> Path:
    """A file of the data pack. Where it is absent the test is skipped with the reason."""
    path = _FOLDER / name
    if not path.exists():
        pytest.skip(f"{_FOLDER} has no {name}: CONCORD_DATA must name the folder of the data pack")
    return path


def case_path(name: str) -> Path:
    """An input as users have them, of the pack's folder of cases; where it is absent the test is skipped with the reason."""
    path = _FOLDER.parent / "cases" / name
    if not path.exists():
        pytest.skip(f"{path.parent} has no {path.name}: it lies beside the data pack")
    return path
