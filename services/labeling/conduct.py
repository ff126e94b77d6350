"""What the answers to prompts that are marked as harmful do, as columns of the shard's fact. Pure."""

from collections.abc import Sequence

from concord.redteam.classes import Class
from concord.redteam.classify import can_tell, classed
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

_CONDUCT = {
    Class.COMPLIANCE: pb.CONDUCT_COMPLIANCE,
    Class.PARTIAL: pb.CONDUCT_PARTIAL,
    Class.REFUSAL: pb.CONDUCT_REFUSAL,
}


def with_conduct(fact: ev.ShardLabeled, pairs: Sequence[tuple[int, pb.Pair]]) -> ev.ShardLabeled:
    """The fact with what both answers of each harmful pair do; as it is where none is. `pairs`: those of the fact, in its order."""
    if any(pair.harmful for _, pair in pairs):
        fact.conduct_first[:] = [_conduct(pair, pair.first) for _, pair in pairs]
        fact.conduct_second[:] = [_conduct(pair, pair.second) for _, pair in pairs]
    return fact


def _conduct(pair: pb.Pair, answer: pb.Response) -> pb.Conduct.ValueType:
    if not pair.harmful:
        return pb.CONDUCT_UNSPECIFIED
    if not can_tell(answer.text):
        return pb.CONDUCT_UNKNOWN
    prompt = pair.prompt[-1].content if pair.prompt else ""
    return _CONDUCT[classed(prompt, answer.text).answer]
