"""The default beside the same model with random asking, RLTHF and random asking, in worlds that it was not built on. A simulation.

    python -m benchmarks.worlds [--data DIR] [--quick] [--pairs N ...] [--seeds N] [--cells FILE] [--json [FILE]]

19 worlds (worlds_made.py): other noise, tastes, truths and people than those of `label_efficiency`. One run spends 6 % of
the pairs' number in votes, by the plan and the functions of the services (planner.py), its pilot paid from it, and counts
labels that are right over all pairs; what people said stands, be it right or wrong. A seed draws pairs, judge, people and
asking. Errors are of the mean over seeds. Cells that the file of --cells holds are not run again until the code changes.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import label_efficiency, planner, worlds_made
from benchmarks.measure import asked_of, circumstances, parser_of, write
from concord.client.run import options
from concord.preference.budget import pilot_size
from concord.preference.pilot import draw_pilot
from concord.v1.config_pb2 import RunConfig

METHODS = ("posterior", "posterior-random", "rlthf", "random")
BUDGET = 0.06
SEEDS = 4
ADVERSARY = "one of three an adversary"


def main() -> None:
    parser = parser_of(__doc__, "1,000 pairs of drawn numbers, two seeds: half a minute; needs no data")
    parser.add_argument("--pairs", type=int, nargs="+", default=[5_000])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--worlds", nargs="+", choices=list(worlds_made.WORLDS), default=list(worlds_made.WORLDS))
    parser.add_argument(
        "--cells", type=Path, metavar="FILE", help="a line for each run; runs that stand there are kept"
    )
    asked = asked_of(parser)
    if asked.quick:
        asked.pairs, asked.seeds = [1_000], 2
    cells = list(run_grid(asked))
    print(table(cells), verdict(cells), sep="\n\n")
    if asked.json:
        write(str(asked.json), circumstances({"budget": BUDGET, "methods": METHODS}) | {"cells": cells})


def run_grid(asked: argparse.Namespace) -> Iterator[dict]:
    """A row for each run, from the file where it stands there."""
    code, kept = label_efficiency.fingerprint(CALLED), {}
    if asked.cells and asked.cells.exists():
        lines = [json.loads(line) for line in asked.cells.read_text().splitlines()]
        kept = {_key(line): line for line in lines if line["code"] == code}
    known = worlds_made.drawn if asked.quick else worlds_made.of_hh
    for pairs in asked.pairs:
        for seed in range(asked.seeds):
            for name in asked.worlds:
                there = None
                for method in METHODS:
                    cell = {"pairs": pairs, "seed": seed, "world": name, "method": method}
                    if _key(cell) not in kept:
                        there = there or worlds_made.world(name, pairs, seed, known())
                        kept[_key(cell)] = cell | {"code": code} | run(there, method)
                        _keep(asked.cells, kept[_key(cell)])
                    yield kept[_key(cell)]


CALLED = (*label_efficiency.CALLED, "benchmarks/worlds.py", "benchmarks/worlds_made.py")


def _keep(file: Path | None, cell: dict) -> None:
    print(f"{cell['pairs']:,} {cell['world']} {cell['seed']} {cell['method']}: {cell['end']:.1%}", file=sys.stderr)
    if file:
        with file.open("a") as out:
            out.write(json.dumps(cell) + "\n")


def _key(cell: dict) -> tuple:
    return tuple(cell[name] for name in ("pairs", "seed", "world", "method"))


def run(there: worlds_made.World, method: str) -> dict:
    """One run, and the share of labels that are right before and after it."""
    pairs, began = len(there.truth), time.perf_counter()
    budget = round(BUDGET * pairs)
    asked = options.resolve({"judge": "recorded:made", "method": method, "seed": there.seed})
    quorum = there.people.quorum
    config = RunConfig(
        seed=there.seed, audit_share=asked.audit, human_weight=asked.human_weight, quorum=quorum, pilot=asked.pilot
    )
    options.set_method(config, asked)
    drawn = draw_pilot(pairs, pilot_size(config, pairs, budget), there.seed)
    said = planner.asked(drawn, np.ones(len(drawn), bool), there.person, quorum)
    label = there.signals.label > 0
    known = planner.Known(there.signals, (label.astype(float), np.ones(pairs)))
    who = lambda pair, vote: f"person-{there.annotator(pair, vote)}"  # noqa: E731
    *_, last = planner.run(known, config, budget, there.person, said, who)
    p_first = last.decided.target.astype(float) if last.decided else label.astype(float)
    said_something = ~np.isnan(last.said.p_first)
    p_first[last.said.pair[said_something]] = last.said.p_first[said_something]
    return {
        "start": float((label == there.truth).mean()),
        "end": float(((p_first > 0.5) == there.truth).mean()),
        "votes": int(last.said.votes.sum()),
        "flipped": last.decided.flipped if last.decided else 0,
        "seconds": time.perf_counter() - began,
    }


def ends(cells: Sequence[dict], pairs: int, world: str, method: str) -> list[float]:
    """Labels that are right at the end, in %, seed by seed."""
    mine = [c for c in cells if (c["pairs"], c["world"], c["method"]) == (pairs, world, method)]
    return [100 * cell["end"] for cell in sorted(mine, key=lambda cell: cell["seed"])]


def above(cells: Sequence[dict], pairs: int, world: str, other: str) -> tuple[float, float]:
    """By how many points the default's labels are right more often than the other method's, and the error of that."""
    ours, theirs = (ends(cells, pairs, world, method) for method in ("posterior", other))
    return _mean([one - two for one, two in zip(ours, theirs, strict=True)])


def _mean(values: Sequence[float]) -> tuple[float, float]:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return statistics.fmean(values), error


def _places(cells: Sequence[dict]) -> list[tuple[int, str]]:
    return list(dict.fromkeys((cell["pairs"], cell["world"]) for cell in cells))


def table(cells: Sequence[dict]) -> str:
    """Mean over seeds ± its error for each world and method, and the default's lead, as Markdown."""
    lines = [
        f"| pairs | world | judge | {' | '.join(METHODS)} | above posterior-random |",
        "|---" * (4 + len(METHODS)) + "|",
    ]
    for pairs, world in _places(cells):
        start = statistics.fmean(100 * c["start"] for c in cells if (c["pairs"], c["world"]) == (pairs, world))
        shown = ["{:.1f} ± {:.1f}".format(*_mean(ends(cells, pairs, world, method))) for method in METHODS]
        lead = "{:+.2f} ± {:.2f}".format(*above(cells, pairs, world, "posterior-random"))
        lines.append(f"| {pairs:,} | {world} | {start:.1f} | {' | '.join(shown)} | {lead} |")
    return "\n".join(lines)


