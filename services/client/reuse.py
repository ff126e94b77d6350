"""People's answers of an earlier run, so that nobody is asked the same thing twice. Pure."""
from collections.abc import Callable, Mapping, Sequence

from concord.v1.events_pb2 import Event, TaskOutcome
from concord.v1.pairs_pb2 import Choice, PairShard
from services.client.drive import Answerer
from services.preference.pairs import Row, pair_hash

# pair hash → what people said of it.
Reused = Mapping[str, "Choice.ValueType"]
SAID = (TaskOutcome.TASK_OUTCOME_DECIDED, TaskOutcome.TASK_OUTCOME_TIE)


def answers_in(events: Sequence[Event], read: Callable[[str], bytes]) -> Reused:
    """What people decided in the run with these facts; the pair's content names it, not its place."""
    resolved = [e.task_resolved for e in events if e.WhichOneof("kind") == "task_resolved"]
    said = {task.pair_index: task.choice for task in resolved if task.outcome in SAID}
    out: dict[str, Choice.ValueType] = {}
    shards = [shard for event in events for shard in event.pairs_added.shards]
    for ref in shards:
        inside = [index for index in said if ref.first_index <= index < ref.first_index + ref.pairs]
        shard = PairShard.FromString(read(ref.uri)) if inside else PairShard()
        out |= {pair_hash(shard.pairs[index - ref.first_index]): said[index] for index in inside}
    return out


def with_reused(reused: Reused, rows: Sequence[Row], ask: Answerer) -> Answerer:
    """People who first look up what was said already."""
    hashes = [pair_hash(row.pair) for row in rows] if reused else []

    def answer(index: int, vote: int) -> "Choice.ValueType | None":
        known = reused.get(hashes[index]) if hashes else None
        return known if known is not None else ask(index, vote)

    return answer
