"""Who may do what: roles and what each is for, as a table. Pure."""

from collections.abc import Mapping

# What a request is: answering a run's questions, seeing runs, steering one, letting people in, letting operators in.
ANNOTATE, WATCH, STEER, ADMIT, APPOINT = ACTIONS = ("annotate", "watch", "steer", "admit", "appoint")
# For whoever has no pass as well: how one comes in, and what says nothing of any run.
ANYBODY = "anybody"
MAY: Mapping[str, frozenset[str]] = {
    "annotator": frozenset({ANNOTATE}),
    "viewer": frozenset({WATCH}),
    "operator": frozenset({WATCH, STEER, ADMIT}),
    "admin": frozenset({WATCH, STEER, ADMIT, APPOINT}),
}
# Whom a role's holder may give a link, by what that takes.
GIVEN_BY: Mapping[str, str] = {"annotator": ADMIT, "viewer": ADMIT, "operator": APPOINT, "admin": APPOINT}


def may(role: str, action: str) -> bool:
    """Whether somebody of this role may do what the action is."""
    return action == ANYBODY or action in MAY.get(role, ())


def may_admit(role: str, other: str) -> bool:
    """Whether somebody of this role may give a link to somebody of the other."""
    return other in GIVEN_BY and may(role, GIVEN_BY[other])
