"""deploy/postgres/roles.sql on a real PostgreSQL: each service gets on with its own user, and sees nothing of the other's."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from concord.client.run import drive, options
from concord.kit import rpc
from concord.kit.settings import from_environment
from concord.kit.store import migrations
from concord.kit.store.sql import open_engine
from concord.labeling.answer_cache import AnswerCache
from concord.process import Running
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.wiring import HOLD_STORE
from tests import the_sample
from tests.test_services import new_run

ROLES = (Path(__file__).parent.parent / "deploy/postgres/roles.sql").read_text()
LABELING = {"llm_answers", "llm_batches", "llm_turns"}


@pytest.fixture
def urls(postgres):
    """User → URL of a database with the tables and the roles."""
    database = postgres.make_database()
    engine = open_engine(postgres.url(database))
    migrations.bring_up(engine)
    engine.dispose()
    # Twice: after an upgrade it is run again.
    postgres.execute(ROLES, ROLES, database=database)
    return {
        user: f"postgresql://{user}@127.0.0.1:{postgres.port}/{database}"
        for user in ("concord_loop", "concord_labeling")
    }


def tables_of(url: str) -> tuple[set[str], set[str]]:
    """Names of all tables, and of those that this user may read or write in any way."""
    with psycopg.connect(url) as connection:
        names = {name for (name,) in connection.execute("select tablename from pg_tables where schemaname = 'public'")}
        asked = "select has_table_privilege(%s, 'select, insert, update, delete')"
        return names, {name for name in names if connection.execute(asked, [name]).fetchone()[0]}


def test_every_table_is_one_user_s_and_neither_makes_any(urls):
    names, loop = tables_of(urls["concord_loop"])
    _, labeling = tables_of(urls["concord_labeling"])
    shared = {"concord_schema"}
    assert labeling == LABELING | shared and loop == names - LABELING
    for url in urls.values():
        with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create table more (x int)")


def test_a_run_comes_to_its_end_and_answers_are_kept(urls, tmp_path):
    run_id = new_run("roles")
    rows = the_sample.given().rows[:40]
    with ExitStack() as stack:

        def start(*names: str, **given: object) -> Running:
            settings = from_environment({}, home=str(tmp_path), listen="127.0.0.1:0", processes=0, **given)
            running = Running(names, settings)
            stack.callback(running.stop)
            return running

        door = start(*HOLD_STORE, state_url=urls["concord_loop"]).address
        start("labeling", state_url=urls["concord_labeling"], runs_address=door)
        for name in ("scoring", "triage", "training"):
            start(name, runs_address=door)
        runs = RunServiceStub(stack.enter_context(rpc.channel(door)))
        asked = options.resolve({"judge": "sample", "budget": "0", "method": "none", "shard_pairs": 32})
        pairs = [row.pair for row in rows]
        drive.begin(runs, run_id, options.run_config(asked, None), pairs, "0" * 64, "the sample's first pairs")
        view = drive.watch(runs, run_id, None, lambda view: None)
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail

    async def kept() -> object:
        cache = AnswerCache(urls["concord_labeling"])
        try:
            await cache.put("0" * 64, {"text": "yes"})
            return await cache.get("0" * 64)
        finally:
            await cache.close()

    assert asyncio.run(kept()) == {"text": "yes"}
    engine = sa.create_engine(urls["concord_labeling"].replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection, pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        connection.execute(sa.text("select * from rows limit 1"))
    engine.dispose()
