"""Runs' facts, drawn: quiet ones, and ones in which something stops being as it was. A simulation, on arrays, without services.

A run has 2,048 pairs in 32 shards, a pilot of 12 questions and eight rounds of 40, three in ten of them drawn at random, each
answered by two people. A fault begins with the middle of the shards, or with the fifth round.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Event, RoundTriaged, Stage, TaskOutcome, TaskResolved, Unit
from concord.v1.pairs_pb2 import Choice

Array = np.ndarray
FIRST, SECOND = Choice.CHOICE_FIRST, Choice.CHOICE_SECOND
CONFIG = RunConfig(method="posterior", judge=JudgeConfig(kind="llm", name="drawn", both_orders=True))


@dataclass(frozen=True)
class State:
    """How judge, people, triage and rewards are at a moment; shares in [0, 1]."""

    silent: float = 0.01
    flips: float = 0.15  # verdicts that change with the order
    first: float = 0.0  # verdicts that are "the first" whatever is there
    longer: float = 0.1  # verdicts that are "the longer one" whatever is there
    errs: float = 0.22  # the judge
    sure: float = 0.8
    people_err: float = 0.08
    people_err_where_doubtful: float = 0.2
    flipped: float = 0.08  # labels that the model flips
    rewards_err: float = 0.22
    rewards_turn: float = 0.08


QUIET = State()
# What changes, by the fault's name: a strong one and a mild one.
FAULTS: dict[str, tuple[State, State]] = {
    "the judge falls silent": (replace(QUIET, silent=0.5), replace(QUIET, silent=0.2)),
    "order flips": (replace(QUIET, flips=0.6), replace(QUIET, flips=0.35)),
    "taste for the first place": (replace(QUIET, first=0.7), replace(QUIET, first=0.4)),
    "taste for length": (replace(QUIET, longer=0.7), replace(QUIET, longer=0.45)),
    "the judge is sure of everything": (replace(QUIET, sure=0.99), replace(QUIET, sure=0.96)),
    "the judge against checks": (replace(QUIET, errs=0.6), replace(QUIET, errs=0.4)),
    "people toss coins": (
        replace(QUIET, people_err=0.5, people_err_where_doubtful=0.5),
        replace(QUIET, people_err=0.25, people_err_where_doubtful=0.35),
    ),
    "people say the opposite": (
        replace(QUIET, people_err=0.92, people_err_where_doubtful=0.8),
        replace(QUIET, people_err=0.6, people_err_where_doubtful=0.6),
    ),
    "the model flips": (replace(QUIET, flipped=0.5), replace(QUIET, flipped=0.25)),
    "rewards against the labels": (replace(QUIET, rewards_err=0.6), replace(QUIET, rewards_err=0.4)),
    "rewards turn": (replace(QUIET, rewards_turn=0.45), replace(QUIET, rewards_turn=0.25)),
}
PAIRS, SHARD, PILOT, ROUNDS, PLACES, AUDITS, GOLD = 2_048, 64, 12, 8, 40, 0.3, 6
CHECKED, CHANGE = 0.2, 5


def facts(seed: int, after: State = QUIET, pairs: int = PAIRS, places: int = PLACES) -> list[Event]:
    """One run's facts, in the order of the log; from the middle of the shards and the fifth round on it is as `after`."""
    draw = np.random.default_rng(seed)
    truth = draw.random(pairs) < 0.5
    label = np.zeros(pairs, bool)
    events = [Event(run_created={"config": CONFIG})]
    for number in range(pairs // SHARD):
        now = after if number >= pairs // SHARD // 2 else QUIET
        event = _shard(number, truth, label, now, draw)
        events.append(event)
    asked = draw.permutation(pairs)
    events += _people(0, asked[:PILOT], np.ones(PILOT, bool), truth, QUIET, draw)
    reward = label ^ (draw.random(pairs) < QUIET.rewards_err)
    for round_ in range(1, ROUNDS + 1):
        now = after if round_ >= CHANGE else QUIET
        reward = _rewards(reward, label, now, draw)
        margin = np.where(reward, 1.0, -1.0) * draw.gamma(2, 0.5, pairs)
        events.append(Event(unit=Unit(stage=Stage.STAGE_SCORE, round=round_), shard_scored={"margin": margin.tolist()}))
        share = now.flipped * min(1.0, round_ / 3) * draw.uniform(0.9, 1.1)
        triaged = RoundTriaged(trust=min(2, round_ - 1), flipped=int(share * pairs))
        events.append(Event(unit=Unit(stage=Stage.STAGE_TRIAGE, round=round_), round_triaged=triaged))
        pair = asked[PILOT + places * (round_ - 1) : PILOT + places * round_]
        events += _people(round_, pair, draw.random(len(pair)) < AUDITS, truth, now, draw)
        events += _gold(round_, asked[: PILOT + places * (round_ - 1)], truth, now, draw)
    return events


def _shard(number: int, truth: Array, label: Array, now: State, draw: np.random.Generator) -> Event:
    pair = np.arange(number * SHARD, (number + 1) * SHARD)
    length = draw.normal(0, 0.5, SHARD)
    said = truth[pair] ^ (draw.random(SHARD) < now.errs)
    said = np.where(draw.random(SHARD) < now.longer, length > 0, said)
    said = np.where(draw.random(SHARD) < now.first, True, said)
    label[pair] = said
    choice = np.where(draw.random(SHARD) < now.silent, 0, np.where(said, FIRST, SECOND))
    proved = np.where(draw.random(SHARD) < CHECKED, np.where(truth[pair], 1, 2), 0)
    labeled = {
        "pair_index": pair.tolist(),
        "choice": choice.tolist(),
        "order_flipped": (draw.random(SHARD) < now.flips).astype(int).tolist(),
        "length_difference": length.tolist(),
        "confidence": draw.beta(20 * now.sure, 20 * (1 - now.sure), SHARD).tolist(),
        "verified": proved.tolist(),
    }
    event = Event(unit=Unit(stage=Stage.STAGE_LABEL, number=number), shard_labeled=labeled)
    event.usage.calls = 2 * SHARD
    return event


def _people(
    round_: int, pair: Array, random: Array, truth: Array, now: State, draw: np.random.Generator
) -> Iterator[Event]:
    stage = Stage.STAGE_ANNOTATE if round_ else Stage.STAGE_PILOT_ANNOTATE
    opened = {
        "stage": stage,
        "round": round_,
        "units": len(pair),
        "pair_indexes": pair.tolist(),
        "audit": random.tolist(),
    }
    yield Event(stage_opened=opened)
    errs = np.where(random, now.people_err, now.people_err_where_doubtful)
    said = np.where(truth[pair] ^ (draw.random((2, len(pair))) < errs), FIRST, SECOND)
    for number, (index, one, other) in enumerate(zip(pair, *said, strict=True)):
        task = TaskResolved(
            pair_index=index, choices=[one, other], annotation_ids=["a", "b"], annotators=["one", "other"]
        )
        task.outcome = TaskOutcome.TASK_OUTCOME_DECIDED if one == other else TaskOutcome.TASK_OUTCOME_TIE
        task.choice = one if one == other else Choice.CHOICE_TIE
        yield Event(unit=Unit(stage=stage, round=round_, number=number), task_resolved=task)


def _gold(round_: int, settled: Array, truth: Array, now: State, draw: np.random.Generator) -> Iterator[Event]:
    unit = Unit(stage=Stage.STAGE_ANNOTATE, round=round_)
    for pair in draw.choice(settled, GOLD, replace=False):
        said = FIRST if truth[pair] ^ (draw.random() < now.people_err) else SECOND
        yield Event(
            unit=unit,
            annotation_submitted={"pair_index": pair, "annotator": "one", "choice": said, "gold": True},
        )


def _rewards(before: Array, label: Array, now: State, draw: np.random.Generator) -> Array:
    """Some turn; of those that turn so many come to stand against the label that the share is as it should be."""
    turn = draw.random(len(label)) < now.rewards_turn
    anew = label ^ (draw.random(len(label)) < now.rewards_err)
    settled = np.where(draw.random(len(label)) < 0.9 * (now.rewards_err > QUIET.rewards_err), anew, before)
    return np.where(turn, anew if now.rewards_turn == QUIET.rewards_turn else ~before, settled)
