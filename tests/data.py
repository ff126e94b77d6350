"""The real data that some tests need; it does not travel with the code."""

import os
from pathlib import Path

import pytest

_FOLDER = Path(os.environ.get("CONCORD_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data").resolve()


def data_path(name: str) -> Path:
    """A file of the data pack. Where it is absent the test is skipped with the reason; with CI set, it fails."""
    path = _FOLDER / name
    if not path.exists():
        reason = f"{path} is not there; CONCORD_DATA must name the folder of the data pack"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path
