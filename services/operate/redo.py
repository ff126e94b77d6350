"""A run held against itself: its store compared with its log, a unit done once more and compared with its fact."""

from collections.abc import Callable, Mapping

from google.protobuf.json_format import MessageToDict

from concord.kit.errors import InvalidInput
from concord.kit.ids import unit_name
from concord.kit.log import Log
from concord.kit.loop.fold import restore_run
from concord.kit.loop.run_records import records
from concord.kit.store import Store
from concord.operate import run_log
from concord.preference.stages import HUMAN
from concord.runs import service as runs
from concord.v1.events_pb2 import Event, Unit
from concord.v1.work_pb2 import Work


def store_differences(log: Log, store: Store, run_id: str, until: str = "") -> list[str]:
    """Where the live store's state differs from the log's up to where the store is, or to `--until`; none: they agree."""
    fold = runs.fold()
    stored = restore_run(fold, run_id, store.rows(runs.SERVICE, run_id))
    kept = records(log, run_id, None if until else stored.offset + 1)
    folded = run_log.fold_of(run_id, run_log.cut(kept, until))
    one, other = run_log.as_json(folded), run_log.as_json(stored)
    for counted_only_when_read in ("duplicates", "unknown"):
        one.pop(counted_only_when_read), other.pop(counted_only_when_read)
    return list(run_log.differences(one, other))


def behind(log: Log, store: Store, run_id: str) -> int:
    """So many of the run's facts stand in the log that the store does not hold yet."""
    offset = restore_run(runs.fold(), run_id, store.rows(runs.SERVICE, run_id)).offset
    return sum(record.offset > offset for record in records(log, run_id))


def unit_again(log: Log, run_id: str, unit: Unit, do: Callable[[Work], Event]) -> tuple[list[str], Event, Event]:
    """Does the unit again from its record, with the answers that were kept: where it differs, its fact, and the new one.

    `do` gives a unit's fact without its names, by what does it in its service.
    """
    if unit.stage in HUMAN:
        raise InvalidInput(
            f"unit {unit_name(unit)} was done by people, and people cannot be asked again by a program; `--events` shows what "
            "they said"
        )
    item, said = run_log.work_of(log, run_id, unit)
    again = do(item)
    if again.HasField("shard_labeled") and not said.shard_labeled.HasField("for_shown_first"):
        # A version before this column counted nothing.
        again.shard_labeled.ClearField("for_shown_first")
    if again.HasField("shard_labeled") and not said.shard_labeled.p_tokens:
        # The same, or the endpoint gave no odds then.
        again.shard_labeled.ClearField("p_tokens")
    return list(run_log.differences(_plain(said), _plain(again), names=("its fact", "done again"))), said, again


def _plain(event: Event) -> Mapping[str, object]:
    """The fact without its names and what it cost."""
    kept = Event()
    kept.CopyFrom(event)
    for field in ("event_id", "run_id", "unit", "usage"):
        kept.ClearField(field)
    return MessageToDict(kept, preserving_proto_field_name=True)
