"""Rows of some tables, from one database to another, whichever of the two kinds each is."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from concord.kit.store.answering import answering
from concord.kit.store.sql import insert_if_absent, make_tables, open_engine, reading

# Held at once; PostgreSQL takes 65,535 parameters in a statement.
BATCH = 1_000


def copied(tables: Sequence[sa.Table], source: str, target: str, anew: bool = False) -> dict[str, int]:
    """Table → how many rows the source has. What stands in the target under the same key stays; `anew`: all of it goes first.

    A table that the source lacks, for nothing was kept there yet, counts as empty. Raises Unavailable where a database does not
    answer.
    """
    from_, to = open_engine(source, connections=1), open_engine(target, durable=True, connections=1)
    try:
        with answering(to, "store"):
            for metadata in {id(table.metadata): table.metadata for table in tables}.values():
                make_tables(to, metadata)
        with (
            answering(from_, "store"),
            source_of(from_).connect() as reads,
            answering(to, "store"),
            to.begin() as writing,
        ):
            there = sa.inspect(reads).get_table_names()
            return {table.name: _copied(table, table.name in there, reads, writing, anew) for table in tables}
    finally:
        from_.dispose()
        to.dispose()


def source_of(engine: sa.Engine) -> sa.Engine:
    """One that locks nothing: services go on meanwhile. PostgreSQL hands rows out bit by bit in a transaction alone."""
    return reading(engine) if engine.dialect.name == "sqlite" else engine


def _copied(table: sa.Table, is_there: bool, reads: sa.Connection, writing: sa.Connection, anew: bool) -> int:
    if anew:
        writing.execute(sa.delete(table))
    if not is_there:
        return 0
    count = 0
    with reads.execution_options(stream_results=True).execute(sa.select(table)) as rows:
        for part in rows.mappings().partitions(BATCH):
            insert_if_absent(writing, table, [dict(row) for row in part])
            count += len(part)
    return count


def deleted(url: str, table: sa.Table, which: Callable[[sa.ColumnCollection], sa.ColumnElement[bool]]) -> int:
    """Deletes the rows of which `which(columns)` holds; how many. A table that is not there yet has none."""
    engine = open_engine(url, durable=True, connections=1)
    try:
        with answering(engine, "store"), engine.begin() as connection:
            if table.name not in sa.inspect(connection).get_table_names():
                return 0
            return connection.execute(sa.delete(table).where(which(table.c))).rowcount
    finally:
        engine.dispose()
