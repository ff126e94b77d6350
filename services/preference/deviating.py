"""Annotators who deviate, as a round of triage found them: whose answers are set aside, and what is told of it. Pure."""

from concord.kit.plural import many
from concord.v1.events_pb2 import Deviation, RoundTriaged


def set_aside(last_round: RoundTriaged) -> list[str]:
    """The annotators whose answers count for nothing after this round."""
    return [one.annotator for one in last_round.deviations if one.set_aside]


def words(one: Deviation) -> str:
    """What was found, and what the run does about it."""
    found = (
        f"{one.annotator!r} answered against {one.against:,} of {many(one.answers, 'label')} that are fairly sure, the others "
        f"against {one.others_against:,} of {one.others_answers:,}"
    )
    if one.set_aside:
        return f"{found}: these answers are set aside, and the run goes on without them"
    return f"{found}; of so few annotators nobody can say which one is wrong: all answers count"


DO = "look at what this person answered (the task understood otherwise? first and second exchanged?)"
