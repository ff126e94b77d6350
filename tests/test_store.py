"""One contract for every store: position and rows move together, from where the writer read, or not at all."""

import socket
import threading
from contextlib import ExitStack

import pytest

from concord.kit.errors import Fenced, InvalidInput, Unavailable
from concord.kit.store import MOST_GONE, Position, RunChange, SqlStore, migrations
from concord.kit.store.memory import MemoryStore
from concord.kit.store.sql import CONNECTIONS, open_engine
from deploy.local.postgres import GUARDED, PASSWORD

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


def test_rows_of_many_runs_are_read_at_once(store):
    runs = [f"run-{number}" for number in range(MOST_GONE + 5)]
    store.save("runs", 3, Position(), HERE, [change(run, a=run.encode(), b=b"2") for run in runs], None)
    assert store.rows_of("runs", [*runs, "unknown"], ["a", "c"]) == {run: {"a": run.encode()} for run in runs}
    assert store.rows_of("tasks", runs, ["a"]) == store.rows_of("runs", [], ["a"]) == {}


def test_a_run_that_is_forgotten_is_gone_from_every_service_and_the_others_stay(open_sql):
    store = open_sql()
    for service in ("runs", "tasks"):
        store.save(service, 3, Position(), HERE, [change("gone", a=b"1"), change("kept", a=b"2")], None)
    store.forget("gone")
    for service in ("runs", "tasks"):
        assert store.runs(service) == ["kept"] and store.rows(service, "gone") == {}
        assert store.position(service, 3) == HERE


def test_rows_are_replaced_kept_and_deleted_by_name(store):
    store.save("runs", 3, Position(), HERE, [change(a=b"1", b=b"2", c=b"3")], None)
    store.save("runs", 3, HERE, THERE, [change(a=b"new", b=None, never=None)], None)
    assert store.rows("runs", "run") == {"a": b"new", "c": b"3"}


def test_more_rows_than_a_statement_takes_are_written_and_deleted_of_each_run_its_own(store):
    many = {f"unit/{number:08}": b"%d" % number for number in range(2 * MOST_GONE + 1)}
    store.save("runs", 3, Position(), HERE, [change("one", **many), change("other", **many)], None)
    gone = {name: None for name in list(many)[1:]}
    store.save("runs", 3, HERE, THERE, [change("one", **gone), change("other", last=b"row")], None)
    assert store.rows("runs", "one") == {"unit/00000000": b"0"}
    assert store.rows("runs", "other") == {**many, "last": b"row"}


@pytest.mark.parametrize("content", [b"", bytes(range(256)), b'\\x00{,}"NULL"'])
def test_a_row_holds_any_bytes_under_any_name(store, content):
    rows = {"plain": content, 'a "name", {with} \\ NULL': content}
    store.save("runs", 3, Position(), HERE, [RunChange("run", True, rows)], None)
    assert store.rows("runs", "run") == rows


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


