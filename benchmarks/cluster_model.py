"""A simulation, no measurement: the LABEL stage of one run on more replicas than this machine has room for. Pure.

Assumed: every call takes the same time and the judge has room for all; each replica has a machine of its own, so that no
processor binds; partitions are shared evenly and units are numbered through; a unit's fact comes back as the next unit's
work after `reaction_s`; Kafka, PostgreSQL and the blobs take whatever comes.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """What is to be judged and how; times in seconds."""

    units: int
    calls: int  # of each unit
    window: int  # units of the run that are out at once
    call_s: float
    reaction_s: float
    in_flight: int  # calls in each replica
    at_once: int  # units in each replica
    partitions: int = 48


@dataclass
class _Replica:
    waiting: deque[int] = field(default_factory=deque)
    unasked: deque[int] = field(default_factory=deque)  # a unit's number for each call not yet made
    running: int = 0
    calls: int = 0


def stage_s(stage: Stage, replicas: int) -> float:
    """How long the stage takes on so many replicas."""
    at = [_Replica() for _ in range(replicas)]
    left = [stage.calls] * stage.units
    events: list[tuple[float, str, int]] = [(0.0, "issue", unit) for unit in range(min(stage.window, stage.units))]
    issued, now = len(events), 0.0
    while events:
        now, kind, unit = heapq.heappop(events)
        # Shares are runs of neighbouring partitions, as a group that grew holds them at worst.
        one = at[unit % stage.partitions * replicas // stage.partitions]
        if kind == "issue":
            one.waiting.append(unit)
        else:
            one.calls -= 1
            left[unit] -= 1
            if left[unit] == 0:
                one.running -= 1
                if issued < stage.units:
                    heapq.heappush(events, (now + stage.reaction_s, "issue", issued))
                    issued += 1
        while one.waiting and one.running < stage.at_once:
            one.unasked.extend([one.waiting.popleft()] * stage.calls)
            one.running += 1
        while one.unasked and one.calls < stage.in_flight:
            heapq.heappush(events, (now + stage.call_s, "call", one.unasked.popleft()))
            one.calls += 1
    return now


def speed_ups(stage: Stage, counts: tuple[int, ...]) -> dict[int, float]:
    """Replicas → how many times as fast as one."""
    alone = stage_s(stage, 1)
    return {count: alone / stage_s(stage, count) for count in counts}
