"""Where a reactor keeps what it folded: a snapshot of the log, worth nothing without it and rebuilt from it.

For each (service, partition) a position; for each run named rows. Both move in one transaction, and only from the
position that the writer read: a writer that another one overtook is Fenced.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import sqlalchemy as sa

from concord.kit.errors import Fenced
from concord.kit.store import sql
from concord.kit.store.answering import answering
from concord.kit.store.sql import insert_if_absent, upsert_all

ASK_AGAIN_S = 0.01
# Runs in the same transaction; gets the SQL connection, or None from the store in memory.
Also = Callable[[Any], None]


@dataclass(frozen=True)
class Position:
    """How far a (service, partition) is folded, of which log, by which version of the fold."""

    next_offset: int = 0
    log_id: str = ""
    fold_version: int = 0


@dataclass(frozen=True)
class RunChange:
    """What one batch of events changed in one run; a row of None is deleted."""

    run_id: str
    active: bool
    rows: Mapping[str, bytes | None] = field(default_factory=dict)


class Store(Protocol):
    """What every store promises. Thread-safe."""

    def alone(self, name: str) -> AbstractContextManager[object]:
        """The block by itself among all that ask under this name, in whichever process."""

    def position(self, service: str, partition: int) -> Position:
        """The stored position; offset 0 where nothing is stored."""

    def positions(self, service: str) -> dict[int, int]:
        """Partition → the offset up to which it is folded and stored."""

    def passed(self, service: str, partition: int, offset: int, wait_s: float) -> bool:
        """Whether what stands at `offset` is folded and stored, after waiting for that for up to `wait_s`."""

    def save(
        self,
        service: str,
        partition: int,
        read: Position,
        to: Position,
        changes: Sequence[RunChange],
        also: Also | None,
    ) -> None:
        """Moves the position from `read` to `to` together with the changes; raises Fenced if it is not at `read`."""

    def discard(self, service: str, partition: int, also: Also | None) -> None:
        """Forgets everything of this partition: it belongs to another log or to another fold."""

    def rows(self, service: str, run_id: str, only: Sequence[str] = ()) -> dict[str, bytes]:
        """The run's rows, or those named in `only`; empty where it is unknown."""

    def rows_of(self, service: str, run_ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, bytes]]:
        """Run → those of its rows that are named, of many runs at once; a run without any is left out."""

    def runs(self, service: str, partition: int | None = None, active_only: bool = False) -> list[str]:
        """Known runs, oldest first."""


