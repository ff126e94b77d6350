"""What a run's configuration comes to in votes and tasks: its budget, its pilot, its rounds. Pure."""

from math import ceil

from concord.preference import pilot
from concord.preference.methods import METHODS
from concord.v1.config_pb2 import RunConfig

# A batch carries its pairs inside one event.
MOST_ASKED = 5_000
LEAST_ASKED = 3
# Fewer questions asked of a second person say next to nothing of how often people err.
LEAST_RE_ASKS = 30
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


def votes_each(config: RunConfig) -> int:
    """Votes that the budget holds for each pair of its share: 1; of a method that asks about every pair, as many as a pair can
    take, so that disagreements leave no pair without its answer."""
    if config.method not in METHODS or not METHODS[config.method].asks_all:
        return 1
    quorum = max(1, config.quorum)
    return max(quorum, config.most_votes) if quorum > 1 else quorum


def human_budget(config: RunConfig, pairs: int) -> int:
    """The budget in votes."""
    return config.human_budget or votes_each(config) * round(
        _share(config.human_budget_share) * new_pairs(config, pairs)
    )


def re_asks(config: RunConfig, budget: int) -> int:
    """Votes of this budget that are kept for asking a second person: the share of the random questions that is wished, at
    least LEAST_RE_ASKS, at most a quarter of the budget. None where several persons answer every question anyway."""
    share = _share(config.re_ask_share)
    if not share or config.quorum > 1:
        return 0
    random = ceil(budget * _random_share(config))
    return min(max(LEAST_RE_ASKS, ceil(share * random)), random, budget // 4)


def random_questions(config: RunConfig, pairs: int, budget: int) -> int:
    """About how many questions of this budget are drawn uniformly, those of the pilot included; at least 1."""
    first = pilot_size(config, pairs, budget)
    return max(1, ceil(first + _random_share(config) * (tasks(config, budget) - first)))


def _random_share(config: RunConfig) -> float:
    """Share of the places that are drawn uniformly."""
    return 1.0 if config.method in METHODS and METHODS[config.method].uniform else audit_share(config)


def tasks(config: RunConfig, budget: int) -> int:
    """Questions that the budget pays, those for a second person not counted."""
    return (budget - re_asks(config, budget)) // max(1, config.quorum)


def pilot_size(config: RunConfig, pairs: int, budget: int) -> int:
    """Pilot tasks of a run with this budget in votes."""
    return pilot.pilot_size(new_pairs(config, pairs), tasks(config, budget), config.pilot)


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
    left = tasks(config, budget) - pilot_size(config, pairs, budget)
    return min(MOST_ROUNDS, ceil(max(0, min(left, pairs)) / batch_size(config, pairs)))


def ask_in_round(config: RunConfig, pairs: int, budget: int, votes: int, round_: int, last: int) -> int:
    """Tasks for this round: what is left of the budget, spread evenly over the rounds that are left.

    `votes`: given so far, those of a second person not counted.
    """
    left = max(0, budget - re_asks(config, budget) - votes) // max(1, config.quorum)
    return min(MOST_ASKED, ceil(left / (last - round_ + 1))) if round_ <= last else 0
