"""What a run's configuration comes to in votes and tasks: its budget, its pilot, its rounds. Pure."""

from math import ceil

from concord.preference import pilot
from concord.v1.config_pb2 import RunConfig

# A batch carries its pairs inside one event.
MOST_ASKED = 5_000
LEAST_ASKED = 3
# A plan holds each of them.
MOST_ROUNDS = 20_000
# What -1 stands for. Against a tenth, which it was first, three tenths cost .14 points of label accuracy in simulations and
# make the interval of the error left a quarter narrower.
USUAL_AUDIT_SHARE = 0.3


def new_pairs(config: RunConfig, pairs: int) -> int:
    """Pairs that the shares of the configuration are of: those that the run's parent did not have.

    All of them in a run without a parent, and in one that looks at its parent's pairs once more.
    """
    return pairs - config.parent.pairs or pairs


def human_budget(config: RunConfig, pairs: int) -> int:
    """The budget in votes."""
    return config.human_budget or round(_share(config.human_budget_share) * new_pairs(config, pairs))


def pilot_size(config: RunConfig, pairs: int, budget: int) -> int:
    """Pilot tasks of a run with this budget in votes."""
    return pilot.pilot_size(new_pairs(config, pairs), budget // max(1, config.quorum), config.pilot)


def batch_size(config: RunConfig, pairs: int) -> int:
    """Tasks of one round."""
    return min(MOST_ASKED, max(LEAST_ASKED, round(_share(config.batch_share) * new_pairs(config, pairs))))


def _share(value: float) -> float:
    """The share as a fact may hold it: what is none, which no front door lets in, is nothing."""
    return value if 0 <= value <= 1 else 0.0


def audit_share(config: RunConfig) -> float:
    """P(a place of a batch is drawn uniformly), in [0, 1]."""
    return USUAL_AUDIT_SHARE if config.audit_share < 0 else _share(config.audit_share)


def rounds(config: RunConfig, pairs: int, budget: int) -> int:
    """Rounds that the budget lasts, the pilot's votes taken off."""
    tasks = budget // max(1, config.quorum) - pilot_size(config, pairs, budget)
    return min(MOST_ROUNDS, ceil(max(0, min(tasks, pairs)) / batch_size(config, pairs)))


def ask_in_round(config: RunConfig, pairs: int, budget: int, votes: int, round_: int, last: int) -> int:
    """Tasks for this round: what is left of the budget, spread evenly over the rounds that are left."""
    left = max(0, budget - votes) // max(1, config.quorum)
    return min(MOST_ASKED, ceil(left / (last - round_ + 1))) if round_ <= last else 0
