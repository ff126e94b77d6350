"""Whether a run may stop asking: a bound of the label error that holds at every look. Pure.

Who looks at an interval after each round and stops at the first good one stops too often: of 95 % intervals one in twenty is
wrong, and there are many. Here the 5 % are split over the planned looks, so that with 95 % probability no look at all has
its error above its bound.
"""

from concord.certificate.estimate import estimate
from concord.certificate.evidence import Evidence
from concord.certificate.people import corrected, people_error

# Fewer answers may all be right by chance, whatever the bound says.
LEAST_AUDITS_TO_STOP = 30


def bound_of_error(evidence: Evidence, looks: int, alpha: float = 0.05) -> float | None:
    """An upper bound of the share of wrong labels over all rows: P(it is below the truth at any of `looks` looks) <= alpha.

    Needs, at each look, the evidence in the answers so far: `triage.rounds.Round.evidence` of that round (None for methods
    that cannot tell a label from its own answer: they have no bound). `looks`: how many there will be at most, as the plan
    says before the first one: its rounds, and one for the last word. With questions that were asked again, people's own
    error is taken off, its uncertainty included; else the bound is of what differs from one person's answer. None while
    there are fewer than LEAST_AUDITS_TO_STOP audit answers.
    """
    # Both ends of an interval miss; of a bound one does.
    coverage = 1 - 2 * alpha / max(1, looks)
    found = estimate(evidence)
    if found is None or found.audits < LEAST_AUDITS_TO_STOP:
        return None
    people = people_error(evidence, coverage)
    if people is not None:
        return corrected(evidence, found, people, coverage).high
    return found.over_all(found.ends(coverage)[1])


def may_stop(evidence: Evidence, target_error: float, looks: int, alpha: float = 0.05) -> bool:
    """Whether the labels are good enough: the bound of this look is at most `target_error` (0: never stop)."""
    if target_error <= 0:
        return False
    bound = bound_of_error(evidence, looks, alpha)
    return bound is not None and bound <= target_error
