"""A run's records in the log, for whoever reads it without a group: nothing is moved or made."""

from collections.abc import Iterator

from concord.kit.log import Log, Record
from concord.kit.log.topics import FACTS, fact_partition

# Read at once: records that soon go away again keep the garbage collector from looking at all of them.
BATCH = 500


def records(log: Log, run_id: str, until: int | None = None) -> Iterator[Record]:
    """The run's records in order, below offset `until`; None: all that stand in the log now."""
    partition, offset, key = fact_partition(run_id), 0, run_id.encode()
    end = log.end(FACTS, partition) if until is None else until
    while offset < end:
        batch = log.read(FACTS, partition, offset, min(BATCH, end - offset))
        if not batch:
            return
        yield from (record for record in batch if record.key == key)
        offset = batch[-1].offset + 1
