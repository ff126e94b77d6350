"""The tables on PostgreSQL, step by step: each file in `versions` is one step, and none is changed after a release.

Steps only add, so that services of an earlier version work on while a newer one has been here already. A process brings
the tables up when it opens the store, one at a time under an advisory lock; where its user may not make tables,
`concord migrate` does the same beforehand as one who may.
"""

import threading
from pathlib import Path

import sqlalchemy as sa

from concord.kit.errors import InvalidInput
from concord.kit.store.answering import answering

# Ours alone: a database may be shared with others that keep their own.
VERSION_TABLE = "concord_schema"
LOCK = 0x636F6E63  # any number that others do not take
# A step may take long on a large table, and a busy table must be waited for.
PATIENCE = ("SET LOCAL statement_timeout = 0", "SET LOCAL lock_timeout = '120s'")
# Alembic keeps the step that is being done in a global.
_one_at_a_time = threading.Lock()


def head() -> str:
    """The newest step that this version knows."""
    (newest,) = _steps().get_heads()
    return newest


def standing(engine: sa.Engine) -> str | None:
    """The last step that was done in this database; None: none yet. Raises Unavailable or InvalidInput."""
    with answering(engine, "store"), engine.connect() as connection:
        return _standing(connection)


def bring_up(engine: sa.Engine) -> str | None:
    """Does the steps that are missing, all or none; returns where it stood before."""
    with answering(engine, "store"), engine.connect() as connection:
        if _is_up(before := _standing(connection)):
            return before
    with _one_at_a_time, answering(engine, "store"), engine.begin() as connection:
        for statement in PATIENCE:
            connection.exec_driver_sql(statement)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        # Another process may have done it while this one waited.
        if not _is_up(before := _standing(connection)):
            _upgrade(connection)
        return before


def _is_up(step: str | None) -> bool:
    """A step that this version does not know is a newer version's: those only add."""
    steps = _steps()
    older = {known.revision for known in steps.walk_revisions()} - set(steps.get_heads())
    return step is not None and step not in older


def _standing(connection: sa.Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config():
    try:
        from alembic.config import Config
    except ImportError as error:
        raise InvalidInput(f"{error}: PostgreSQL needs the extra, pip install 'concord-preference[postgres]'") from None
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _steps():
    config = _config()
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(config)
