"""The tables on PostgreSQL: what the steps make is what the code means, and any number of processes may come at once."""

import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from concord.kit.store import METADATA, migrations
from concord.kit.store.sql import open_engine
from concord.labeling import answer_cache, batch_notes, turns
from concord.tasks import tables


@pytest.fixture
def engine(postgres_url):
    made = open_engine(postgres_url)
    yield made
    made.dispose()


def meant() -> sa.MetaData:
    """All tables of all services."""
    whole = sa.MetaData()
    assert tables.SLOTS.metadata is METADATA
    for metadata in (METADATA, answer_cache._metadata, batch_notes._metadata, turns._metadata):
        for table in metadata.tables.values():
            table.to_metadata(whole)
    return whole


def differences(engine: sa.Engine, metadata: sa.MetaData) -> list:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": migrations.VERSION_TABLE, "compare_type": True, "compare_server_default": True},
        )
        return compare_metadata(context, metadata)


def test_the_steps_make_the_tables_that_the_code_means(engine):
    assert migrations.bring_up(engine) is None
    assert migrations.standing(engine) == migrations.head()
    assert differences(engine, meant()) == []


def test_a_column_that_the_steps_forgot_would_be_found(engine):
    migrations.bring_up(engine)
    metadata = meant()
    metadata.tables["tasks"].append_column(sa.Column("forgotten", sa.Integer))
    metadata.tables["slots"].c.annotator.type = sa.String(100)
    assert sorted(str(one[0] if isinstance(one, tuple) else one[0][0]) for one in differences(engine, metadata)) == [
        "add_column",
        "modify_type",
    ]


def test_tables_made_at_once_from_the_metadata_have_the_same_indexes_and_constraints(postgres, engine):
    """Alembic does not compare primary keys and sequences; PostgreSQL's own catalogue does."""
    migrations.bring_up(engine)
    other = open_engine(postgres.url(postgres.make_database()))
    meant().create_all(other)
    assert catalogue(engine) == catalogue(other)
    other.dispose()


def catalogue(engine: sa.Engine) -> tuple[list, list]:
    columns = """select table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
        from information_schema.columns where table_schema = 'public' and table_name <> 'concord_schema' order by 1, 2"""
    constraints = """select rel.relname, pg_get_constraintdef(c.oid) from pg_constraint c join pg_class rel
        on rel.oid = c.conrelid where c.connamespace = 'public'::regnamespace and rel.relname <> 'concord_schema'
        union all select tablename, indexdef from pg_indexes
        where schemaname = 'public' and tablename <> 'concord_schema' order by 1, 2"""
    with engine.connect() as connection:
        return tuple([tuple(row) for row in connection.exec_driver_sql(query)] for query in (columns, constraints))


def test_processes_that_open_a_new_database_at_once_all_find_the_tables(postgres_url):
    failed: list[BaseException] = []

    def bring_up() -> None:
        # An engine of its own: another process as far as the database can tell.
        engine = open_engine(postgres_url)
        try:
            migrations.bring_up(engine)
        except BaseException as error:
            failed.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=bring_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_step_that_fails_leaves_nothing_behind(postgres, engine):
    database = engine.url.database
    postgres.execute("create table slots_born (another int)", database=database)
    with pytest.raises(sa.exc.ProgrammingError, match="slots_born"):
        migrations.bring_up(engine)
    assert migrations.standing(engine) is None
    assert sa.inspect(engine).get_table_names() == ["slots_born"]
    postgres.execute("drop table slots_born", database=database)
    assert migrations.bring_up(engine) is None
    assert migrations.standing(engine) == migrations.head()


def test_tables_of_a_newer_version_are_left_as_they_are(engine):
    migrations.bring_up(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"update {migrations.VERSION_TABLE} set version_num = '9999'")
    assert migrations.bring_up(engine) == "9999"
    assert migrations.standing(engine) == "9999"
