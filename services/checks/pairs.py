"""A pair as it travels, checked: its reference read, its prompt routed, both answers looked at and compared. Pure."""

import json
from dataclasses import dataclass

from concord.checks.decision import Preferred, compare
from concord.checks.finding import Constraint, Equal, Finding, Kind, Outcome, Reference, untold
from concord.checks.kinds import check
from concord.checks.router import Route, route
from concord.checks.steps import wrong_steps
from concord.preference.checked import BOTH, FIRST, NEITHER, NOT_CHECKED, SECOND
from concord.v1 import pairs_pb2 as pb

# Characters: it stands in a fact, once for each pair that was checked.
MOST_WHY = 120


@dataclass(frozen=True)
class Checked:
    """What checks say of one pair."""

    kind: Kind
    verified: int  # a value of `preference/checked.py`: which of the two are right
    preferred: Preferred
    why: str

    @property
    def decided(self) -> bool:
        """Whether this is the label."""
        return self.preferred in (Preferred.FIRST, Preferred.SECOND)

    @property
    def settled(self) -> bool:
        """Whether no judge needs to be asked: decided, or both wrong, which is no preference."""
        return self.preferred is not Preferred.OPEN


def checked(pair: pb.Pair, equal: Equal = untold) -> Checked | None:
    """What checks say of the pair; None where it brings nothing to check against, or nothing that a rule can check by."""
    way = route_of(pair)
    if way is None or not way.checkable:
        return None
    prompt = asked_in(pair)
    first, second = (check(way.kind, prompt, answer.text, way.reference, equal) for answer in (pair.first, pair.second))
    texts = (pair.first.text, pair.second.text)
    found = compare(first, second, *texts, wrong_steps)
    return Checked(way.kind, _verified(first, second), found.preferred, found.why[:MOST_WHY])


def route_of(pair: pb.Pair) -> Route | None:
    """How the pair's answers are checked; None where it brings nothing to check against."""
    if not pair.HasField("known"):
        return None
    return route(asked_in(pair), reference_of(pair.known), pair.known.kind)


def asked_in(pair: pb.Pair) -> str:
    """The text of the last turn: what the answers answer."""
    return pair.prompt[-1].content if pair.prompt else ""


def reference_of(known: pb.Reference) -> Reference:
    """The reference as checks read it; what is no JSON where JSON is due is left out."""
    demands = [(one.name, _object(one.settings or "{}")) for one in known.constraints]
    return Reference(
        answers=tuple(known.answers),
        choices=tuple(known.choices),
        # All or none: an answer that keeps some of the demands is not right.
        constraints=tuple(Constraint(name, settings or {}) for name, settings in demands)
        if all(settings is not None for _, settings in demands)
        else (),
        schema=_object(known.schema),
        ordered=known.ordered,
    )


def _object(text: str) -> dict | None:
    try:
        held = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def _verified(first: Finding, second: Finding) -> int:
    outcomes = (first.outcome, second.outcome)
    if Outcome.UNKNOWN in outcomes:
        return NOT_CHECKED
    right = {
        (Outcome.RIGHT, Outcome.RIGHT): BOTH,
        (Outcome.RIGHT, Outcome.WRONG): FIRST,
        (Outcome.WRONG, Outcome.RIGHT): SECOND,
    }
    return right.get(outcomes, NEITHER)
