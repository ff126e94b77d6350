"""A unit's tries, in markers that outlive the process: `begun/<work id>.<n>`, then `ended/<work id>.<n>` and how.

A try that began and never ended is a death of its process, or is still going on elsewhere. A unit that is done needs no
end: its result's own marker is asked for first. How often a process died in a unit is a suspicion, and to lose a try is
to try once more; so notes are enough.
"""

from dataclasses import dataclass

from concord.kit.blobs import Blobs

RAISED, DEFERRED, STOPPED = b"raised", b"deferred", b"stopped"
ALONE, TOGETHER = b"alone", b"together"


@dataclass(frozen=True)
class Try:
    """One try; `end` is None where nobody wrote how it ended."""

    alone: bool
    end: bytes | None


def tries(blobs: Blobs, work_id: str) -> list[Try]:
    """All tries of the work item so far, in order."""
    found: list[Try] = []
    while (begun := blobs.marker(f"begun/{work_id}.{len(found) + 1}")) is not None:
        found.append(Try(begun == ALONE, blobs.marker(f"ended/{work_id}.{len(found) + 1}")))
    return found


def begin(blobs: Blobs, work_id: str, number: int, alone: bool) -> None:
    """Writes that try `number`, one more than there are, begins."""
    blobs.note(f"begun/{work_id}.{number}", ALONE if alone else TOGETHER)


def end(blobs: Blobs, work_id: str, number: int, how: bytes) -> int:
    """Writes how the try ended, once; returns how many tries up to this one ended so."""
    blobs.note(f"ended/{work_id}.{number}", how)
    return sum(past.end == how for past in tries(blobs, work_id)[:number])


def deaths(past: list[Try], alone_only: bool) -> int:
    """How often a process died with the unit in it: in any company, or while the unit ran alone."""
    return sum(one.end is None and (one.alone or not alone_only) for one in past)