METADATA = sa.MetaData()
POSITIONS = sa.Table(
    "positions",
    METADATA,
    sa.Column("service", sa.String(40), primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("next_offset", sa.BigInteger, nullable=False),
    sa.Column("log_id", sa.String(80), nullable=False),
    sa.Column("fold_version", sa.Integer, nullable=False),
)
RUNS = sa.Table(
    "runs",
    METADATA,
    # PostgreSQL takes a number for every save, also of a run that it knows: 2^31 would last a busy cluster a month.
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("service", sa.String(40), nullable=False),
    sa.Column("run_id", sa.String(36), nullable=False),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.UniqueConstraint("service", "run_id"),
)
ROWS = sa.Table(
    "rows",
    METADATA,
    sa.Column("service", sa.String(40), primary_key=True),
    sa.Column("run_id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(120), primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)


# Built once, not at every call: building a statement costs more than running it.
PLACE = (POSITIONS.c.service == sa.bindparam("of_service"), POSITIONS.c.partition == sa.bindparam("of_partition"))
POSITION = sa.select(POSITIONS.c.next_offset, POSITIONS.c.log_id, POSITIONS.c.fold_version).where(*PLACE)
FOLDED_TO = sa.select(POSITIONS.c.partition, POSITIONS.c.next_offset).where(PLACE[0])
MOVE = sa.update(POSITIONS).where(
    *PLACE, *(POSITIONS.c[name] == sa.bindparam(f"read_{name}") for name in vars(Position()))
)
OF_RUN = (ROWS.c.service == sa.bindparam("of_service"), ROWS.c.run_id == sa.bindparam("of_run"))
DELETE_ROWS = sa.delete(ROWS).where(*OF_RUN, ROWS.c.name.in_(sa.bindparam("gone", expanding=True)))
# A statement may have so many names; SQLite's own limit is 32,766.
MOST_GONE = 2_000
ALL_ROWS = sa.select(ROWS.c.name, ROWS.c.value).where(*OF_RUN)
KNOWN_RUNS = (
    sa.select(RUNS.c.run_id)
    .where(
        RUNS.c.service == sa.bindparam("of_service"),
        sa.or_(RUNS.c.active, ~sa.bindparam("only_active", type_=sa.Boolean)),
    )
    .order_by(RUNS.c.number)
)
RUNS_OF_PARTITION = KNOWN_RUNS.where(RUNS.c.partition == sa.bindparam("of_partition"))
ROWS_OF_RUNS = sa.select(ROWS.c.run_id, ROWS.c.name, ROWS.c.value).where(
    ROWS.c.service == sa.bindparam("of_service"),
    ROWS.c.run_id.in_(sa.bindparam("runs", expanding=True)),
    ROWS.c.name.in_(sa.bindparam("names", expanding=True)),
)
NAMED_ROWS = ALL_ROWS.where(ROWS.c.name.in_(sa.bindparam("names", expanding=True)))


ALONE = sa.select(sa.func.pg_advisory_xact_lock(sa.bindparam("key", type_=sa.BigInteger)))


class SqlStore:
    """A store in a SQL database: SQLite embedded, PostgreSQL in a cluster; the statements are the same."""

    def __init__(self, engine: sa.Engine) -> None:
        """Makes the tables that are missing. Raises Unavailable where the database does not answer."""
        self.engine = engine
        self._reading = sql.reading(engine)
        # SQLite has one writer at a time and lets the others sleep; in one process they can queue instead.
        self._writing = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        # (service, partition) → the end of what this process saved last; tells waiting handlers without a query.
        self._saved: dict[tuple[str, int], int] = {}
        self._saving: dict[tuple[str, int], threading.Condition] = {}
        self._alone: dict[str, threading.Lock] = {}
        self.make_tables()

    def make_tables(self) -> None:
        """Makes the tables of the modules that were imported by now, where they are missing."""
        with answering(self.engine, "store"), self._writing:
            sql.make_tables(self.engine, METADATA)

    def close(self) -> None:
        """Ends the connections; one that is asked for again is opened anew."""
        self.engine.dispose()

    @contextmanager
    def begin(self, reads: bool = False):
        """A transaction; the database's own errors come out as Unavailable. One that only `reads` waits for no writer."""
        engine = self._reading if reads else self.engine
        with answering(engine, "store"), nullcontext() if reads else self._writing, engine.begin() as connection:
            yield connection

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """The block by itself among all that ask under this name, in whichever process; raises Unavailable where it waits too long.

        On SQLite one process runs each service, so a lock of this process does.
        """
        with self._alone.setdefault(name, threading.Lock()), ExitStack() as held:
            if self.engine.dialect.name == "postgresql":
                held.enter_context(self.begin()).execute(ALONE, {"key": _key(name)})
            yield

    def position(self, service: str, partition: int) -> Position:
        with self.begin(reads=True) as connection:
            row = connection.execute(POSITION, {"of_service": service, "of_partition": partition}).first()
        return Position(*row) if row else Position()

    def positions(self, service: str) -> dict[int, int]:
        with self.begin(reads=True) as connection:
            return {partition: offset for partition, offset in connection.execute(FOLDED_TO, {"of_service": service})}

    def save(
        self,
        service: str,
        partition: int,
        read: Position,
        to: Position,
        changes: Sequence[RunChange],
        also: Also | None,
    ) -> None:
        with self.begin() as connection:
            self._move(connection, service, partition, read, to)
            self._write(connection, service, partition, changes)
            if also:
                also(connection)
        self._saved[service, partition] = to.next_offset
        saving = self._saving.setdefault((service, partition), threading.Condition())
        with saving:
            saving.notify_all()

    def passed(self, service: str, partition: int, offset: int, wait_s: float) -> bool:
        place = (service, partition)
        saving = self._saving.setdefault(place, threading.Condition())
        if place not in self._saved:
            # Another process folds it, so that nobody here says when.
            wait_s = min(wait_s, ASK_AGAIN_S)
        with saving:
            if saving.wait_for(lambda: self._saved.get(place, 0) > offset, wait_s):
                return True
        return self.position(service, partition).next_offset > offset

    def _move(self, connection: sa.Connection, service: str, partition: int, read: Position, to: Position) -> None:
        if read == Position():
            row = {"service": service, "partition": partition, **vars(to)}
            moved = insert_if_absent(connection, POSITIONS, [row])
        else:
            place = {"of_service": service, "of_partition": partition}
            at_read = {f"read_{name}": value for name, value in vars(read).items()}
            moved = connection.execute(MOVE, place | at_read | vars(to)).rowcount
        if moved != 1:
            raise Fenced(
                f"{service}, partition {partition}: another replica has moved on from offset {read.next_offset}"
            )

    def _write(self, connection: sa.Connection, service: str, partition: int, changes: Sequence[RunChange]) -> None:
        runs = [
            {"service": service, "run_id": change.run_id, "partition": partition, "active": change.active}
            for change in changes
        ]
        upsert_all(connection, RUNS, ("service", "run_id"), ("active",), runs)
        for change in changes:
            gone = [name for name, value in change.rows.items() if value is None]
            for at in range(0, len(gone), MOST_GONE):
                names = gone[at : at + MOST_GONE]
                connection.execute(DELETE_ROWS, {"of_service": service, "of_run": change.run_id, "gone": names})
        kept = [
            {"service": service, "run_id": change.run_id, "name": name, "value": value}
            for change in changes
            for name, value in change.rows.items()
            if value is not None
        ]
        upsert_all(connection, ROWS, ("service", "run_id", "name"), ("value",), kept)

    def discard(self, service: str, partition: int, also: Also | None) -> None:
        self._saved.pop((service, partition), None)
        with self.begin() as connection:
            mine = sa.select(RUNS.c.run_id).where(*_of(RUNS, service, partition))
            connection.execute(sa.delete(ROWS).where(ROWS.c.service == service, ROWS.c.run_id.in_(mine)))
            connection.execute(sa.delete(RUNS).where(*_of(RUNS, service, partition)))
            connection.execute(sa.delete(POSITIONS).where(*_of(POSITIONS, service, partition)))
            if also:
                also(connection)

    def rows(self, service: str, run_id: str, only: Sequence[str] = ()) -> dict[str, bytes]:
        wanted = {"of_service": service, "of_run": run_id, "names": list(only)}
        with self.begin(reads=True) as connection:
            return {name: value for name, value in connection.execute(NAMED_ROWS if only else ALL_ROWS, wanted)}

    def rows_of(self, service: str, run_ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, bytes]]:
        found: dict[str, dict[str, bytes]] = {}
        for at in range(0, len(run_ids), MOST_GONE):
            wanted = {"of_service": service, "runs": list(run_ids[at : at + MOST_GONE]), "names": list(names)}
            with self.begin(reads=True) as connection:
                for run_id, name, value in connection.execute(ROWS_OF_RUNS, wanted):
                    found.setdefault(run_id, {})[name] = value
        return found

    def forget(self, run_id: str) -> None:
        """Deletes every row of the run, of all services: for a run whose facts are gone from the log."""
        with self.begin() as connection:
            for table in METADATA.sorted_tables:
                if "run_id" in table.c:
                    connection.execute(sa.delete(table).where(table.c.run_id == run_id))

    def runs(self, service: str, partition: int | None = None, active_only: bool = False) -> list[str]:
        wanted = {"of_service": service, "of_partition": partition, "only_active": active_only}
        with self.begin(reads=True) as connection:
            return list(connection.scalars(KNOWN_RUNS if partition is None else RUNS_OF_PARTITION, wanted))


def _key(name: str) -> int:
    """The name as PostgreSQL's advisory locks have theirs: 64 bits with a sign."""
    return int.from_bytes(sha256(name.encode()).digest()[:8], signed=True)


def _of(table: sa.Table, service: str, partition: int) -> tuple:
    return table.c.service == service, table.c.partition == partition
