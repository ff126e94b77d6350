"""A judge's rates, kept by all replicas together: an endpoint's time is handed out in pieces, one after the other.

Each piece belongs to one replica, which spreads its requests over it. So all of them together ask no more in a minute than one
may, however many there are; what a replica does not use of its last piece is lost, a second or two.
"""

import asyncio
import hashlib
from collections.abc import Callable
from time import time

from sqlalchemy import Column, Float, MetaData, String, Table, bindparam, case, select, update

from concord.kit.store.answering import answering
from concord.kit.store.sql import insert_if_absent, make_tables, open_engine

STORE = "store of judges' turns"

_metadata = MetaData()
_turns = Table(
    "llm_turns",
    _metadata,
    # SHA-256 of the endpoint's URL.
    Column("endpoint", String(64), primary_key=True),
    # Up to when its time is handed out, Unix seconds.
    Column("taken_to", Float, nullable=False),
)
_OF = _turns.c.endpoint == bindparam("of")
_NOW = bindparam("now", type_=Float)
_TAKE = (
    update(_turns)
    .where(_OF)
    .values(
        taken_to=case((_turns.c.taken_to > _NOW, _turns.c.taken_to), else_=_NOW) + bindparam("seconds", type_=Float)
    )
)
_TAKEN_TO = select(_turns.c.taken_to).where(_OF)


class Turns:
    """Pieces of endpoints' time in a SQL database that all replicas share. Raises Unavailable where it does not answer."""

    def __init__(self, url: str, clock: Callable[[], float] = time) -> None:
        """Opens nothing yet."""
        self._engine, self._clock, self._is_made = open_engine(url, connections=1), clock, False

    async def take(self, endpoint: str, seconds: float) -> float:
        """A piece of so many seconds; in how many seconds it begins."""
        return await asyncio.to_thread(self.taken, endpoint, seconds)

    def taken(self, endpoint: str, seconds: float) -> float:
        """The same for who may wait."""
        of, now = hashlib.sha256(endpoint.encode()).hexdigest(), self._clock()
        with answering(self._engine, STORE):
            if not self._is_made:
                make_tables(self._engine, _metadata)
                self._is_made = True
            with self._engine.begin() as connection:
                insert_if_absent(connection, _turns, [{"endpoint": of, "taken_to": 0.0}])
                # The row is locked until the end: nobody else is handed the same piece.
                connection.execute(_TAKE, {"of": of, "now": now, "seconds": seconds})
                to = connection.execute(_TAKEN_TO, {"of": of}).scalar_one()
        return max(0.0, to - seconds - now)

    def close(self) -> None:
        self._engine.dispose()
