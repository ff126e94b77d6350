"""What differs between the two databases, SQLite and PostgreSQL; everything else above is written once.

How each is opened and its tables made, and its INSERT that knows ON CONFLICT.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

# Of one process to PostgreSQL, unless it is told otherwise.
CONNECTIONS = 8
ONLY_READS = "concord_only_reads"


def open_engine(url: str, durable: bool = False, connections: int = CONNECTIONS) -> sa.Engine:
    """An engine for `sqlite:///PATH` or `postgresql://…`, there with so many connections at most; opens none yet.

    On SQLite a transaction locks when it begins, so two writers wait, not fail; with `durable` each commit there is on
    disk before it returns, as it always is on PostgreSQL. Raises InvalidInput for a URL that cannot be.
    """
    if url.startswith("sqlite"):
        # Each of a service's threads keeps its connection to the file.
        engine = sa.create_engine(url, pool_size=0, hide_parameters=True)
        prepare = _prepare_durable_sqlite if durable else _prepare_sqlite
        sa.event.listen(engine, "connect", prepare)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    from concord.kit.store import postgres

    return postgres.engine(url, connections)


def reading(engine: sa.Engine) -> sa.Engine:
    """The same engine for single statements that only read: they wait for no writer and need no transaction."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{ONLY_READS: True})
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def make_tables(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Makes the tables that are missing: SQLite's from the metadata, PostgreSQL's by the migrations, all of them at once."""
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            _add_columns(connection, metadata)
            metadata.create_all(connection)
        return
    from concord.kit.store import migrations

    migrations.bring_up(engine)


def _add_columns(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Columns that tables of an earlier version lack; they may be null."""
    inspector = sa.inspect(connection)
    for table in metadata.sorted_tables:
        if not inspector.has_table(table.name):
            continue
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in (column for column in table.columns if column.name not in there):
            kind = column.type.compile(connection.dialect)
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ADD COLUMN "{column.name}" {kind}')
            for index in (index for index in table.indexes if column.name in index.columns):
                index.create(connection, checkfirst=True)


def insert_for(connection: sa.Connection):
    """The dialect's own INSERT, the one that knows ON CONFLICT."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert


def insert_if_absent(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Inserts the rows whose key is new and leaves the others as they are; returns how many were new."""
    return connection.execute(_insert_if_absent(insert_for(connection), table), rows).rowcount


@cache
def _insert_if_absent(insert, table: sa.Table):
    # Without the option SQLAlchemy forgets what psycopg says of an INSERT.
    return insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)


def upsert(
    connection: sa.Connection, table: sa.Table, key: tuple[str, ...], changed: tuple[str, ...], unless_below: str = ""
):
    """INSERT, and where a row with this key stands, `changed` are overwritten, unless its `unless_below` is higher."""
    return _upsert(insert_for(connection), table, key, changed, unless_below)


@cache
def _upsert(insert, table: sa.Table, key: tuple[str, ...], changed: tuple[str, ...], unless_below: str):
    fresh = insert(table)
    where = table.c[unless_below] <= fresh.excluded[unless_below] if unless_below else None
    return fresh.on_conflict_do_update(index_elements=key, set_={n: fresh.excluded[n] for n in changed}, where=where)


def upsert_all(
    connection: sa.Connection,
    table: sa.Table,
    key: tuple[str, ...],
    changed: tuple[str, ...],
    rows: Sequence[Mapping[str, object]],
) -> None:
    """The same for many rows, each with another key and all with the same columns.

    PostgreSQL takes them column by column in one statement: 2,000 rows in a fifth of the time of a statement each.
    """
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(upsert(connection, table, key, changed), rows)
        return
    names = tuple(rows[0])
    connection.execute(
        _upsert_columns(table, key, changed, names), {name: [row[name] for row in rows] for name in names}
    )


@cache
def _upsert_columns(table: sa.Table, key: tuple[str, ...], changed: tuple[str, ...], names: tuple[str, ...]):
    # As text, for a cast to a column's own length would cut what is too long instead of refusing it.
    types = {name: sa.Text() if isinstance(table.c[name].type, sa.String) else table.c[name].type for name in names}
    columns = [sa.bindparam(name, type_=postgresql.ARRAY(type_)) for name, type_ in types.items()]
    given = (
        sa.func.unnest(*columns)
        .table_valued(*(sa.column(name, type_) for name, type_ in types.items()))
        .render_derived()
    )
    fresh = postgresql.insert(table).from_select(names, sa.select(given))
    return fresh.on_conflict_do_update(index_elements=key, set_={name: fresh.excluded[name] for name in changed})


def _begin_sqlite(connection: sa.Connection) -> None:
    only_reads = connection.get_execution_options().get(ONLY_READS)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


def _prepare_sqlite(connection, record, synchronous: str = "NORMAL") -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}", "busy_timeout = 30000"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_durable_sqlite(connection, record) -> None:
    _prepare_sqlite(connection, record, "FULL")
