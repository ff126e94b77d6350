"""An engine for PostgreSQL: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`, spoken to by psycopg 3.

The query may hold every option of libpq (`sslmode`, `sslrootcert`, `target_session_attrs`, `options` …); what follows
here are defaults. The password may also come from PGPASSWORD or from a file that PGPASSFILE names.

`pooler=transaction` is ours: between here and the server stands a pooler that lends a connection for one transaction (PgBouncer,
RDS Proxy). Such a one takes no options when a connection begins and keeps no prepared statements, so the limits are set within
each transaction, and nothing is prepared.
"""

import sqlalchemy as sa

from concord.kit.errors import InvalidInput
from concord.kit.urls import without_secrets

FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE[?sslmode=…] is expected"
POOLER = "pooler"
POOL_WAIT_S = 10
# A server that closed its connections, or whose place another took, is noticed before a statement is lost on it.
RECYCLE_S = 1800
CLIENT = {
    "connect_timeout": "5",
    "application_name": "concord",
    # A peer that is gone without a word (a machine that lost its power or its network) is given up after half a minute.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
# Milliseconds. The last one takes a transaction from a process that was stopped within it: whoever took its place would
# wait for its row locks otherwise. Whenever it wakes up, its transaction is over and nothing of it was written.
SERVER = {"statement_timeout": 30_000, "lock_timeout": 10_000, "idle_in_transaction_session_timeout": 15_000}


def engine(url: str, connections: int) -> sa.Engine:
    """Opens no connection yet, and never more at once than given. Raises InvalidInput where the URL cannot be, or where psycopg is
    not installed."""
    try:
        where = sa.make_url(url).set(drivername="postgresql+psycopg")
    except (sa.exc.ArgumentError, ValueError):
        raise InvalidInput(f"CONCORD_STATE_URL is no database address; {FORM}") from None
    if not where.database:
        raise InvalidInput(f"CONCORD_STATE_URL={without_secrets(url)!r}: {FORM}")
    if (pooler := where.query.get(POOLER, "")) not in ("", "transaction", "session"):
        raise InvalidInput(f"CONCORD_STATE_URL: {POOLER}={pooler!s}: transaction or session is expected")
    try:
        made = sa.create_engine(
            where.difference_update_query(["options", POOLER]),
            # Those that were needed once are kept: to open one costs the server more than what is asked over it.
            pool_size=connections,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=True,
            pool_recycle=RECYCLE_S,
            # Rows hold people's answers: they are nobody's business in an error message.
            hide_parameters=True,
            connect_args=_pooled_args(where) if pooler == "transaction" else _connect_args(where),
        )
    except ImportError as error:
        raise InvalidInput(f"{error}: PostgreSQL needs the extra, pip install 'concord-preference[postgres]'") from None
    if pooler == "transaction":
        sa.event.listen(made, "begin", _limit_transaction)
    return made


LIMITS = sa.text("SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in SERVER.items()))


def _limit_transaction(connection: sa.Connection) -> None:
    """Single statements that only read are no transaction; for them a pooler's role should have a statement_timeout."""
    if connection.get_isolation_level() != "AUTOCOMMIT":
        connection.execute(LIMITS)


def _pooled_args(where: sa.URL) -> dict[str, object]:
    return {name: value for name, value in CLIENT.items() if name not in where.query} | {"prepare_threshold": None}


def _connect_args(where: sa.URL) -> dict[str, str]:
    """The defaults that the URL does not set; options of both, the URL's last, so that they win."""
    given = where.query.get("options", "")
    defaults = " ".join(f"-c {name}={value}" for name, value in SERVER.items())
    options = f"{defaults} {given if isinstance(given, str) else ' '.join(given)}".strip()
    mine = {name: value for name, value in CLIENT.items() if name not in (*where.query, POOLER)}
    return mine | {"options": options}
