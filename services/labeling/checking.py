"""Checks before the judge: which pairs of a shard they settle, and what stands in its fact of those. Pure."""

from collections.abc import Mapping, Sequence

from concord.checks.decision import Preferred
from concord.checks.finding import Equal, untold
from concord.checks.pairs import Checked, checked
from concord.labeling.verdict_columns import length_difference
from concord.preference.checked import NOT_CHECKED
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb

# (index in the run, pair)
Indexed = Sequence[tuple[int, pb.Pair]]
# What checks say of each pair; None: of this one nothing, or of all nothing.
Tried = Sequence[Checked | None] | None
_CHOICES = {
    Preferred.FIRST: (pb.CHOICE_FIRST, 1.0),
    Preferred.SECOND: (pb.CHOICE_SECOND, 0.0),
    Preferred.NEITHER: (pb.CHOICE_UNSPECIFIED, 0.5),
}
_NOTHING = _CHOICES[Preferred.NEITHER]
# What the columns that only judges fill say of a pair that none of them saw: each as where nothing was said.
_UNSAID: Mapping[str, float] = {
    "confidence": -1,
    "order_flipped": -1,
    "own_disagree": -1,
    "p_tokens": -1,
    "rubric_first": 0,
    "rubric_second": 0,
}
_OF_JUDGES = {"helpers": "disagree", "signals": "against"}


def tried(pairs: Indexed, equal: Equal = untold) -> Tried:
    """What checks say of the pairs; None where none of them brings anything to check against.

    `equal` computes with formulas; without it what needs computing is the judge's.
    """
    if not any(pair.HasField("known") for _, pair in pairs):
        return None
    return [checked(pair, equal) for _, pair in pairs]


def judged(pairs: Indexed, said: Tried) -> Indexed:
    """The pairs that the judges are asked about."""
    return [pairs[at] for at in _open(pairs, said)]


def with_checks(fact: ev.ShardLabeled, pairs: Indexed, said: Tried) -> ev.ShardLabeled:
    """The fact of all the pairs, from that of those which the judges saw; as it is where nothing was checked."""
    if said is None or not any(said):
        return fact
    open_ = _open(pairs, said)
    whole = ev.ShardLabeled()
    whole.CopyFrom(fact)
    chosen = [_CHOICES.get(one.preferred, _NOTHING) if one else _NOTHING for one in said]
    whole.pair_index[:] = [index for index, _ in pairs]
    whole.length_difference[:] = [length_difference(pair) for _, pair in pairs]
    whole.verified[:] = [one.verified if one else NOT_CHECKED for one in said]
    _fill(whole.choice, fact.choice, open_, [choice for choice, _ in chosen])
    _fill(whole.p_first, fact.p_first, open_, [p_first for _, p_first in chosen])
    for name, unsaid in _UNSAID.items():
        # A column that nobody filled stays empty, one that is always there does not.
        if getattr(fact, name) or (not open_ and name in ("confidence", "order_flipped", "own_disagree")):
            _fill(getattr(whole, name), getattr(fact, name), open_, [unsaid] * len(pairs))
    for name, column in _OF_JUDGES.items():
        for one in getattr(whole, name):
            _fill(getattr(one, column), list(getattr(one, column)), open_, [-1] * len(pairs))
    whole.checked.extend(
        ev.Checked(pair_index=index, kind=one.kind, decided=one.decided, why=one.why)
        for (index, _), one in zip(pairs, said, strict=True)
        if one
    )
    return whole


def beside(fact: ev.ShardLabeled, said: Tried) -> ev.ShardLabeled:
    """The fact of pairs that judges saw all of, with how their answers came out: what checks know decides none of its labels."""
    if said is not None:
        fact.verified[:] = [one.verified if one else NOT_CHECKED for one in said]
    return fact


def _open(pairs: Indexed, said: Tried) -> list[int]:
    """Places of the pairs that are not settled."""
    return [at for at, one in enumerate(said or [None] * len(pairs)) if one is None or not one.settled]


def _fill(column: object, judges: Sequence, open_: Sequence[int], rest: list) -> None:
    """Writes into a column of all pairs what judges said of those that they saw, and the rest of the others."""
    held = list(rest)
    for at, value in zip(open_, list(judges), strict=True):
        held[at] = value
    column[:] = held  # type: ignore[index]
