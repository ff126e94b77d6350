"""A unit's attempts, in markers that outlive the process: `begun/<work id>.<n>`, then `ended/<work id>.<n>` and how.

An attempt that began and never ended is a death of its process, or is still going on elsewhere. A unit that is done needs no
end: its result's own marker is asked for first. How often a process died in a unit is a suspicion, and to lose an attempt is
to try once more; so notes are enough.
"""

from dataclasses import dataclass

from concord.kit.blobs import Blobs

RAISED, DEFERRED, STOPPED = b"raised", b"deferred", b"stopped"
ALONE, TOGETHER = b"alone", b"together"


@dataclass(frozen=True)
class Attempt:
    """One attempt; `end` is None where nobody wrote how it ended."""

    alone: bool
    end: bytes | None


def past(blobs: Blobs, work_id: str) -> list[Attempt]:
    """All attempts at the work item so far, in order."""
    found: list[Attempt] = []
    while (begun := blobs.marker(f"begun/{work_id}.{len(found) + 1}")) is not None:
        found.append(Attempt(begun == ALONE, blobs.marker(f"ended/{work_id}.{len(found) + 1}")))
    return found


def begin(blobs: Blobs, work_id: str, number: int, alone: bool) -> None:
    """Writes that attempt `number`, one more than there are, begins."""
    blobs.note(f"begun/{work_id}.{number}", ALONE if alone else TOGETHER)


def end(blobs: Blobs, work_id: str, number: int, how: bytes) -> int:
    """Writes how the attempt ended, once; returns how many attempts up to this one ended so."""
    blobs.note(f"ended/{work_id}.{number}", how)
    return sum(one.end == how for one in past(blobs, work_id)[:number])


def deaths(before: list[Attempt], alone_only: bool) -> int:
    """How often a process died with the unit in it: in any company, or while the unit ran alone."""
    return sum(one.end is None and (one.alone or not alone_only) for one in before)
