"""Which pairs are labelled at all: the ways to choose among given pairs and lists of answers, and when none can be. Pure.

How each of them chooses stands in `triage/dissimilarity.py`; this is what a caller and the front door have to know.
"""

from collections.abc import Iterable

from concord.kit.errors import InvalidInput
from concord.v1.config_pb2 import RunConfig
from concord.v1.pairs_pb2 import Pair

# What is said of them wherever one chooses.
SELECTIONS = {
    "drop-similar": "near-duplicates out, then at random among the different ones",
    "random": "at random",
    "easy": "the least similar answers, after REAL",
    "hard": "the most similar answers",
    "centroid": "the answers nearest the two centres of a prompt's answers, after REAL",
}
# Chooses among the answers of a list.
OF_LISTS = "centroid"


def per_prompt(config: RunConfig) -> int:
    """Pairs of one list of answers that are labelled at most."""
    return config.select_per_prompt or 1


def list_of(pair: Pair) -> str:
    """What the list of answers that the pair was made of is called; empty where it came as a pair."""
    return pair.pair_id.rpartition("/")[0] if pair.first_place else ""


def check_pairs(config: RunConfig, pairs: Iterable[Pair]) -> None:
    """Refuses a choice that these pairs do not allow. Raises InvalidInput."""
    if config.select == OF_LISTS and not any(map(list_of, pairs)):
        raise InvalidInput(
            f"select {OF_LISTS} chooses among at least three answers of a prompt; here pairs are given: choose another one of "
            f"{', '.join(SELECTIONS)}"
        )


def check(config: RunConfig) -> None:
    """Refuses a choice that cannot be made. Raises InvalidInput."""
    if config.select and config.select not in SELECTIONS:
        raise InvalidInput(f"select {config.select[:60]!r} is not one of {', '.join(SELECTIONS)}")
    for name in ("select_share", "select_per_prompt"):
        if getattr(config, name) and not config.select:
            raise InvalidInput(
                f"{name} is set, and nothing says how to choose: give --select as well, such as --select easy"
            )
    if config.select and config.HasField("parent"):
        raise InvalidInput(
            "select: a run that goes on from another one keeps all of its pairs, so none can be chosen; leave --select or "
            "--from out"
        )
