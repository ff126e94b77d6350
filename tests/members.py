"""Members of one group on a real broker: records for them, and polling until each has its share."""

from concord.kit.log import Entry
from concord.kit.log.topics import TRIAGE

ALL = frozenset(range(TRIAGE.partitions))


def entry(value: bytes, partition: int = 0, topic=TRIAGE) -> Entry:
    return Entry(topic, partition, b"run", value)


def rows(count: int) -> list[Entry]:
    """`count` entries in each partition."""
    return [entry(b"%d" % n, partition) for n in range(count) for partition in sorted(ALL)]


def settle(members, reached, found=()) -> list:
    """Polls all members in turn until `reached()`; returns `found` and what they handed out, as (member, record)."""
    found = list(found)
    for _ in range(400):
        if reached():
            return found
        for member in members:
            found += [(member, record) for record in member.poll(0.05, 1000)]
    raise AssertionError(f"not reached; the members own {[sorted(m.assignment()) for m in members]}")


def collect(members, count: int, found=()) -> list:
    """Polls all members in turn until with `found` they handed out `count` records; fails where more come."""
    found = list(found)
    for _ in range(400):
        if len(found) >= count:
            break
        found = [*found, *((member, record) for member in members for record in member.poll(0.05, 1000))]
    assert len(found) == count
    return found


def share(*members) -> list:
    """Polls until each member owns its equal part; returns what they handed out."""
    return settle(members, lambda: all(len(m.assignment()) == len(ALL) // len(members) for m in members))


def places(found) -> set[tuple[int, int]]:
    return {(record.partition, record.offset) for _, record in found}
