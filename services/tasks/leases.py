"""What a table of leases holds and promises; `slots.py` keeps it, and the tests have one in memory. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from concord.tasks.queue import TasksState

# An answer that is not folded after so long is appended again.
SAY_AGAIN_S = 5.0


@dataclass(frozen=True)
class Slot:
    """One vote of one task, held by one annotator."""

    task_id: str
    run_id: str
    number: int
    pair_index: int
    vote: int
    annotator: str
    lease_until: float
    handed_at: float
    revision: int
    submitted: bool
    # The event that says the answer, as it was stored; empty where there is none, or the table was lost since.
    said: bytes = b""


@dataclass(frozen=True)
class Open:
    """An offered task, with who answered it and who holds a live lease on it."""

    task_id: str
    number: int
    pair_index: int
    quorum: int
    answered_by: tuple[str, ...]
    leased_by: tuple[str, ...]


@dataclass(frozen=True)
class Want:
    """Somebody who asks for up to `most` tasks of a run (empty: of any); `of`: of these alone (empty: of all)."""

    annotator: str
    run_id: str
    most: int = 1
    of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far everybody is in a run."""

    offered: int
    # Offered tasks that are full.
    full: int
    # Annotator → tasks of the run that it answered or skipped.
    answered: Mapping[str, int]
    # Annotator → offered tasks that are not full and that it answered; and full ones that it holds.
    gave: Mapping[str, int]
    holds: Mapping[str, int]

    def of(self, annotator: str) -> tuple[int, int]:
        """As `Slots.of_annotator`."""
        left = self.offered - self.full - self.gave.get(annotator, 0) + self.holds.get(annotator, 0)
        return self.answered.get(annotator, 0), left


@dataclass(frozen=True)
class Round:
    """A run's open round: all its votes, and those that nobody has given or holds."""

    run_id: str
    votes: int
    left: int
    opened_at: float


def most_waiting(rounds: Iterable[Round]) -> list[str]:
    """The runs in the order in which somebody who answers for any of them is asked: the one of whose round the largest share is
    still to do first, so that a large run does not hold up a small one, nor the other way round."""
    in_order = sorted(rounds, key=lambda one: (-one.left / max(1, one.votes), one.opened_at, one.run_id))
    return [one.run_id for one in in_order]


# Votes from this one on are on tasks that were settled when they were given.
GOLD_VOTE = 1_000
# An answer on its way into the table: the slot, the answer's revision, and the event that says it.
Given = tuple[Slot, int, bytes]


class Slots(Protocol):
    """What the table of leases promises. Thread-safe; several replicas may share it."""

    def lease(
        self, annotator: str, run_id: str, now: float, lease_s: float, most: int = 1, of: Sequence[str] = ()
    ) -> list[Slot]:
        """The annotator's live leases, then new ones on the most useful tasks with a free slot that it never held; of any run, the
        runs as `most_waiting` has them.

        `of`: of these tasks alone; empty: of any.
        """

    def lease_together(self, wants: Sequence[Want], now: float, lease_s: float) -> list[list[Slot]]:
        """What `lease` would give to each of them, in turn."""

    def held(self, task_ids: Sequence[str], annotator: str) -> dict[str, Slot]:
        """By task: the slots that this annotator holds, whether their leases have run out or not."""

    def held_by(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], Slot]:
        """The same by (task, annotator), of many annotators at once."""

    def submit(self, answers: Sequence[Given], now: float) -> list[bool]:
        """Stores the answers; says of each whether it stands there now, or its slot went to somebody else or is answered anew."""

    def return_(self, task_ids: Sequence[str], annotator: str, run_id: str = "") -> None:
        """Gives leases back that hold no answer; an empty run means any."""

    def gold(self, annotator: str, run_id: str, task_ids: Sequence[str], now: float, lease_s: float) -> Slot | None:
        """The annotator's live lease on a settled task, else one on the first of these that it never had; None: it had them all."""

    def extend(self, task_ids: Sequence[str], annotator: str, run_id: str, now: float, until: float) -> list[str]:
        """Lets live leases without an answer last until then; those that this annotator holds. An empty run means any."""

    def of_annotator(self, run_id: str, annotator: str, now: float) -> tuple[int, int]:
        """(tasks of the run that this annotator answered or skipped, open ones that it may still answer now)."""

    def progress(self, run_id: str, now: float) -> Progress:
        """How far everybody is in the run."""

    def open(self, run_id: str, now: float, after: int, most: int) -> list[Open]:
        """The run's offered tasks with a number above `after`, in their order."""

    def unsaid(self, now: float) -> Sequence[tuple[str, bytes]]:
        """(run, event) of answers that are not folded though they were given a while ago."""

    def project(self, connection: Any, changes: Sequence[tuple[str, frozenset[str], TasksState | None]]) -> None:
        """Brings the offered tasks in line with what was folded; called inside the store's transaction."""

    def counts(self, run_id: str, now: float) -> tuple[int, int]:
        """(offered tasks, live leases) of a run."""
