"""The store behind a real PgBouncer that lends its two connections for single transactions (Debian: apt-get install pgbouncer)."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from concord.kit.errors import InvalidInput
from concord.kit.store import Position, RunChange, SqlStore
from concord.kit.store.postgres import SERVER
from concord.kit.store.sql import open_engine
from deploy.local.broker import free_port
from deploy.local.postgres import USER
from deploy.local.servers import dies_with_parent, started

CONNECTIONS, CLIENTS, SAVES = 2, 12, 20


def settings(port: int, postgres_port: int, folder: Path) -> str:
    """As its package has it, but for where it is and how it pools."""
    return f"""
[databases]
* = host=127.0.0.1 port={postgres_port} user={USER}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = {CONNECTIONS}
max_client_conn = 200
unix_socket_dir =
pidfile = {folder}/pid
"""


def answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://{USER}@127.0.0.1:{port}/postgres", connect_timeout=2).close()
        return True
    except psycopg.OperationalError:
        return False


@pytest.fixture(scope="module")
def pooled(postgres):
    """A URL of a database of its own, through the pooler."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    # Whoever it runs as may enter it, which of a folder of pytest's he may not.
    folder, port = Path(tempfile.mkdtemp(prefix="concord-pgbouncer-")), free_port()
    (folder / "pgbouncer.ini").write_text(settings(port, postgres.port, folder))
    user = "nobody" if os.geteuid() == 0 else ""
    if user:
        folder.chmod(0o755)
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    command = dies_with_parent([program, "-q", str(folder / "pgbouncer.ini")], signal.SIGKILL, user)
    process: subprocess.Popen = started("PgBouncer", command, folder / "log", lambda: answers(port), 20.0)
    yield f"postgresql://{USER}@127.0.0.1:{port}/{postgres.make_database()}"
    process.kill()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def test_without_a_word_of_the_pooler_what_to_add_is_said(pooled):
    with pytest.raises(InvalidInput, match="pooler=transaction"):
        SqlStore(open_engine(pooled)).runs("runs")


def test_many_more_clients_than_connections_save_and_read_and_nothing_is_lost(pooled):
    stores = [SqlStore(open_engine(f"{pooled}?pooler=transaction")) for _ in range(CLIENTS)]
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            store, read = stores[number], Position()
            for offset in range(1, SAVES + 1):
                to = Position(offset, "log", 1)
                store.save(
                    "runs", number, read, to, [RunChange(f"run {number}", True, {"state": b"%d" % offset})], None
                )
                assert store.rows("runs", f"run {number}") == {"state": b"%d" % offset}
                read = to
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert stores[0].positions("runs") == dict.fromkeys(range(CLIENTS), SAVES)
    for store in stores:
        store.close()


def test_each_transaction_has_its_limits_and_leaves_none_to_whoever_comes_next(pooled):
    store, other = (SqlStore(open_engine(f"{pooled}?pooler=transaction")) for _ in range(2))
    show = sa.text(
        "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')"
    )
    with store.begin() as connection:
        limits = connection.execute(show).one()
    assert tuple(limits) == (f"{SERVER['statement_timeout'] // 1000}s", "15s")
    with other.begin(reads=True) as connection:
        assert tuple(connection.execute(show).one()) == ("0", "0")


def test_another_word_than_those_that_are_known_is_refused():
    with pytest.raises(InvalidInput, match="pooler=statement"):
        open_engine("postgresql://u@h/d?pooler=statement")
