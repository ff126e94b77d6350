"""A disk that is full, and one that may only be read: the file is named, nothing is lost, and all goes on once there is room."""

import errno
import os
import resource
from contextlib import contextmanager

import pytest

from concord.kit.blobs import disk
from concord.kit.errors import Unavailable
from concord.kit.log import Entry
from concord.kit.log.sqlite import SqliteLog
from concord.kit.log.topics import FACTS
from concord.kit.store import Position, RunChange, SqlStore
from concord.kit.store.sql import open_engine


def entry(size: int) -> Entry:
    return Entry(FACTS, 0, b"run", b"x" * size)


@pytest.mark.parametrize(
    ("shut", "opened", "says"),
    [
        ("max_page_count = 1", "max_page_count = 1000000", "full"),
        ("query_only = ON", "query_only = OFF", "readonly"),
    ],
)
def test_a_log_that_cannot_be_written_says_so_and_loses_nothing(tmp_path, shut, opened, says):
    log = SqliteLog(tmp_path / "log.sqlite")
    log.append([entry(100)])
    log.connection().execute(f"PRAGMA {shut}")
    with pytest.raises(Unavailable, match=rf"log\.sqlite.*{says}"):
        log.append([entry(100_000)])
    assert len(log.read(FACTS, 0, 0, 10)) == 1 == log.end(FACTS, 0)
    log.connection().execute(f"PRAGMA {opened}")
    assert log.append([entry(100_000)]) == [1]
    log.close()


@pytest.mark.parametrize("shut", ["max_page_count = 1", "query_only = ON"])
def test_a_store_that_cannot_be_written_stays_at_the_position_it_had(tmp_path, shut):
    store = SqlStore(open_engine(f"sqlite:///{tmp_path / 'state.sqlite'}"))
    first = Position(1, "log", 1)
    store.save("runs", 0, Position(), first, [], None)
    change = RunChange("run", True, {"state": b"x" * 100_000})
    with store.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA {shut}")
    with pytest.raises(Unavailable):
        store.save("runs", 0, first, Position(2, "log", 1), [change], None)
    assert store.position("runs", 0) == first and store.rows("runs", "run") == {}
    store.close()
    store.save("runs", 0, first, Position(2, "log", 1), [change], None)
    assert store.rows("runs", "run") == {"state": b"x" * 100_000}
    store.close()


@contextmanager
def no_file_grows_beyond(size: int):
    """As under a quota: the system refuses what is written further, by another error than that of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_log_whose_quota_is_used_up_says_so_and_loses_nothing(tmp_path):
    log = SqliteLog(tmp_path / "log.sqlite")
    log.append([entry(100)])
    with no_file_grows_beyond(300_000), pytest.raises(Unavailable, match=r"log\.sqlite.*quota is used up.*Nothing was"):
        for _ in range(10):
            log.append([entry(100_000)])
    there = log.end(FACTS, 0)
    assert [record.offset for record in log.read(FACTS, 0, 0, 100)] == list(range(there)) and there < 10
    assert log.append([entry(100_000)]) == [there]
    log.close()


def test_a_store_whose_quota_is_used_up_says_so_and_stays_at_the_position_it_had(tmp_path):
    store = SqlStore(open_engine(f"sqlite:///{tmp_path / 'state.sqlite'}"))
    first, second = Position(1, "log", 1), Position(2, "log", 1)
    store.save("runs", 0, Position(), first, [], None)
    change = RunChange("run", True, {"state": b"x" * 3_000_000})
    with no_file_grows_beyond(1_000_000), pytest.raises(Unavailable, match=r"state\.sqlite.*quota is used up"):
        store.save("runs", 0, first, second, [change], None)
    assert store.position("runs", 0) == first and store.rows("runs", "run") == {}
    store.save("runs", 0, first, second, [change], None)
    assert store.rows("runs", "run") == {"state": b"x" * 3_000_000}
    store.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_blobs_on_a_disk_that_takes_nothing_are_an_outage_that_names_the_file(tmp_path, number):
    says = rf"the file .*blob cannot be read or written: {os.strerror(number)}"
    with pytest.raises(Unavailable, match=says), disk.translated(tmp_path / "blob"):
        raise OSError(number, os.strerror(number))
