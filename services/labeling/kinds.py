"""Judges that need no endpoint, in the words of those that do: the simulated one and the recorded ones. Pure."""
from collections.abc import Sequence

from concord.v1.config_pb2 import JudgeConfig
from concord.v1.pairs_pb2 import Choice, Pair
from services.labeling import recorded as data
from services.labeling import sample_judge
from services.labeling.judge import NO_VERDICT, Combined


def sample(pair: Pair, seed: int) -> Combined:
    """The simulated judge, asked in both orders."""
    return sample_judge.judged(pair, seed)


def recorded(pair: Pair, key: str) -> Combined:
    """The verdict that came with the data. Its label is that of the pair's own order; the swapped one only informs."""
    said = data.verdict(pair, key)
    if said is None or said.choice == Choice.CHOICE_UNSPECIFIED:
        return NO_VERDICT
    confidence = said.confidence if said.HasField("confidence") else None
    p_label = 1.0 if confidence is None else confidence
    flipped = -1 if said.choice_swapped == Choice.CHOICE_UNSPECIFIED else int(said.choice_swapped != said.choice)
    p_first = p_label if said.choice == Choice.CHOICE_FIRST else 1 - p_label
    return Combined(said.choice, p_first, confidence, flipped, data.choices(said))


def own_disagree(pairs: Sequence[Pair], config: JudgeConfig, labels: Sequence[Combined]) -> list[float]:
    """ShardLabeled.own_disagree: only a recorded judge comes with the same LLM's other prompts."""
    if config.kind != "recorded":
        return [-1.0] * len(pairs)
    return [
        data.own_disagreement(pair, config.name, config.own_prompts, label.choice)
        for pair, label in zip(pairs, labels, strict=True)
    ]
