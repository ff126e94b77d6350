"""DPO on the same HH pairs labelled by a judge, by the judge and random people, by ours, and by people alone.

    make small-model; python -m benchmarks.label_sources            some twenty minutes of one quiet core, with the small real model
    python -m benchmarks.label_sources --quick                      a tiny model of random weights; a minute

People's labels are HH's own; the judge is **simulated** (benchmarks/hh.py, `len`: 75 % right by them, and fond of length and
style). 4,000 pairs are labelled four ways: `judge`; `judge + random people` (6 % of the labels are people's, drawn at random);
`ours` (as many answers, asked for by `posterior`, whose probabilities are the targets); `all people`. DPO then learns from 32
of them that the model reads at once (`--learn`), the same ones for every arm. Measured: how often the policy's implicit reward
prefers what people prefer, on held-out pairs of HH's test split. No order of the arms is required of it: with so few pairs and
a small model little can be told apart.
"""

from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks import dpo_arms, hh, planner
from benchmarks.dpo_arms import Label, Pair, Size
from benchmarks.pack import rows
from concord.client.run import options
from concord.preference.budget import pilot_size
from concord.preference.pilot import draw_pilot
from concord.reward import features
from concord.triage.signals import Signals
from concord.v1.config_pb2 import RunConfig

Array = np.ndarray
BUDGET = 0.06
FULL = Size(learn=32, held=64, pool=4_000, max_length=96)
QUICK = Size(learn=16, held=12, pool=300, max_length=128)
ARMS = ("judge", "judge + random people", "ours", "all people")
SEED = 0


def decided(name: str, most: int) -> list[dict]:
    """The first so many rows of HH that people decided."""
    return list(islice((row for row in rows(name) if row["human_majority"] in (0, 1)), most))


def signals_of(pairs: list[Pair], domain: Array, seed: int) -> Signals:
    """What a run knows of the pairs from the simulated judge, asked in both orders."""
    first, second = ([one.texts[side] for one in pairs] for side in (0, 1))
    x = features.differences(features.fit([*first, *second], 256, 0), first, second)
    draw = np.random.default_rng([seed, 3])
    truth = np.where([one.first_wins for one in pairs], 1.0, -1.0)
    length = np.log1p(list(map(len, first))) - np.log1p(list(map(len, second)))
    margin = truth * np.abs(draw.standard_normal(len(pairs)))
    style = x[:, -len(features.STATISTICS) :].astype(float)
    label, flipped, confidence = hh.judged("len", margin, length, draw.standard_normal(len(pairs)), style, seed)
    absent = np.full(len(pairs), -1.0)
    return Signals(
        label=label,
        margin=np.zeros(len(pairs)),
        confidence=confidence,
        order_flipped=flipped,
        own_disagree=absent,
        helpers=(),
        helper_disagree=np.zeros((0, len(pairs))),
        length_difference=length,
        domain=domain,
        group=draw.integers(0, 2**63, len(pairs)).astype(np.uint64),
        x=x,
    )


def labelled(signals: Signals, truth: Array, seed: int) -> dict[str, Array]:
    """By arm, P(the first is better) of every pair, float [pairs]; `truth` bool [pairs]."""
    judge = (signals.label > 0).astype(float)
    return {
        "judge": judge,
        "judge + random people": _by_run(signals, truth, "random", seed),
        "ours": _by_run(signals, truth, "posterior", seed),
        "all people": truth.astype(float),
    }


def _by_run(signals: Signals, truth: Array, method: str, seed: int) -> Array:
    """As the dataset of such a run has it."""
    pairs = len(truth)
    budget = round(BUDGET * pairs)
    asked = options.resolve({"judge": "recorded:made", "method": method, "seed": seed})
    config = RunConfig(seed=seed, audit_share=asked.audit, human_weight=asked.human_weight, quorum=1, pilot=asked.pilot)
    options.set_method(config, asked)
    person = lambda pair, vote: float(truth[pair])  # noqa: E731
    drawn = draw_pilot(pairs, pilot_size(config, pairs, budget), seed)
    said = planner.asked(drawn, np.ones(len(drawn), bool), person)
    label = (signals.label > 0).astype(float)
    *_, last = planner.run(planner.Known(signals, (label, np.ones(pairs))), config, budget, person, said)
    p_first = last.decided.target.astype(float).copy() if last.decided else label
    p_first[last.said.pair] = last.said.p_first
    return p_first


def measured(start: str, size: Size, folder: Path) -> dict:
    """The labels of each arm, and what the policies that they taught prefer."""
    source = decided("hh_train", size.pool)
    pairs = [dpo_arms.of_hh(row) for row in source]
    truth = np.array([one.first_wins for one in pairs])
    domain = np.array(["harmless" in row["source"] for row in source], int)
    arms = labelled(signals_of(pairs, domain, SEED), truth, SEED)
    short = np.array(dpo_arms.fitting(start, pairs, size.max_length))
    chosen = np.sort(np.random.default_rng(SEED).permutation(short)[: size.learn])
    tests = [dpo_arms.of_hh(row) for row in decided("hh_test", size.pool)]
    held = [tests[at] for at in dpo_arms.fitting(start, tests, size.max_length)[: size.held]]
    known = dpo_arms.known(start, [pairs[at] for at in chosen] + held, folder)
    places, right = range(len(chosen), len(chosen) + len(held)), {}
    wins = np.array([one.first_wins for one in held])
    for number, (name, p_first) in enumerate(arms.items()):
        labels = [Label(at, float(p_first[row])) for at, row in enumerate(chosen)]
        margin = dpo_arms.margins(known, labels, places, folder / f"arm-{number}", size, SEED)
        right[name] = (margin > 0) == wins
    others = [("ours", name) for name in ARMS if name != "ours"]
    return {
        "learned": len(chosen),
        "labels_right": {name: float(((p > 0.5) == truth).mean()) for name, p in arms.items()},
        "of_those_learned": {name: float(((p > 0.5) == truth)[chosen].mean()) for name, p in arms.items()},
        "accuracy": dpo_arms.paired(right, [*others, ("all people", "judge")]),
    }


def said(found: dict) -> None:
    """What came, on standard output."""
    print(
        f"labels that are people's own, of all pairs and of the {found['learned']} that DPO learned from (simulated judge)"
    )
    for name in ARMS:
        print(f"  {name:34} {found['labels_right'][name]:.1%}   {found['of_those_learned'][name]:.1%}")
    dpo_arms.show("held-out pairs on which the policy's implicit reward prefers what people prefer", found["accuracy"])


if __name__ == "__main__":
    dpo_arms.run(__doc__, measured, said, FULL, QUICK)
