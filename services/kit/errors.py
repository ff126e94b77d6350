"""Everything that can go wrong, as one tree, each with the gRPC status that a caller sees.

ConcordError                INTERNAL             our own fault
├── InvalidInput            INVALID_ARGUMENT     the user's data, flags or settings; the message says what to do
├── NotFound                NOT_FOUND            no such run, task, blob
├── Denied                  PERMISSION_DENIED    who asks may not: another's run, another role, a link that holds no more
├── Refused                 FAILED_PRECONDITION  right form, wrong moment (pairs after the start, a closed task)
├── StandsStill             FAILED_PRECONDITION  a run waits for people; the message says why and how it goes on
├── Unavailable             UNAVAILABLE          a log, store or blob store does not answer; try again
├── Deferred                UNAVAILABLE          a worker's dependency is down; the unit is not lost
├── Permanent               FAILED_PRECONDITION  trying again cannot help (a refused key, an unknown model)
├── Late                    DEADLINE_EXCEEDED    the caller's time is over; what was done is kept
├── Corrupt                 DATA_LOSS            stored bytes are not what they were
└── Fenced                  ABORTED              another replica owns this now: stop
"""

from typing import Any

import grpc


class ConcordError(Exception):
    """Base of all errors that Concord raises on purpose."""

    status = grpc.StatusCode.INTERNAL
    # A unit's concord.v1 Usage up to the error, where something was spent.
    usage: Any = None


class InvalidInput(ConcordError):
    """The user's data, flags or settings; the message names file, line or setting and what to do."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(ConcordError):
    """No such run, task or blob."""

    status = grpc.StatusCode.NOT_FOUND


class Denied(ConcordError):
    """Whoever asks may not; the message says why, and nothing of what lies behind."""

    status = grpc.StatusCode.PERMISSION_DENIED


class Refused(ConcordError):
    """The request is well formed but comes at the wrong moment."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class StandsStill(ConcordError):
    """A run that cannot go on without a person: a shut gate, spent money, missing answers. `run_id` names it."""

    status = grpc.StatusCode.FAILED_PRECONDITION

    def __init__(self, reason: str, run_id: str = "") -> None:
        super().__init__(reason)
        self.run_id = run_id


class Unavailable(ConcordError):
    """A log, store or blob store does not answer now."""

    status = grpc.StatusCode.UNAVAILABLE


class Deferred(ConcordError):
    """A worker's dependency is down; the unit is to be tried again after `retry_after_s` seconds."""

    status = grpc.StatusCode.UNAVAILABLE

    def __init__(self, reason: str, retry_after_s: float = 30.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Permanent(ConcordError):
    """Trying the unit again cannot help."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class Late(ConcordError):
    """The time that the caller gave is over."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED


class Corrupt(ConcordError):
    """Stored bytes are not what they were when they were stored."""

    status = grpc.StatusCode.DATA_LOSS


class Fenced(ConcordError):
    """Another replica owns what this one wanted to write."""

    status = grpc.StatusCode.ABORTED
