"""The topics: names, partitions, retention, and where a message goes. The table of the architecture, as values."""

from dataclasses import dataclass
from zlib import crc32

DAY_S = 86_400


@dataclass(frozen=True)
class Topic:
    """One topic; `retention_s` None means for ever. Partitions of `facts` never change, those of work may grow."""

    name: str
    # Those that it is made with, and the fewest that it may have.
    partitions: int
    retention_s: int | None
    # Whose work stands in it.
    group: str = ""


# Work is kept no longer than Kafka keeps an idle group's offsets (7 days, offsets.retention.minutes): a group that comes back
# after these were forgotten begins at the front, and finds nothing there that it has done.
FACTS = Topic("concord.facts.v1", 24, None)
LABEL = Topic("concord.work.label.v1", 48, 7 * DAY_S, "labeling")
SCORE = Topic("concord.work.score.v1", 24, 7 * DAY_S, "scoring")
TRIAGE = Topic("concord.work.triage.v1", 8, 7 * DAY_S, "triage")
TRAIN = Topic("concord.work.train.v1", 16, 7 * DAY_S, "training")
DEAD_LETTERS = Topic("concord.dead-letters.v1", 6, 90 * DAY_S)

ALL = (FACTS, LABEL, SCORE, TRIAGE, TRAIN, DEAD_LETTERS)


def fact_partition(run_id: str) -> int:
    """All facts of a run lie in one partition, so a run has one total order."""
    return crc32(run_id.encode()) % FACTS.partitions


def work_place(run_id: str, stage: int, round_: int, number: int) -> int:
    """Where a unit's work goes, modulo the topic's partitions: units spread evenly, and several runs do not pile up on the low
    ones."""
    return crc32(f"{run_id}/{stage}/{round_}".encode()) + number