def verdict(cells: Sequence[dict]) -> str:
    """What is claimed, and where it does not hold."""
    found = summary(cells)
    adversary = (
        f"; with an adversary {found['adversary']:+.1f} points on average" if found["adversary"] is not None else ""
    )
    return "\n".join(
        [
            f"Not above rlthf or random: {', '.join(found['not_above']) or 'nowhere'}.",
            f"Below posterior-random by two standard errors: {', '.join(found['below_random_asking']) or 'nowhere'}; "
            f"on average {found['lead']:+.2f} points above it.",
            f"Runs that end below their judge: {found['runs_below']} of {found['runs']}{adversary}.",
        ]
    )


def summary(cells: Sequence[dict]) -> dict:
    """The claims as figures."""
    places, ours = _places(cells), [cell for cell in cells if cell["method"] == "posterior"]
    leads = {place: above(cells, *place, "posterior-random") for place in places}
    beaten = {place: min(above(cells, *place, other)[0] for other in ("rlthf", "random")) for place in places}
    adversary = [100 * (cell["end"] - cell["start"]) for cell in ours if cell["world"] == ADVERSARY]
    return {
        "not_above": [f"{world} at {pairs:,}" for (pairs, world), lead in beaten.items() if lead <= 0],
        "below_random_asking": [f"{world} at {pairs:,}" for (pairs, world), (m, e) in leads.items() if m < -2 * e],
        "lead": statistics.fmean(mean for mean, _ in leads.values()),
        "runs": len(ours),
        "runs_below": sum(cell["end"] < cell["start"] for cell in ours),
        "adversary": statistics.fmean(adversary) if adversary else None,
    }


if __name__ == "__main__":
    main()
