"""A run's whole plan: what makes its pairs, the pilot, its method's stages in as many rounds as its budget lasts. Pure."""

from collections.abc import Sequence
from functools import lru_cache

from concord.preference import evaluating
from concord.preference.budget import pilot_size, rounds
from concord.preference.methods import ALIGNMENT, BY_PEOPLE, EVALUATION, GENERATION, METHODS, PILOT, SELECTION, asks
from concord.preference.stages import Step
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage

# Plans that are kept; and those of longer configurations (criteria, prompts) are not, so that few of them cannot fill a memory.
MOST_KEPT, MOST_KEPT_BYTES = 1_024, 4_096


def stages(
    config: RunConfig, pairs: int, budget: int, opened: Sequence[Step] = (), enough: bool = False
) -> tuple[Step, ...]:
    """The run's whole plan. What is opened stays: a budget that changes moves only the rounds that are still ahead, and none is
    ahead where a triage found that it is `enough`."""
    asked = (pairs, budget, tuple(opened), enough)
    key = config.SerializeToString(deterministic=True)
    return _stages(config, *asked) if len(key) > MOST_KEPT_BYTES else _kept(key, *asked)


@lru_cache(MOST_KEPT)
def _kept(config: bytes, pairs: int, budget: int, opened: tuple[Step, ...], enough: bool) -> tuple[Step, ...]:
    """A run is asked for its plan at every stage, by each replica and each replay of it: where these are the same, it is."""
    return _stages(RunConfig.FromString(config), pairs, budget, opened, enough)


def _stages(config: RunConfig, pairs: int, budget: int, opened: tuple[Step, ...], enough: bool) -> tuple[Step, ...]:
    if config.method not in METHODS:  # a newer version's, or a log that somebody altered: nothing more is known of it
        return opened
    begun = sum(stage == Stage.STAGE_ANNOTATE for stage, _ in opened)
    closing = any(stage == Stage.STAGE_FINAL for stage, _ in opened)
    count = begun if closing or enough else max(begun, rounds(config, pairs, budget))
    choosing = (*(GENERATION if config.generators else ()), *(SELECTION if config.select else ()))
    past = len(opened) > len(choosing)
    gated = PILOT[0] in opened if past else asks(config) and pilot_size(config, pairs, budget) > 0
    gate = (*choosing, *(PILOT if gated else ()))
    # A triage whose people are still ahead when the budget shrinks keeps its round; a head that labels the rest is not
    # taken back when the budget grows.
    plans = [_once((*gate, *_plan(config, number))) for number in (count, count + 1, begun)]
    return next((plan for plan in plans if plan[: len(opened)] == opened), plans[1])


def _plan(config: RunConfig, rounds: int) -> tuple[Step, ...]:
    """The method's stages; where people teach the judge, before the triage that takes in the last answers."""
    compared = (*EVALUATION, *(BY_PEOPLE if config.evaluate_votes else ())) if evaluating.is_asked(config) else ()
    plan = (*METHODS[config.method].plan(rounds), *(ALIGNMENT if config.policy else ()), *compared)
    if not (config.people_teach and METHODS[config.method].learns):
        return plan
    last = max(at for at, (stage, _) in enumerate(plan) if stage == Stage.STAGE_TRIAGE)
    return (*plan[:last], (Stage.STAGE_TEACH, plan[last][1]), *plan[last:])


def _once(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Each step where it first comes: the basis of the features that chose the pairs is the one that their margins stand on."""
    return tuple(dict.fromkeys(steps))
