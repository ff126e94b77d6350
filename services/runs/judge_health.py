"""A judge that stops giving usable verdicts while it labels: what stops the run, and which shards are judged anew. PURE.

The pilot's gate sees the judge before the cost; this sees it at every shard. Nothing is lost by a false alarm but time: a
caller who finds the judge in order lets the run go on.
"""

from collections.abc import Mapping
from heapq import nlargest

from concord.v1.events_pb2 import Event
from concord.v1.pairs_pb2 import Choice

# So many pairs are looked at, those of the last shards: they go out in order, so a judge that broke is silent there.
LOOKED_AT = 200
# Fewer say too little.
LEAST = 100
# A larger share of them without a verdict stops the run; a judge that is silent on one pair of five comes to it by chance
# once in ten million looks. Not a half: where many shards are under way, the silence is spread over all of them.
MOST = 1 / 3
# Where more than this share of a shard is silent, it is judged anew: also the shard in the middle of which the judge broke.
ANEW = 0.1


def why(settled: Mapping[int, Event]) -> str:
    """Why the judge's silence stops the run, in words; empty where it does not. `settled`: shard → its fact."""
    seen = silent = 0
    for number in nlargest(LOOKED_AT, settled):
        seen += len(settled[number].shard_labeled.choice)
        silent += _silent(settled[number])
        if seen >= LOOKED_AT:
            break
    if seen < LEAST or silent <= MOST * seen:
        return ""
    return (
        f"the judge gave no usable verdict on {silent} of the last {seen} pairs. Mend it and have those pairs judged anew "
        "(RetryStage; --resume), or go on without their verdicts (ResumeRun; --resume --accept-judge)"
    )


def to_judge_anew(settled: Mapping[int, Event]) -> list[int]:
    """The shards that a mended judge should see again."""
    return [n for n, event in settled.items() if _silent(event) > ANEW * len(event.shard_labeled.choice)]


def _silent(event: Event) -> int:
    """Pairs of the shard without a usable verdict."""
    return sum(choice == Choice.CHOICE_UNSPECIFIED for choice in event.shard_labeled.choice)
