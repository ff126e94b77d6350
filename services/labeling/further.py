"""What the labelling judge says of a shard beside its verdicts: scores of each answer alone, votes, criteria one by one.

Which pairs and how often stands in `preference/further.py`; how a judge is asked is its kind's own.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from concord.labeling.judge import Combined, Further, Miss
from concord.labeling.shard import together
from concord.labeling.verdict import Verdict
from concord.labeling.verdict_columns import disagreement
from concord.preference import further as asked
from concord.preference.pairs import pair_hash
from concord.v1 import config_pb2 as cfg
from concord.v1 import pairs_pb2 as pb

# How good the first (False) or second response (True) is by itself, in [1, 10].
Score = Callable[[pb.Pair, bool], Coroutine[Any, Any, float | Miss]]
# Which is better by these criteria ("": the judge's own, asked warmer), for the nth time; odd ones see the second as A.
Again = Callable[[pb.Pair, str, int], Coroutine[Any, Any, Verdict | Miss]]
Choice = pb.Choice


@dataclass(frozen=True)
class Ways:
    """How a judge is asked."""

    score: Score
    again: Again


async def further(pairs: Sequence[pb.Pair], labels: Sequence[Combined], config: cfg.RunConfig, ways: Ways) -> Further:
    """All that the configuration asks for, of these pairs with these labels. Raises what `ways` raise."""
    doubtful = asked.doubtful(
        [label.choice in (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND) for label in labels],
        [label.order_flipped for label in labels],
        [max(label.p_first, 1 - label.p_first) for label in labels],
        [pair_hash(pair) for pair in pairs],
        config.seed,
    )
    wanted = {one.name: doubtful if one.doubtful else range(len(pairs)) for one in asked.calls(config)}
    misses: dict[str, Sequence[tuple[Miss, ...]]] = {}
    against: dict[str, Sequence[float]] = {}
    scores: Sequence[tuple[float, float]] = ()
    if "rubric" in wanted:
        scores, misses["rubric"] = await _scores(pairs, wanted["rubric"], ways.score)
    for name, criteria in _verdicts(config).items():
        if name in wanted:
            against[name], misses[name] = await _against(pairs, labels, wanted[name], criteria, ways.again)
    return Further(scores, against, misses)


def _verdicts(config: cfg.RunConfig) -> dict[str, Sequence[str]]:
    """Signal → the criteria of each of its verdicts."""
    return {"votes": [""] * config.judge_votes, "criteria": asked.criteria_of(config.judge.criteria)}


async def _scores(
    pairs: Sequence[pb.Pair], places: Sequence[int], score: Score
) -> tuple[list[tuple[float, float]], list[tuple[Miss, ...]]]:
    # An answer that stands in several pairs of its prompt is scored once.
    answers = {_shown(pairs[place], second): (place, second) for place in places for second in (False, True)}
    said = await together(score(pairs[place], second) for place, second in answers.values())
    found = dict(zip(answers, said, strict=True))
    scores, misses = [(0.0, 0.0)] * len(pairs), [()] * len(pairs)  # type: list, list
    for place in places:
        mine = [found[_shown(pairs[place], second)] for second in (False, True)]
        scores[place] = tuple(0.0 if isinstance(one, Miss) else one for one in mine)
        misses[place] = tuple(one for one in mine if isinstance(one, Miss))
    return scores, misses


def _shown(pair: pb.Pair, second: bool) -> tuple[object, ...]:
    """All that a score depends on."""
    return (*((turn.role, turn.content) for turn in pair.prompt), (pair.second if second else pair.first).text)


async def _against(
    pairs: Sequence[pb.Pair],
    labels: Sequence[Combined],
    places: Sequence[int],
    criteria: Sequence[str],
    again: Again,
) -> tuple[list[float], list[tuple[Miss, ...]]]:
    asking = [(place, number) for place in places for number in range(len(criteria))]
    said = await together(again(pairs[place], criteria[number], number) for place, number in asking)
    verdicts: dict[int, list[pb.Choice.ValueType]] = {place: [] for place in places}
    misses: list[tuple[Miss, ...]] = [()] * len(pairs)
    for (place, number), one in zip(asking, said, strict=True):
        if isinstance(one, Miss):
            misses[place] = (*misses[place], one)
        else:
            first = (one.winner == "A") != (number % 2 == 1)
            verdicts[place].append(Choice.CHOICE_FIRST if first else Choice.CHOICE_SECOND)
    against = [-1.0] * len(pairs)
    for place in places:
        against[place] = disagreement(verdicts[place], labels[place].choice)
    return against, misses
