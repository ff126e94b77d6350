"""The LLM's answers, kept so that none is paid twice.

A key names the whole request; the first answer written under it stands for ever, for every replica. Only usable answers
are put here: a failure or an unparsable text is asked again at the next run.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import time
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Column, Engine, Float, Index, MetaData, String, Table, Text, bindparam, delete, func, select

from concord.kit.store.answering import answering
from concord.kit.store.sql import insert_if_absent, make_tables, open_engine, reading

Answer = dict[str, Any]  # JSON; what stands in it is the judge's matter
Q = TypeVar("Q")
A = TypeVar("A")

# Keys in one SELECT or rows in one INSERT; PostgreSQL and SQLite both take 32,766 parameters.
_BATCH = 1000
# In messages.
STORE = "store of LLM answers"

_metadata = MetaData()
ANSWERS = Table(
    "llm_answers",
    _metadata,
    Column("key", String(64), primary_key=True),
    Column("answer", Text, nullable=False),
    # When it was written, Unix seconds; nothing where an earlier version wrote it.
    Column("at", Float, nullable=True),
    Index("llm_answers_at", "at"),
)
# Deleted in one statement: more would hold locks for long.
_MOST_PRUNED = 5_000
_SPAN = func.coalesce(ANSWERS.c.at, 0.0).between(bindparam("since"), bindparam("before"))
_OLD = select(ANSWERS.c.key).where(_SPAN).limit(_MOST_PRUNED)
_PRUNE = delete(ANSWERS).where(ANSWERS.c.key.in_(_OLD))


class Answers(Protocol):
    """Where answers are kept. Raises `Unavailable` where the store does not answer."""

    async def get(self, key: str) -> Answer | None:
        """What stands under the key."""

    async def put(self, key: str, answer: Answer) -> Answer:
        """Keeps the answer, durably once this returns, and gives what stands under the key: the first one written."""

    async def close(self) -> None:
        """Writes what is waiting and lets go of the store."""


def request_key(url: str, request: Mapping[str, Any], sample: int) -> str:
    """SHA-256 (hex) of the canonical whole request: endpoint, every field sent, and which sample of it this is."""
    whole = {"url": url, "request": request, "sample": sample}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class MemoryAnswers:
    """Answers of this process, for tests and the simulation."""

    def __init__(self) -> None:
        self._answers: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._answers)

    async def get(self, key: str) -> Answer | None:
        text = self._answers.get(key)
        return None if text is None else json.loads(text)

    async def put(self, key: str, answer: Answer) -> Answer:
        return json.loads(self._answers.setdefault(key, json.dumps(answer)))

    async def close(self) -> None:
        return None


class AnswerCache:
    """Answers in a SQL database. One asyncio loop uses it; other processes may use the same database.

    Whatever the loop's tasks want while a transaction runs goes into the next one together, so durability costs one
    flush to disk for many answers.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time) -> None:
        """Opens the database, `sqlite:///PATH` or `postgresql://…`, and makes the table where it is missing."""
        # One thread uses it.
        self._engine, self._clock = open_engine(url, durable=True, connections=1), clock
        with answering(self._engine, STORE):
            make_tables(self._engine, _metadata)
        self._thread = ThreadPoolExecutor(1, "answers")
        self._gets: _Grouped[str, Answer | None] = _Grouped(self._thread, self._read)
        self._puts: _Grouped[tuple[str, Answer], Answer] = _Grouped(self._thread, self._write)

    async def get(self, key: str) -> Answer | None:
        return await self._gets.ask(key)

    async def put(self, key: str, answer: Answer) -> Answer:
        return await self._puts.ask((key, answer))

    async def close(self) -> None:
        await self._gets.drain()
        await self._puts.drain()
        self._thread.shutdown()
        self._engine.dispose()

    async def prune(self, before: float) -> int:
        """Deletes what was written before that time, which is paid again where it is asked for again; how many."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._prune, before)

    def _prune(self, before: float) -> int:
        return _pruned(self._engine, 0.0, before)

    def _read(self, keys: Sequence[str]) -> list[Answer | None]:
        query = select(ANSWERS.c.key, ANSWERS.c.answer).where(ANSWERS.c.key.in_(set(keys)))
        with answering(self._engine, STORE), reading(self._engine).begin() as connection:
            found = {key: text for key, text in connection.execute(query)}
        return [json.loads(found[key]) if key in found else None for key in keys]

    def _write(self, items: Sequence[tuple[str, Answer]]) -> list[Answer]:
        rows: dict[str, str] = {}
        for key, answer in items:
            rows.setdefault(key, json.dumps(answer, separators=(",", ":")))
        with answering(self._engine, STORE), self._engine.begin() as connection:
            # Sorted, so that two replicas with common keys cannot lock each other out.
            values = [{"key": key, "answer": text, "at": self._clock()} for key, text in sorted(rows.items())]
            new = insert_if_absent(connection, ANSWERS, values)
            if new != len(rows):
                query = select(ANSWERS.c.key, ANSWERS.c.answer).where(ANSWERS.c.key.in_(rows))
                rows = {key: text for key, text in connection.execute(query)}
        return [json.loads(rows[key]) for key, _ in items]


def written(url: str, since: float, before: float) -> int:
    """How many answers the database has that were written in this time, Unix seconds; those without a time count as 0."""
    with _opened(url) as engine, answering(engine, STORE), reading(engine).begin() as connection:
        return connection.execute(
            select(func.count()).select_from(ANSWERS).where(_SPAN), {"since": since, "before": before}
        ).scalar_one()


def forgotten(url: str, since: float, before: float) -> int:
    """Deletes them, which are paid again where they are asked for again; how many those were. Services may go on meanwhile."""
    with _opened(url) as engine:
        return _pruned(engine, since, before)


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    engine = open_engine(url, durable=True, connections=1)
    try:
        with answering(engine, STORE):
            make_tables(engine, _metadata)
        yield engine
    finally:
        engine.dispose()


def _pruned(engine: Engine, since: float, before: float) -> int:
    gone, more = 0, _MOST_PRUNED
    while more == _MOST_PRUNED:
        with answering(engine, STORE), engine.begin() as connection:
            more = connection.execute(_PRUNE, {"since": since, "before": before}).rowcount
        gone += more
    return gone


class _Grouped(Generic[Q, A]):
    """Questions that come one by one, answered in groups by a blocking function that runs in `thread`."""

    def __init__(self, thread: ThreadPoolExecutor, answer_all: Callable[[Sequence[Q]], Sequence[A]]) -> None:
        self._thread, self._answer_all = thread, answer_all
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._flusher: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        return await future

    async def drain(self) -> None:
        while self._flusher is not None:
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        # A caller that gives up cancels its own future, never this task: what it wanted written is still written.
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                await self._answer(group)
        finally:
            self._flusher = None

    async def _answer(self, group: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._answer_all, [question for question, _ in group])
        except Exception as error:  # handed to those who asked
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():
                future.set_result(answer)