def started(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


class Held:
    """A projection that stands still in the middle of its transaction, as a process that was stopped does."""

    def __init__(self) -> None:
        self.begun, self._go = threading.Event(), threading.Event()

    def __call__(self, connection) -> None:
        self.begun.set()
        assert self._go.wait(60)

    def wake(self) -> None:
        self._go.set()


def outcome(store: SqlStore, to: Position, value: bytes, also=None) -> str:
    try:
        store.save("runs", 3, HERE, to, [change(a=value)], also)
        return "saved"
    except (Fenced, Unavailable) as error:
        return type(error).__name__


def test_whoever_comes_second_waits_for_an_open_transaction_and_is_fenced(open_sql):
    first, second, held, said = open_sql(), open_sql(), Held(), {}
    first.save("runs", 3, Position(), HERE, [change(a=b"1")], None)
    one = started(lambda: said.update(first=outcome(first, THERE, b"first", held)))
    assert held.begun.wait(10)
    other = started(lambda: said.update(second=outcome(second, Position(7, "log", 1), b"second")))
    other.join(0.3)
    assert other.is_alive(), "it waits: the first may still be taken back"
    held.wake()
    for thread in (one, other):
        thread.join(30)
    assert said == {"first": "saved", "second": "Fenced"}
    assert (second.position("runs", 3), second.rows("runs", "run")) == (THERE, {"a": b"first"})


def test_a_zombie_with_an_open_transaction_holds_nobody_up_and_writes_nothing_when_it_wakes(postgres_url):
    stopped = SqlStore(open_engine(f"{postgres_url}?options=-c%20idle_in_transaction_session_timeout%3D2000"))
    successor, held, said = SqlStore(open_engine(postgres_url)), Held(), {}
    successor.save("runs", 3, Position(), HERE, [change(a=b"1")], None)
    zombie = started(lambda: said.update(zombie=outcome(stopped, Position(7, "log", 1), b"zombie", held)))
    assert held.begun.wait(10)
    assert outcome(successor, THERE, b"successor") == "saved", "the server took the zombie's locks from it"
    held.wake()
    zombie.join(30)
    assert said == {"zombie": "Unavailable"}
    assert (successor.position("runs", 3), successor.rows("runs", "run")) == (THERE, {"a": b"successor"})
    assert outcome(stopped, Position(8, "log", 1), b"again") == "Fenced", "and it hears of it at its next try"


def test_a_database_that_is_away_is_unavailable(tmp_path):
    with pytest.raises(Unavailable, match="does not answer"):
        SqlStore(open_engine(f"sqlite:///{tmp_path}/no/such/folder/state.db"))


def test_postgresql_that_dies_in_the_middle_of_a_save_has_saved_nothing_and_serves_again_when_it_is_back(
    postgres, postgres_url
):
    store = SqlStore(open_engine(postgres_url))
    store.save("runs", 3, Position(), HERE, [change(a=b"1")], None)
    with pytest.raises(Unavailable, match="does not answer"):
        store.save("runs", 3, HERE, THERE, [change(a=b"2")], lambda connection: postgres.kill())
    with pytest.raises(Unavailable, match="does not answer"):
        store.position("runs", 3)
    postgres.restart()
    assert (store.position("runs", 3), store.rows("runs", "run")) == (HERE, {"a": b"1"})
    assert outcome(store, THERE, b"2") == "saved"


def test_a_restart_between_two_calls_is_not_noticed(postgres, postgres_url):
    store = SqlStore(open_engine(postgres_url))
    store.save("runs", 3, Position(), HERE, [change(a=b"1")], None)
    postgres.stop()
    postgres.restart()
    assert outcome(store, THERE, b"2") == "saved"
    assert store.rows("runs", "run") == {"a": b"2"}


def test_a_statement_or_a_lock_that_takes_too_long_is_unavailable(postgres_url):
    store = SqlStore(open_engine(f"{postgres_url}?options=-c%20statement_timeout%3D200%20-c%20lock_timeout%3D100"))
    with pytest.raises(Unavailable, match="statement timeout"), store.begin() as connection:
        connection.exec_driver_sql("select pg_sleep(30)")
    store.save("runs", 3, Position(), HERE, [], None)
    with SqlStore(open_engine(postgres_url)).begin() as other:
        other.exec_driver_sql("select * from positions for update")
        assert outcome(store, THERE, b"") == "Unavailable"
    assert outcome(store, THERE, b"") == "saved"


def test_a_server_that_takes_the_connection_and_says_nothing_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://concord@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=2"
        with pytest.raises(Unavailable, match="does not answer"):
            SqlStore(open_engine(url))


def test_a_process_takes_no_more_connections_than_it_says(postgres_url):
    store = SqlStore(open_engine(postgres_url))
    with ExitStack() as held:
        for _ in range(CONNECTIONS):
            held.enter_context(store.begin())
        assert store.engine.pool.checkedout() == CONNECTIONS
        store.engine.pool._timeout = 0.1
        with pytest.raises(Unavailable, match="gave no connection in time"), store.begin():
            pass


def test_the_wrong_password_is_unavailable_and_no_password_is_ever_shown(postgres, postgres_url):
    database = postgres_url.rpartition("/")[2]
    with pytest.raises(Unavailable, match="password authentication failed") as wrong:
        SqlStore(open_engine(postgres.guarded_url(database, "not-the-password")))
    assert "not-the-password" not in str(wrong.value) and "guarded:***@" in str(wrong.value)
    with pytest.raises(Unavailable, match="does not support SSL"):
        SqlStore(open_engine(f"{postgres_url}?sslmode=require"))


def test_a_user_who_may_not_make_tables_is_told_who_must_and_works_once_they_are_there(postgres, postgres_url):
    database = postgres_url.rpartition("/")[2]
    with pytest.raises(InvalidInput, match="concord migrate") as refused:
        SqlStore(open_engine(postgres.guarded_url(database)))
    assert PASSWORD not in str(refused.value)
    migrations.bring_up(open_engine(postgres_url))
    postgres.execute(
        f"grant select, insert, update, delete on all tables in schema public to {GUARDED}",
        f"grant usage on all sequences in schema public to {GUARDED}",
        database=database,
    )
    store = SqlStore(open_engine(postgres.guarded_url(database)))
    store.save("runs", 3, Position(), HERE, [change(a=b"1")], None)
    assert store.rows("runs", "run") == {"a": b"1"}


def test_what_postgresql_cannot_hold_is_refused_in_words(postgres_url):
    store = SqlStore(open_engine(postgres_url))
    for run_id in ("x" * 37, "a\0b"):
        with pytest.raises(InvalidInput, match="cannot hold this"):
            store.save("runs", 3, Position(), HERE, [change(run_id)], None)
    assert store.position("runs", 3) == Position()


@pytest.mark.parametrize("url", ["postgresql://host", "postgresql://host:port/db", "postgresql://u:hunter2@host/"])
def test_an_address_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(InvalidInput, match="postgresql://USER:PASSWORD@HOST:PORT/DATABASE") as refused:
        open_engine(url)
    assert "hunter2" not in str(refused.value)


def test_an_option_that_is_none_is_refused_in_words(postgres_url):
    with pytest.raises(InvalidInput, match='invalid connection option "sslmood"'):
        SqlStore(open_engine(f"{postgres_url}?sslmood=require"))


def test_of_those_who_ask_under_one_name_one_is_in_at_a_time_and_another_name_waits_for_nobody(open_store):
    """As two processes would: each opens the store for itself."""
    stores = [open_store() for _ in range(2)] if not isinstance(open_store(), MemoryStore) else [open_store()]
    inside, most = set(), []
    if isinstance(stores[0], SqlStore) and stores[0].engine.dialect.name == "sqlite":
        # One process has a home's runs.
        stores = stores[:1]

    def enter(number: int) -> None:
        with stores[number % len(stores)].alone("team red"):
            inside.add(number)
            most.append(len(inside))
            with stores[number % len(stores)].alone(f"another {number}"):
                inside.discard(number)

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 12
