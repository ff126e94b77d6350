"""The store as a database keeps it: after the power of its machine failed, what was
written until some moment stands there, and nothing after it.

That is all that is ever lost of SQLite (whose journal is synchronised at its checkpoints alone, `synchronous=NORMAL`) and of a
PostgreSQL whose standby took over. Neither shows half a row or half a transaction: their journals have checksums, and what was
torn is dropped with all that follows. A process that is killed loses nothing that it committed: that is `crash before` and
`crash after` of a call.
"""

from dataclasses import dataclass

from concord.kit.store import Position
from concord.kit.store.memory import MemoryStore


@dataclass(frozen=True)
class KeptStore:
    """A moment of a store."""

    positions: dict[tuple[str, int], Position]
    rows: dict[tuple[str, str], dict[str, bytes]]
    runs: dict[tuple[str, str], tuple[int, bool]]


class DurableStore(MemoryStore):
    """The store in memory, with moments that can be put back."""

    def kept(self) -> KeptStore:
        """This moment."""
        return KeptStore(dict(self._positions), {run: dict(rows) for run, rows in self._rows.items()}, dict(self._runs))

    def put_back(self, kept: KeptStore) -> None:
        """What came after that moment was never written."""
        self._positions, self._runs = dict(kept.positions), dict(kept.runs)
        self._rows = {run: dict(rows) for run, rows in kept.rows.items()}
