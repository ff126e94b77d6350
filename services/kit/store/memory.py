"""A store in dictionaries: for the simulation and for tests."""

from collections.abc import Sequence
from threading import Lock

from concord.kit.errors import Fenced
from concord.kit.store import Also, Position, RunChange


class MemoryStore:
    """A store in dictionaries: for the simulation and for tests."""

    def __init__(self) -> None:
        self._positions: dict[tuple[str, int], Position] = {}
        self._rows: dict[tuple[str, str], dict[str, bytes]] = {}
        self._runs: dict[tuple[str, str], tuple[int, bool]] = {}
        self._alone: dict[str, Lock] = {}

    def alone(self, name: str) -> Lock:
        return self._alone.setdefault(name, Lock())

    def position(self, service: str, partition: int) -> Position:
        return self._positions.get((service, partition), Position())

    def positions(self, service: str) -> dict[int, int]:
        return {at: position.next_offset for (owner, at), position in self._positions.items() if owner == service}

    def passed(self, service: str, partition: int, offset: int, wait_s: float) -> bool:
        return self.position(service, partition).next_offset > offset

    def save(
        self,
        service: str,
        partition: int,
        read: Position,
        to: Position,
        changes: Sequence[RunChange],
        also: Also | None,
    ) -> None:
        if self.position(service, partition) != read:
            raise Fenced(
                f"{service}, partition {partition}: another replica has moved on from offset {read.next_offset}"
            )
        # First what may raise: all of it happens, or nothing.
        if also:
            also(None)
        self._positions[service, partition] = to
        for change in changes:
            self._runs[service, change.run_id] = (partition, change.active)
            rows = self._rows.setdefault((service, change.run_id), {})
            rows.update({name: value for name, value in change.rows.items() if value is not None})
            for name in [name for name, value in change.rows.items() if value is None]:
                rows.pop(name, None)

    def discard(self, service: str, partition: int, also: Also | None) -> None:
        for run_id in self.runs(service, partition):
            del self._runs[service, run_id]
            self._rows.pop((service, run_id), None)
        self._positions.pop((service, partition), None)
        if also:
            also(None)

    def rows(self, service: str, run_id: str, only: Sequence[str] = ()) -> dict[str, bytes]:
        rows = self._rows.get((service, run_id), {})
        return {name: rows[name] for name in only or rows if name in rows}

    def rows_of(self, service: str, run_ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, bytes]]:
        found = {run_id: self.rows(service, run_id, names) for run_id in run_ids}
        return {run_id: rows for run_id, rows in found.items() if rows}

    def runs(self, service: str, partition: int | None = None, active_only: bool = False) -> list[str]:
        return [
            run_id
            for (owner, run_id), (at, active) in self._runs.items()
            if owner == service and partition in (None, at) and (active or not active_only)
        ]
