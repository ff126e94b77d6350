"""Fixtures that several files share: one for each seam, giving every implementation in turn."""
import pytest

from services.kit.sqlite_log import SqliteLog


@pytest.fixture(params=["sqlite"])
def open_log(request, tmp_path):
    """A function that opens the same log each time it is called within a test."""
    return lambda: SqliteLog(tmp_path / "log.db")
