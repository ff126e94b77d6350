"""Which batches were handed in, for whom, and whether somebody still waits for them. Calls block: for a thread of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Boolean, Column, Index, LargeBinary, MetaData, String, Table, select, update

from concord.kit.store.answering import answering
from concord.kit.store.sql import insert_if_absent, make_tables, open_engine, reading
from concord.labeling.answer_cache import STORE
from concord.v1.config_pb2 import JudgeConfig

_metadata = MetaData()
BATCHES = Table(
    "llm_batches",
    _metadata,
    Column("name", String(64), primary_key=True),
    Column("run_id", String(36), nullable=False),
    Column("batch_id", String(200), nullable=False),
    Column("judge", LargeBinary, nullable=False),
    Column("over", Boolean, nullable=False),
    Index("llm_batches_over", "over"),
)


@dataclass(frozen=True)
class Note:
    """One batch."""

    name: str  # 64 hex digits, see `batches.batch_name`
    run_id: str
    batch_id: str  # the endpoint's name for it
    judge: JudgeConfig  # whose key is not in it
    over: bool = False  # its answers were read, or nobody wants them any more


class BatchNotes:
    """The notes in a SQL database, shared by all replicas. Raises Unavailable where it does not answer."""

    def __init__(self, url: str) -> None:
        """Opens the database and makes the table where it is missing."""
        self._engine = open_engine(url, durable=True, connections=2)
        with answering(self._engine, STORE):
            make_tables(self._engine, _metadata)

    def close(self) -> None:
        self._engine.dispose()

    def of(self, name: str) -> Note | None:
        """The batch of this name."""
        return next(iter(self._where(BATCHES.c.name == name)), None)

    def open(self) -> Sequence[Note]:
        """Those that are not over."""
        return self._where(BATCHES.c.over.is_(False))

    def add(self, note: Note) -> None:
        """Writes the note; of two under one name the first one written stands."""
        row = {
            "name": note.name,
            "run_id": note.run_id,
            "batch_id": note.batch_id,
            "judge": note.judge.SerializeToString(deterministic=True),
            "over": note.over,
        }
        with answering(self._engine, STORE), self._engine.begin() as connection:
            insert_if_absent(connection, BATCHES, [row])

    def end(self, name: str) -> None:
        """Nobody waits for the batch any more."""
        with answering(self._engine, STORE), self._engine.begin() as connection:
            connection.execute(update(BATCHES).where(BATCHES.c.name == name).values(over=True))

    def _where(self, condition) -> list[Note]:
        with answering(self._engine, STORE), reading(self._engine).begin() as connection:
            rows = connection.execute(select(BATCHES).where(condition).order_by(BATCHES.c.name)).all()
        return [
            Note(row.name, row.run_id, row.batch_id, JudgeConfig.FromString(row.judge), bool(row.over)) for row in rows
        ]
