"""What a database's errors mean, in our words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from concord.kit import telemetry
from concord.kit.errors import ConcordError, Corrupt, InvalidInput, Unavailable
from concord.kit.urls import without_secrets


@contextmanager
def answering(engine: sa.Engine, what: str) -> Iterator[None]:
    """The database's errors in our words: Unavailable where it may be better in a while, InvalidInput where it will not."""
    try:
        yield
    except sqlite3.Error as error:  # of a connection that was only being made ready
        raise _of_sqlite(engine, what, error) from error
    except sa.exc.TimeoutError as error:
        telemetry.BACKEND_ERRORS.labels(what).inc()
        raise Unavailable(f"the {what} {shown(engine)} gave no connection in time: {error}") from error
    except sa.exc.DBAPIError as error:
        said = str(error.orig).strip() or type(error.orig).__name__
        if isinstance(error.orig, sqlite3.Error) and _is_damage(error.orig):
            raise _of_sqlite(engine, what, error.orig) from error
        if "startup parameter" in said or "command-line options" in said:
            raise InvalidInput(
                f"the {what} {shown(engine)} stands behind a pooler that takes no options ({said}): add pooler=transaction to "
                "CONCORD_STATE_URL"
            ) from error
        if _is_away(error):
            telemetry.BACKEND_ERRORS.labels(what).inc()
            raise Unavailable(f"the {what} {shown(engine)} does not answer: {said}{_do(said)}") from error
        if isinstance(error, sa.exc.DataError):
            raise InvalidInput(f"the {what} {shown(engine)} cannot hold this: {said}") from error
        if wrong := _wrong(error):
            raise InvalidInput(f"the {what} {shown(engine)} {wrong}: {said}") from error
        raise


def _do(said: str) -> str:
    """What to do where a disk is in the way; empty for anything else."""
    if "disk I/O error" in said:
        return "; see whether a quota is used up (`quota`, `df -i`) or the disk fails (`dmesg`)"
    return "; make room" if "disk is full" in said else ""


def _is_damage(error: sqlite3.Error) -> bool:
    return type(error) is sqlite3.DatabaseError or "decode to UTF-8" in str(error)


def _of_sqlite(engine: sa.Engine, what: str, error: sqlite3.Error) -> ConcordError:
    if not _is_damage(error):
        return Unavailable(f"the {what} {shown(engine)} does not answer: {error}")
    return Corrupt(
        f"the {what} {shown(engine)} is damaged: {error}. It is a copy of what the log says: delete {engine.url.database} and "
        "the files beside it that begin with the same name, and it is made again. Verdicts that were kept in it are paid again"
    )


def shown(engine: sa.Engine) -> str:
    """Its URL without the password."""
    return without_secrets(engine.url.render_as_string(hide_password=False))


# A server that has become another's standby, a transaction that lay idle for too long, one that lost a race.
PASSING = frozenset({"25006", "25P03", "40001", "40P01"})
WRONG = {
    "42501": "does not let this user do this; make its tables once as a user who may: concord migrate",
    "42P01": "lacks a table; make them: concord migrate",
    "42703": "lacks a column; bring its tables up: concord migrate",
}


def _is_away(error: sa.exc.DBAPIError) -> bool:
    if error.connection_invalidated or isinstance(error, sa.exc.OperationalError):
        return True
    # psycopg says InterfaceError of a connection that was lost; sqlite3 says it of a wrong use.
    lost = isinstance(error, sa.exc.InterfaceError) and not type(error.orig).__module__.startswith("sqlite3")
    return lost or getattr(error.orig, "sqlstate", None) in PASSING


def _wrong(error: sa.exc.DBAPIError) -> str:
    state = getattr(error.orig, "sqlstate", None)
    if state is None and isinstance(error, sa.exc.ProgrammingError):
        return "cannot be opened with these options"
    return WRONG.get(state or "", "")
