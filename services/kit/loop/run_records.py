"""A run's records in the log, for whoever reads it without a group: nothing is moved or made."""

from collections.abc import Iterator, Sequence

from concord.kit.log import Log, Record
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.fold import last_folded
from concord.kit.store import Store

# Read at once: records that soon go away again keep the garbage collector from looking at all of them.
BATCH = 500


def places(log: Log, store: Store, service: str, run_id: str) -> list[tuple[int, int]]:
    """[begin, end) of the parts of the run's partition in which its facts lie: from its first to its last folded one, and what is
    not folded yet. All of the partition where the store does not know."""
    partition = fact_partition(run_id)
    folded = store.position(service, partition).next_offset
    rows, end = store.rows(service, run_id, ["~first", "~folded"]), log.end(FACTS, partition)
    if not {"~first", "~folded"} <= rows.keys():
        return [(0, end)]
    first, (last, corrupt) = int.from_bytes(rows["~first"]), last_folded(rows["~folded"])
    return [(first, end)] if corrupt or last + 1 >= folded else [(first, last + 1), (folded, end)]


def records_at(log: Log, run_id: str, parts: Sequence[tuple[int, int]]) -> Iterator[Record]:
    """The run's records in these parts of its partition."""
    for begin, end in parts:
        yield from records(log, run_id, end, begin)


def records(log: Log, run_id: str, until: int | None = None, begin: int = 0) -> Iterator[Record]:
    """The run's records in order, below offset `until`; None: all that stand in the log now."""
    partition, offset, key = fact_partition(run_id), begin, run_id.encode()
    end = log.end(FACTS, partition) if until is None else until
    while offset < end:
        batch = log.read(FACTS, partition, offset, min(BATCH, end - offset))
        if not batch:
            return
        yield from (record for record in batch if record.key == key)
        offset = batch[-1].offset + 1
