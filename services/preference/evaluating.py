"""A policy beside the model that it began as: what is asked for, and of whom. Pure.

The judge sees every pair of answers in both orders, whatever it is asked for elsewhere: of one order alone nobody could tell a
better answer from one that stood first.
"""

from collections.abc import Iterable, Mapping, Sequence

from concord.kit.errors import InvalidInput
from concord.kit.plural import many
from concord.preference.judges import JUDGE_KINDS
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import AnsweredShard, ShardLabeled
from concord.v1.pairs_pb2 import Choice, PairsManifest

# Whose answers stand in a pair, as its responses name their models.
POLICY, START = "policy", "start"
# What the ids of these pairs begin with, so that a file of answers tells them from the run's own.
_OURS = "policy/"
# Pairs of a unit at least: the shards of all steps are named in one fact.
LEAST_PAIRS = 16
MOST_INDEX = 2**32 - 1


def is_asked(config: RunConfig) -> bool:
    """Whether the run ends with that comparison."""
    return bool(config.policy and config.evaluate)


def points(config: RunConfig) -> int:
    """Steps of the training that are compared, at most: the best one, and the last ones beside it."""
    return 1 + max(1, config.evaluate_checkpoints)


def judges(config: RunConfig) -> list[JudgeConfig]:
    """The labelling judge and its helpers, each to be asked in both orders."""
    out = []
    for one in (config.judge, *config.helpers):
        both = JudgeConfig()
        both.CopyFrom(one)
        both.both_orders = True
        out.append(both)
    return out


def knobs(config: RunConfig) -> Mapping[str, int]:
    """What the policy's training is told of it."""
    if not is_asked(config):
        return {}
    return {"answers": config.evaluate, "answers_at": max(1, config.evaluate_checkpoints)}


def compared(answered: Iterable[AnsweredShard]) -> list[AnsweredShard]:
    """Those of which there is something to compare, in the order of their units."""
    return [one for one in answered if one.shard.pairs]


def pair_id(name: str) -> str:
    """What the pair of answers to a prompt is called, by the prompt's own name."""
    return f"{_OURS}{name}"


def is_of_policy(pair_id: str) -> bool:
    """Whether a pair that is called so is of such answers."""
    return pair_id.startswith(_OURS)


def questions(config: RunConfig) -> int:
    """Pairs that people are asked about, each by the quorum."""
    return config.evaluate_votes // max(1, config.quorum)


def numbered(answered: Iterable[AnsweredShard], behind: int) -> PairsManifest:
    """The policy's own answers, not its checkpoints', numbered on behind the run's `behind` pairs."""
    made = PairsManifest(pairs=behind)
    for one in answered:
        # An index is 32 bits, whatever a fact says.
        if one.kept and one.shard.pairs and made.pairs + one.shard.pairs < MOST_INDEX:
            made.shards.add().CopyFrom(one.shard)
            made.shards[-1].first_index = made.pairs
            made.pairs += one.shard.pairs
    made.pairs -= behind
    return made


def score(first_models: Sequence[str], labels: ShardLabeled) -> tuple[int, int]:
    """(pairs that the policy wins, pairs that it loses) in both orders, by whose answer is the first."""
    won = lost = 0
    for model, choice, flipped in zip(first_models, labels.choice, labels.order_flipped, strict=False):
        if flipped == 1 or choice not in (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND):
            continue
        if (choice == Choice.CHOICE_FIRST) == (model == POLICY):
            won += 1
        else:
            lost += 1
    return won, lost


def check(config: RunConfig) -> None:
    """Refuses what cannot be compared. Raises InvalidInput."""
    if not config.evaluate:
        for name in ("evaluate_checkpoints", "evaluate_votes"):
            if getattr(config, name):
                raise InvalidInput(f"{name} is set, and nothing is compared: say how many prompts (--evaluate N)")
        return
    if not config.policy:
        raise InvalidInput(
            "evaluate: there is no policy to compare: name the model to align (--policy), or leave it out"
        )
    if config.evaluate_votes and not questions(config):
        raise InvalidInput(
            f"evaluate_votes {config.evaluate_votes}: a question takes {many(config.quorum, 'vote')} (--quorum), so nobody "
            "would be asked"
        )
    if unable := sorted(_unable(judges(config))):
        raise InvalidInput(
            f"evaluate: a judge of kind {unable[0]} knows only the pairs of the input, and the policy's answers are new; give a "
            "judge behind an endpoint (--judge URL#MODEL), or leave it out and compare in a run of its own"
        )


def _unable(asked: Iterable[JudgeConfig]) -> set[str]:
    return {one.kind for one in asked if one.kind in JUDGE_KINDS and JUDGE_KINDS[one.kind].in_the_data}
