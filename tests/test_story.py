"""One pair's story: what is told of it, and that nothing is told of others."""

import numpy as np
import pytest

from concord.console.story import story
from concord.v1.events_pb2 import Event, Stage, TaskOutcome, Unit
from concord.v1.pairs_pb2 import CHOICE_FIRST, CHOICE_SECOND, CHOICE_TIE, MARK_ACCEPTABLE

PEOPLE = Unit(stage=Stage.STAGE_ANNOTATE, round=1)
LABEL = Unit(stage=Stage.STAGE_LABEL)


def told(*events: Event, pair: int = 7) -> list[tuple[str, str]]:
    arrays = {"p_wrong": np.full(9, 0.25), "target": np.full(9, 0.6)}
    return [
        (one.who, one.says) for one in story([(e, 60.0) for e in events], pair, lambda uri: arrays, {"p-1": "ann"}.get)
    ]


@pytest.mark.parametrize(
    ("event", "who", "says"),
    [
        (
            Event(
                unit=LABEL,
                shard_labeled={
                    "pair_index": [6, 7],
                    "choice": [CHOICE_SECOND, CHOICE_FIRST],
                    "confidence": [0.5, 0.9],
                    "order_flipped": [0, 1],
                },
            ),
            "Judge, all pairs",
            "the judge says the first is better, sure to 90%, otherwise with the order turned round",
        ),
        (
            Event(
                unit=LABEL,
                shard_labeled={
                    "pair_index": [7],
                    "choice": [CHOICE_SECOND],
                    "verified": [2],
                    "checked": [{"pair_index": 7, "decided": True}],
                },
            ),
            "Judge, all pairs",
            "a check finds that the second alone is right: no judge is asked",
        ),
        (
            Event(unit=Unit(stage=Stage.STAGE_SCORE), shard_scored={"first_index": 5, "margin": [1, 1, -2.5]}),
            "Scores",
            "a model that never saw it prefers the second by 2.50 logits",
        ),
        (
            Event(unit=Unit(stage=Stage.STAGE_TRIAGE, round=2), round_triaged={"posterior_uri": "x"}),
            "Triage 2",
            "P(label wrong) is 0.25, P(first is better) 0.60",
        ),
        (
            Event(
                stage_opened={"stage": Stage.STAGE_ANNOTATE, "round": 1, "pair_indexes": [3, 7], "audit": [False, True]}
            ),
            "People 1",
            "people are asked about it: place 2 of 2, drawn at random as an audit",
        ),
        (
            Event(
                unit=PEOPLE,
                annotation_submitted={
                    "pair_index": 7,
                    "annotator": "p-1",
                    "choice": CHOICE_TIE,
                    "seconds": 4.2,
                    "revision": 2,
                    "first_mark": MARK_ACCEPTABLE,
                    "comment": "<b>",
                },
            ),
            "ann",
            "a tie, the first good enough, after 4 s, revision 2: <b>",
        ),
        (
            Event(unit=PEOPLE, task_skipped={"pair_index": 7, "annotator": "p-1", "reason": "language"}),
            "ann",
            "skips it: language",
        ),
        (
            Event(unit=PEOPLE, annotation_withdrawn={"pair_index": 7, "annotator": "p-1"}),
            "ann",
            "takes the answer back",
        ),
        (
            Event(
                unit=PEOPLE,
                task_resolved={
                    "pair_index": 7,
                    "outcome": TaskOutcome.TASK_OUTCOME_DECIDED,
                    "choice": CHOICE_FIRST,
                    "annotation_ids": ["a"],
                },
            ),
            "People 1",
            "settled by 1 vote: the first is better",
        ),
        (
            Event(unit=PEOPLE, task_resolved={"pair_index": 7, "outcome": TaskOutcome.TASK_OUTCOME_EXPIRED}),
            "People 1",
            "settled as nobody answered in time",
        ),
    ],
    ids=lambda one: one.WhichOneof("kind") if isinstance(one, Event) else "",
)
def test_each_fact_about_the_pair_is_told_and_none_about_another(event, who, says):
    assert told(event) == [(who, says)]
    assert told(event, pair=9) == []
