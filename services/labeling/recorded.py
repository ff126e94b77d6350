"""Verdicts that came with the data, read from the pair itself. PURE."""

from collections.abc import Sequence
from typing import TypeAlias

from concord.labeling.judge import NO_VERDICT, Combined, combine
from concord.labeling.verdict import Verdict
from concord.labeling.verdict_columns import disagreement
from concord.preference.judges import JUDGE_KINDS
from concord.v1 import config_pb2 as cfg
from concord.v1 import pairs_pb2 as pb

Choice: TypeAlias = pb.Choice.ValueType


def verdict(pair: pb.Pair, key: str) -> pb.RecordedVerdict | None:
    """What the judge `key` said of this pair, None where the data do not say."""
    return next((said for said in pair.verdicts if said.judge == key), None)


def judged(pair: pb.Pair, key: str) -> Combined:
    """Both orders together, as far as they are recorded; where they contradict each other, the pair's own order stands.

    One confidence is recorded for both, so that they weigh the same. A tie is a verdict: P(first) is 0.5, and nothing is more
    doubtful; beside a verdict in the other order it is half a vote.
    """
    said = verdict(pair, key)
    if said is None:
        return NO_VERDICT
    if pb.CHOICE_TIE in (said.choice, said.choice_swapped):
        return _with_a_tie(said)
    sure = said.confidence if said.HasField("confidence") else None
    own = (
        None if said.choice == pb.CHOICE_UNSPECIFIED else Verdict("A" if said.choice == pb.CHOICE_FIRST else "B", sure)
    )
    # Shown the other way round, the first response is B.
    swapped = (
        None
        if said.choice_swapped == pb.CHOICE_UNSPECIFIED
        else Verdict("B" if said.choice_swapped == pb.CHOICE_FIRST else "A", sure)
    )
    return combine(own, swapped)


def _with_a_tie(said: pb.RecordedVerdict) -> Combined:
    choices = tuple(choice for choice in (said.choice, said.choice_swapped) if choice != pb.CHOICE_UNSPECIFIED)
    sure = said.confidence if said.HasField("confidence") else 1.0
    p = {pb.CHOICE_FIRST: sure, pb.CHOICE_SECOND: 1 - sure, pb.CHOICE_TIE: 0.5}
    p_first = sum(p[choice] for choice in choices) / len(choices)
    choice = pb.CHOICE_TIE if p_first == 0.5 else pb.CHOICE_FIRST if p_first > 0.5 else pb.CHOICE_SECOND
    flipped = -1 if len(choices) == 1 else int(choices[0] != choices[1])
    return Combined(choice, p_first, max(p_first, 1 - p_first), flipped, choices)


def own_disagree(pairs: Sequence[pb.Pair], judge: cfg.JudgeConfig, labels: Sequence[Combined]) -> list[float]:
    """ShardLabeled.own_disagree: `own_disagreement` of each pair; all -1 for a judge that is not a recorded one."""
    if not (judge.kind in JUDGE_KINDS and JUDGE_KINDS[judge.kind].in_the_data):
        return [-1.0] * len(pairs)
    return [
        own_disagreement(pair, judge.name, judge.own_prompts, label.choice)
        for pair, label in zip(pairs, labels, strict=True)
    ]


def own_disagreement(pair: pb.Pair, key: str, own_prompts: Sequence[str], label: Choice) -> float:
    """Share of the same LLM's other verdicts that are against `label`, in [0, 1]; -1 where there are none.

    Both orders of its other prompts count, and the judge's own verdict with the order swapped. That one alone is no
    signal of its own, for `order_flipped` says it already: without another prompt's verdict the share is -1.
    """
    others = [choice for own in own_prompts for choice in _choices(verdict(pair, own))]
    if not others:
        return -1.0
    asked = verdict(pair, key)
    return disagreement([*others, *([asked.choice_swapped] if asked else [])], label)


def _choices(said: pb.RecordedVerdict | None) -> tuple[Choice, ...]:
    """Its usable verdicts: the one in the pair's own order, then the swapped one; 0 to 2 of them."""
    if said is None:
        return ()
    return tuple(choice for choice in (said.choice, said.choice_swapped) if choice != pb.CHOICE_UNSPECIFIED)
