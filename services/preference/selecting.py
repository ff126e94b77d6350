"""Which pairs are labelled at all: the ways to choose among given pairs, and when they cannot be asked for. Pure.

How each of them chooses stands in `triage/dissimilarity.py`; this is what a caller and the front door have to know.
"""

from concord.kit.errors import InvalidInput
from concord.v1.config_pb2 import RunConfig

# What is said of them wherever one chooses.
SELECTIONS = {
    "drop-similar": "near-duplicates out, then at random among the different ones",
    "random": "at random",
    "easy": "the least similar answers, after REAL",
    "hard": "the most similar answers",
}


def check(config: RunConfig) -> None:
    """Refuses a choice that cannot be made. Raises InvalidInput."""
    if config.select and config.select not in SELECTIONS:
        raise InvalidInput(f"select {config.select[:60]!r} is not one of {', '.join(SELECTIONS)}")
    if config.select_share and not config.select:
        raise InvalidInput(
            "select_share is set, and nothing says how to choose: give --select as well, such as --select easy"
        )
    if config.select and config.HasField("parent"):
        raise InvalidInput(
            "select: a run that goes on from another one keeps all of its pairs, so none can be chosen; leave --select or "
            "--from out"
        )
