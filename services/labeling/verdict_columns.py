"""What the judges said, pair by pair, as the columns of one fact. PURE."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import log1p

from concord.labeling import evidence
from concord.labeling.judge import NO_VERDICT, NOTHING_FURTHER, Combined, Further
from concord.v1 import events_pb2 as ev
from concord.v1 import pairs_pb2 as pb


def shard_labeled(
    pairs: Sequence[tuple[int, pb.Pair]],
    labels: Sequence[Combined],
    helpers: Mapping[str, Sequence[Combined]],
    own_disagree: Sequence[float] | None = None,
    verified: Sequence[int] | None = None,
    judge: str = "",
    further: Further = NOTHING_FURTHER,
) -> ev.ShardLabeled:
    """The fact of a labelled shard, pairs in the order given; every argument has shape [pairs].

    `pairs` holds (index in the run, pair); `helpers` maps a judge's name to what it said; `own_disagree` and `verified`
    are as in ShardLabeled, all -1 and all 0 where not given; `judge` is the name of the one that labels,
    and `further` what it said beside its labels.
    """
    indexes = [index for index, _ in pairs]
    everybody = [(judge, labels), *helpers.items(), *_further_misses(judge, further)]
    return ev.ShardLabeled(
        pair_index=indexes,
        choice=[label.choice for label in labels],
        p_first=[label.p_first for label in labels],
        confidence=[-1 if label.confidence is None else label.confidence for label in labels],
        order_flipped=[label.order_flipped for label in labels],
        own_disagree=[-1] * len(pairs) if own_disagree is None else own_disagree,
        helpers=[
            ev.HelperColumn(judge=name, disagree=[disagreement(s.choices, a.choice) for s, a in _rows(said, labels)])
            for name, said in helpers.items()
        ],
        verified=[0] * len(pairs) if verified is None else verified,
        length_difference=[length_difference(pair) for _, pair in pairs],
        faults=evidence.faults(everybody),
        kept_answers=evidence.kept(indexes, everybody),
        for_shown_first=for_shown_first(labels),
        p_tokens=p_tokens(labels),
        rubric_first=[first for first, _ in further.scores],
        rubric_second=[second for _, second in further.scores],
        signals=[ev.SignalColumn(signal=name, against=against) for name, against in further.against.items()],
    )


def _further_misses(judge: str, further: Further) -> Iterable[tuple[str, Sequence[Combined]]]:
    """What was no answer, under the judge's name with the signal's."""
    for name, misses in further.misses.items():
        yield f"{judge}, {name}", [replace(NO_VERDICT, misses=mine) for mine in misses]


def p_tokens(labels: Sequence[Combined]) -> list[float]:
    """ShardLabeled.p_tokens: empty where no pair has any."""
    if all(label.p_tokens is None for label in labels):
        return []
    return [-1 if label.p_tokens is None else label.p_tokens for label in labels]


def for_shown_first(labels: Iterable[Combined]) -> int | None:
    """Verdicts for A over the pairs with a verdict in both orders; None where there is no such pair."""
    both = [label.choices for label in labels if label.order_flipped >= 0]
    if not both or any(len(choices) != 2 for choices in both):
        return None
    # Shown the other way round, the second response is A.
    return sum((own == pb.CHOICE_FIRST) + (swapped == pb.CHOICE_SECOND) for own, swapped in both)


def disagreement(verdicts: Iterable[pb.Choice.ValueType], label: pb.Choice.ValueType) -> float:
    """Share of the usable verdicts that are against the label, in [0, 1]; -1 where there are none, or no label."""
    usable = [verdict for verdict in verdicts if verdict in (pb.CHOICE_FIRST, pb.CHOICE_SECOND)]
    if not usable or label not in (pb.CHOICE_FIRST, pb.CHOICE_SECOND):
        return -1.0
    return sum(verdict != label for verdict in usable) / len(usable)


def length_difference(pair: pb.Pair) -> float:
    """log(1 + characters) of the first response minus that of the second; positive: the first is longer."""
    return log1p(len(pair.first.text)) - log1p(len(pair.second.text))


def _rows(said: Sequence[Combined], labels: Sequence[Combined]) -> Iterable[tuple[Combined, Combined]]:
    return zip(said, labels, strict=True)
