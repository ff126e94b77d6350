"""Whether the store has come to where the log ended when this process began; until then nobody is given a question, and no answer
is taken in.

After a power cut the last transactions of a database may be gone, and with them who holds which vote. The log still has every
answer, but until it is folded again the table of leases calls such a vote free: given to somebody else, it would be answered
twice, and one of two people would have worked for nothing.
"""

from concord.kit.log import Log
from concord.kit.log.topics import FACTS
from concord.kit.store import Store


class CaughtUp:
    """Asked before leases are given and answers taken; once it has said yes it looks no more."""

    def __init__(self, log: Log, store: Store, service: str) -> None:
        self._log, self._store, self._service = log, store, service
        # Partition → the offset to come to; None: nobody has asked yet.
        self._goals: dict[int, int] | None = None

    def __call__(self) -> bool:
        """Raises Unavailable where log or store does not answer."""
        if self._goals is None:
            self._goals = {at: self._log.end(FACTS, at) for at in range(self._log.partitions(FACTS))}
        if self._goals:
            folded = self._store.positions(self._service)
            self._goals = {at: goal for at, goal in self._goals.items() if folded.get(at, 0) < goal}
        return not self._goals
