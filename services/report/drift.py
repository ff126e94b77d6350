"""What can be seen of a judge in its shards' facts, as shares that should hardly change from shard to shard. PURE."""

from collections.abc import Sequence

from concord.preference import checked
from concord.preference.judges import networked_judges
from concord.report.changepoints import Signal
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, ShardLabeled
from concord.v1.pairs_pb2 import Choice

UNUSABLE = "pairs without a usable verdict"
UNPARSED = "answers without a verdict"
FLIPPED = "verdicts that change with the order"
FIRST = "verdicts for the first response"
LONGER = "verdicts for the longer response"
SURE = "mean confidence"
DISPUTED = "verdicts that a check proves wrong"
ONE, OTHER = Choice.CHOICE_FIRST, Choice.CHOICE_SECOND


def signals(events: Sequence[Event], config: RunConfig) -> list[Signal]:
    """One signal for each thing that can be seen, over the ShardLabeled facts in the order given."""
    counted = [_counts(event.shard_labeled) | _asked_again(event, config) for event in events]
    names = dict.fromkeys(name for counts in counted for name in counts)
    empty = (0.0, 0.0)
    return [Signal(n, *(tuple(c.get(n, empty)[side] for c in counted) for side in (0, 1))) for n in names]


def _counts(said: ShardLabeled) -> dict[str, tuple[float, float]]:
    """Name → (hits, of how many)."""
    asked = checked.judged(said)
    choices = [(checked.told(said.choice, at, Choice.CHOICE_UNSPECIFIED), at) for at in asked]
    usable = [(choice, at) for choice, at in choices if choice in (ONE, OTHER)]
    lengths = [(choice, checked.told(said.length_difference, at, 0.0)) for choice, at in usable]
    unequal = [(choice, length) for choice, length in lengths if length]
    flips = [flip for flip in said.order_flipped if flip >= 0]
    # 0 stands for no verdict, which has a signal of its own.
    sure = [one for _, at in usable if (one := checked.told(said.confidence, at, -1.0)) >= 0]
    found = [(choice, checked.told(said.verified, at, checked.NOT_CHECKED)) for choice, at in usable]
    proved = [(choice, right) for choice, right in found if right in (checked.FIRST, checked.SECOND)]
    return {
        UNUSABLE: (len(asked) - len(usable), len(asked)),
        FLIPPED: (sum(flips), len(flips)),
        FIRST: (sum(choice == ONE for choice, _ in usable), len(usable)),
        LONGER: (sum((choice == ONE) == (length > 0) for choice, length in unequal), len(unequal)),
        SURE: (sum(sure), len(sure)),
        DISPUTED: (sum((choice == ONE) != (right == 1) for choice, right in proved), len(proved)),
    }


def _asked_again(event: Event, config: RunConfig) -> dict[str, tuple[float, float]]:
    """Answers beyond one for each verdict that was wanted: those before them held none, or the endpoint was in trouble."""
    judges = networked_judges(config)
    if not judges:
        return {}
    wanted = len(checked.judged(event.shard_labeled)) * sum(2 if judge.both_orders else 1 for judge in judges)
    answers = event.usage.calls + event.usage.cached_calls
    return {UNPARSED: (min(wanted, max(0, answers - wanted)), wanted)}
