"""One contract for every store: position and rows move together, from where the writer read, or not at all."""

import threading

import pytest

from services.kit.errors import Fenced, Unavailable
from services.kit.memory_store import MemoryStore
from services.kit.sql import open_engine
from services.kit.store import Position, RunChange, SqlStore

HERE = Position(5, "log", 1)
THERE = Position(9, "log", 1)


@pytest.fixture(params=["sqlite", "postgres"])
def open_sql(request, tmp_path):
    """A function that opens the same database each time it is called within a test, as another process would."""
    url = f"sqlite:///{tmp_path}/state.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = []

    def open_again() -> SqlStore:
        opened.append(SqlStore(open_engine(url)))
        return opened[-1]

    yield open_again
    for store in opened:
        store.engine.dispose()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def open_store(request, tmp_path):
    """A function that opens the same store each time it is called within a test."""
    if request.param == "memory":
        shared = MemoryStore()
        return lambda: shared
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        return lambda: SqlStore(open_engine(url))
    return lambda: SqlStore(open_engine(f"sqlite:///{tmp_path}/state.db"))


@pytest.fixture
def store(open_store):
    return open_store()


def change(run_id: str = "run", active: bool = True, **rows: bytes | None) -> RunChange:
    return RunChange(run_id, active, rows)


def test_an_empty_store_is_at_the_logs_start(store):
    assert store.position("runs", 3) == Position()
    assert store.rows("runs", "run") == {}
    assert store.runs("runs") == []


def test_position_and_rows_move_together_and_are_there_when_the_store_is_opened_again(open_store):
    open_store().save("runs", 3, Position(), HERE, [change(state=b"s", shards=b"x")], None)
    again = open_store()
    assert again.position("runs", 3) == HERE
    assert again.rows("runs", "run") == {"state": b"s", "shards": b"x"}
    assert again.rows("runs", "run", ["state", "missing"]) == {"state": b"s"}


def test_rows_are_replaced_kept_and_deleted_by_name(store):
    store.save("runs", 3, Position(), HERE, [change(a=b"1", b=b"2", c=b"3")], None)
    store.save("runs", 3, HERE, THERE, [change(a=b"new", b=None, never=None)], None)
    assert store.rows("runs", "run") == {"a": b"new", "c": b"3"}


@pytest.mark.parametrize("read", [Position(), Position(4, "log", 1), Position(5, "other", 1), Position(5, "log", 2)])
def test_a_writer_that_was_overtaken_is_fenced_and_changes_nothing(store, read):
    store.save("runs", 3, Position(), HERE, [change(a=b"1")], None)
    ran = []
    with pytest.raises(Fenced, match="partition 3"):
        store.save("runs", 3, read, THERE, [change(a=b"2")], ran.append)
    assert (store.position("runs", 3), store.rows("runs", "run"), ran) == (HERE, {"a": b"1"}, [])


def test_a_projection_that_fails_takes_everything_back(store):
    def fails(connection) -> None:
        raise RuntimeError("no such table")

    store.save("runs", 3, Position(), HERE, [change(a=b"1")], None)
    with pytest.raises(RuntimeError):
        store.save("runs", 3, HERE, THERE, [change(a=b"2")], fails)
    assert (store.position("runs", 3), store.rows("runs", "run")) == (HERE, {"a": b"1"})


def test_services_and_partitions_do_not_disturb_each_other(store):
    store.save("runs", 3, Position(), HERE, [change(a=b"r")], None)
    store.save("tasks", 3, Position(), THERE, [change(a=b"t")], None)
    store.save("runs", 4, Position(), THERE, [change("other", b=b"x")], None)
    assert store.position("runs", 3) == HERE
    assert store.rows("runs", "run") == {"a": b"r"}
    assert store.rows("tasks", "run") == {"a": b"t"}


def test_runs_are_listed_oldest_first_by_partition_and_by_whether_they_are_active(store):
    store.save("runs", 3, Position(), HERE, [change("b"), change("a"), change("c")], None)
    store.save("runs", 4, Position(), HERE, [change("d")], None)
    store.save("runs", 3, HERE, THERE, [change("a", active=False)], None)
    assert store.runs("runs") == ["b", "a", "c", "d"]
    assert store.runs("runs", 3) == ["b", "a", "c"]
    assert store.runs("runs", 3, active_only=True) == ["b", "c"]
    assert store.runs("runs", active_only=True) == ["b", "c", "d"]


def test_a_discarded_partition_is_forgotten_and_only_that(store):
    store.save("runs", 3, Position(), HERE, [change(a=b"1")], None)
    store.save("runs", 4, Position(), HERE, [change("other", a=b"1")], None)
    store.save("tasks", 3, Position(), HERE, [change(a=b"1")], None)
    ran = []
    store.discard("runs", 3, ran.append)
    assert (store.position("runs", 3), store.rows("runs", "run"), store.runs("runs")) == (Position(), {}, ["other"])
    assert store.rows("runs", "other") == store.rows("tasks", "run") == {"a": b"1"}
    assert len(ran) == 1
    store.save("runs", 3, Position(), HERE, [change(a=b"2")], None)
    assert store.rows("runs", "run") == {"a": b"2"}


def test_what_is_folded_has_passed(store):
    assert not store.passed("runs", 3, 4, 0.0)
    store.save("runs", 3, Position(), HERE, [], None)
    assert store.passed("runs", 3, 4, 0.0)
    assert not store.passed("runs", 3, 5, 0.0)


def test_of_writers_that_race_from_one_position_exactly_one_wins(open_store):
    won: list[int] = []

    def write(number: int) -> None:
        try:
            open_store().save("runs", 3, Position(), Position(number + 1, "log", 1), [change(a=b"%d" % number)], None)
            won.append(number)
        except (Fenced, Unavailable):
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = won
    assert open_store().position("runs", 3).next_offset == winner + 1
    assert open_store().rows("runs", "run") == {"a": b"%d" % winner}


def test_a_database_that_is_away_is_unavailable(tmp_path):
    with pytest.raises(Unavailable, match="does not answer"):
        SqlStore(open_engine(f"sqlite:///{tmp_path}/no/such/folder/state.db"))
