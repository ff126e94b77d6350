"""An engine for PostgreSQL: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`, spoken to by psycopg 3.

The query may hold every option of libpq (`sslmode`, `sslrootcert`, `target_session_attrs`, `options` …); what follows
here are defaults. The password may also come from PGPASSWORD or from a file that PGPASSFILE names.
"""

import sqlalchemy as sa

from concord.kit.errors import InvalidInput
from concord.kit.urls import without_secrets

FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE[?sslmode=…] is expected"
# Connections that a process keeps, and those that it may open beside them for a moment: twelve processes stay within
# the hundred that a server allows by default.
POOL, OVERFLOW = 2, 6
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


def engine(url: str) -> sa.Engine:
    """Opens no connection yet. Raises InvalidInput where the URL cannot be, or where psycopg is not installed."""
    try:
        where = sa.make_url(url).set(drivername="postgresql+psycopg")
    except (sa.exc.ArgumentError, ValueError):
        raise InvalidInput(f"CONCORD_STATE_URL is no database address; {FORM}") from None
    if not where.database:
        raise InvalidInput(f"CONCORD_STATE_URL={without_secrets(url)!r}: {FORM}")
    try:
        return sa.create_engine(
            where.difference_update_query(["options"]),
            pool_size=POOL,
            max_overflow=OVERFLOW,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=True,
            pool_recycle=RECYCLE_S,
            # Rows hold people's answers: they are nobody's business in an error message.
            hide_parameters=True,
            connect_args=_connect_args(where),
        )
    except ImportError as error:
        raise InvalidInput(f"{error}: PostgreSQL needs the extra, pip install 'concord-preference[postgres]'") from None


def _connect_args(where: sa.URL) -> dict[str, str]:
    """The defaults that the URL does not set; options of both, the URL's last, so that they win."""
    given = where.query.get("options", "")
    defaults = " ".join(f"-c {name}={value}" for name, value in SERVER.items())
    options = f"{defaults} {given if isinstance(given, str) else ' '.join(given)}".strip()
    return {name: value for name, value in CLIENT.items() if name not in where.query} | {"options": options}
