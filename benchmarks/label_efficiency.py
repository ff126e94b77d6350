"""How much of the way from the judge's labels to people's a budget goes, method by method, on HH text. A simulation.

    python -m benchmarks.label_efficiency [--data DIR] [--quick] [--pairs N ...] [--seeds N] [--features light encoder]
                                          [--cells FILE] [--json [FILE]] [--picture FILE]

Truths and judges are made (hh.py): teachers sm3 and sm8, judges len and mix, 75 % right, asked in both orders, no helper;
people are right. Cells run the planners of `planner.py` on features made once, and a cell that the file of --cells holds
is not run again until the code changes. `posterior` is the default, pilot and all: a run of its own for every budget, the
pilot's answers paid from it; the other methods, which have no pilot, are measured on their way to 6 %. Gap closed =
(test accuracy - AI only) / (all human - AI only), by the student's own heads on 4,000 test pairs; label accuracy is over
the whole corpus. Needs the vectors and teachers that
`benchmarks.encode` and `benchmarks.teachers` make; --quick needs neither, its truths are networks of random weights.
"""

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import hh, planner
from benchmarks.measure import asked_of, circumstances, parser_of, write
from benchmarks.pair_bootstrap import drawn_shares
from concord.client.run import options
from concord.preference import methods
from concord.preference.budget import pilot_size
from concord.preference.pilot import draw_pilot
from concord.reward import head
from concord.reward.targets import lesson
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage
from concord.v1.work_pb2 import Teacher

Array = np.ndarray
ROOT = Path(__file__).resolve().parent.parent
CASES = [(teacher, judge) for teacher in ("sm3", "sm8") for judge in ("len", "mix")]
QUICK = [("made-up", "len"), ("made-up", "mix")]
# RLTHF as its paper prints it: Table of iterations (HH, 4o-mini start), and the headline figures at 6 % (HH) and 7 % (TL;DR).
PRINTED = {0.01: 29.2, 0.02: 45.8, 0.03: 57.7, 0.04: 75.0, 0.05: 75.6, 0.06: 87.1}
# Name in the table -> settings of the run.
METHODS: dict[str, dict[str, object]] = {
    "posterior": {"method": "posterior", "pilot": -1},
    "posterior-random": {"method": "posterior-random", "pilot": -1},
    "rlthf": {"method": "rlthf"},
    "rlthf, whole set": {"method": "rlthf", "subset": 1.0},
    "rlthf, subset 1/8": {"method": "rlthf", "subset": 0.125},
    "rlthf, subset 1/2": {"method": "rlthf", "subset": 0.5},
    "rlthf, plain": {"method": "rlthf", "amplification": (1.0,), "back_off": (0.0,)},
    "rlthf, nobody": {"method": "rlthf", "nobody": True},
    "rlthf, nobody, plain": {"method": "rlthf", "nobody": True, "amplification": (1.0,), "back_off": (0.0,)},
    "rlthf, one shot": {"method": "rlthf", "batch": 1.0},
    "random": {"method": "random"},
    "margin": {"method": "margin"},
    "cleanlab": {"method": "cleanlab"},
    "human-only": {"method": "human-only"},
}
BUDGET = 0.06
# What a cell's figures follow from.
CALLED = (
    "benchmarks/hh.py",
    "benchmarks/planner.py",
    "services/reward/curve.py",
    "services/preference/folds.py",
    "services/reward/head.py",
    "services/reward/logistic.py",
    "services/preference/pilot.py",
    "services/reward/targets.py",
    "services/preference/budget.py",
    "services/runs/plan.py",
    "services/reward/features.py",
    "services/triage/selection.py",
    "services/triage/baselines.py",
    "services/triage/posterior.py",
    "services/triage/rlthf.py",
    "services/triage/rounds.py",
    "services/triage/signals.py",
)
# Shares of the corpus at which a run is measured.
POINTS = (0.01, 0.02, 0.03, 0.06)
# The default is for runs whose people answered at least so often.
ENOUGH = 100
DRAWS = 200


def main() -> None:
    parser = parser_of(__doc__, "2,000 pairs, one seed, three methods, light features: a minute")
    parser.add_argument("--pairs", type=int, nargs="+", default=[5_000, 20_000, 80_000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--features", nargs="+", choices=hh.FEATURES, default=list(hh.FEATURES))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument(
        "--cells", type=Path, metavar="FILE", help="a line for each cell; cells that stand there are kept"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="gap and labels against the share that people answered"
    )
    asked = asked_of(parser)
    if asked.quick:
        asked.pairs, asked.seeds, asked.features, asked.methods = (
            [2_000],
            1,
            ["light"],
            ["posterior", "rlthf", "random"],
        )
    cells = list(run_grid(list(grid(asked)), asked.cells))
    print(table(cells), comparison(cells), sep="\n\n")
    if asked.json:
        write(
            str(asked.json),
            circumstances({"budget": BUDGET, "points": POINTS, "ridge": hh.RIDGE, "draws": DRAWS})
            | {"errors_by_pairs": errors_by_pairs(cells), "cells": [_without_draws(cell) for cell in cells]},
        )
    if asked.picture:
        picture(cells, asked.picture)


def grid(asked: argparse.Namespace) -> Iterator[dict]:
    """Cells, the quick ones first and each seed complete before the next."""
    for pairs in sorted(asked.pairs):
        for seed in range(asked.seeds):
            for kind in asked.features:
                for teacher, judge in QUICK if asked.quick else CASES:
                    for method in asked.methods:
                        yield {
                            "pairs": pairs,
                            "seed": seed,
                            "features": kind,
                            "teacher": teacher,
                            "judge": judge,
                            "method": method,
                        }


def run_grid(cells: Sequence[dict], file: Path | None) -> Iterator[dict]:
    """Each cell's figures, from the file where they stand there."""
    code, kept = fingerprint(), {}
    if file and file.exists():
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        kept = {_key(line): line for line in lines if line.get("code") == code}
    world, of = None, None
    for number, cell in enumerate(cells):
        if _key(cell) not in kept:
            place = {name: cell[name] for name in ("pairs", "teacher", "judge", "features", "seed")}
            if place != of:
                world, of = (
                    hh.world(place["pairs"], place["teacher"], place["judge"], place["features"], place["seed"]),
                    place,
                )
                ends = bounds(world)
            began = time.perf_counter()
            made = cell | ends | {"code": code, "curve": curve(world, cell), "seconds": time.perf_counter() - began}
            kept[_key(cell)] = made
            print(f"{number + 1} of {len(cells)}: {_said(made)}", file=sys.stderr)
            if file:
                with file.open("a") as out:
                    out.write(json.dumps(made) + "\n")
        yield kept[_key(cell)]


def fingerprint(called: Sequence[str] = CALLED) -> str:
    """Changes with the code that a cell calls."""
    return hashlib.sha256(b"".join((ROOT / path).read_bytes() for path in called)).hexdigest()[:16]


def config_of(method: str, seed: int) -> RunConfig:
    """The run's configuration as `concord run` would make it; without a pilot, as in the paper, unless METHODS says so."""
    wanted = {"judge": "recorded:made", "pilot": 0, "seed": seed, "budget": f"{BUDGET:.0%}", **METHODS[method]}
    asked = options.resolve(wanted)
    config = RunConfig(seed=seed, audit_share=asked.audit, human_weight=asked.human_weight, quorum=1, pilot=asked.pilot)
    options.set_method(config, asked)
    return config


def bounds(world: hh.World) -> dict[str, float]:
    """Test accuracies of the student taught by the judge's labels alone and by the truth; the judge's label accuracy."""
    ones, judge = np.ones(len(world.truth)), world.signals.label > 0
    taught = {"ai_only": judge, "all_human": world.truth}
    right = {name: _right(world, _fit(world, labels.astype(float), ones)) for name, labels in taught.items()}
    found = right | {"ai_labels": judge == world.truth}
    return {name: float(one.mean()) for name, one in found.items()} | {
        name + "_drawn": drawn_shares(one, DRAWS).tolist() for name, one in right.items()
    }


def curve(world: hh.World, cell: dict) -> list[dict]:
    """Test and label accuracy at each of POINTS, as far as the run got."""
    config, truth = config_of(cell["method"], cell["seed"]), world.truth
    known = planner.Known(world.signals, ((world.signals.label > 0).astype(float), np.ones(len(truth))), world.ridge)
    if config.pilot:
        return [_spent(world, known, config, share) for share in POINTS]
    budget = round(BUDGET * len(truth))
    found: dict[float, dict] = {}
    for step in planner.run(known, config, budget, _person(world)):
        share = len(step.said.pair) / len(truth)
        at = next(
            (point for point in POINTS if abs(share - point) < 0.002),
            BUDGET if step.stage == Stage.STAGE_FINAL else None,
        )
        if at is not None and at not in found and (measured := _measured(world, known, config, step)):
            found[at] = _point(world, at, step, *measured)
    return list(found.values())


def _spent(world: hh.World, known: planner.Known, config: RunConfig, share: float) -> dict:
    """The end of a run with this budget, its pilot paid from it."""
    pairs = len(world.truth)
    budget = round(share * pairs)
    drawn = draw_pilot(pairs, pilot_size(config, pairs, budget), config.seed)
    said = planner.asked(drawn, np.ones(len(drawn), bool), _person(world))
    *_, last = planner.run(known, config, budget, _person(world), said)
    assert last.head is not None and last.decided is not None
    return _point(world, share, last, last.head, last.decided.target.astype(float))


def _person(world: hh.World) -> planner.Person:
    return lambda pair, vote: float(world.truth[pair])


def _point(world: hh.World, at: float, step: planner.Step, model: head.Head, p_first: Array) -> dict:
    """What is measured where a run stands; p_first [pairs] is changed."""
    pair, truth = step.said.pair, world.truth
    p_first[pair] = step.said.p_first
    judge_wrong = (world.signals.label[pair] > 0) != truth[pair]
    tested, labels = _right(world, model), (p_first > 0.5) == truth
    return {
        "share": at,
        "asked": len(pair) / len(truth),
        "test": float(tested.mean()),
        "test_drawn": drawn_shares(tested, DRAWS).tolist(),
        "labels": float(labels.mean()),
        "labels_drawn": drawn_shares(labels, DRAWS).tolist(),
        "wrong_asked": float(judge_wrong.mean()) if len(pair) else None,
    }


def _measured(world: hh.World, known: planner.Known, config: RunConfig, step: planner.Step):
    """The reward model and P(first) [pairs] that the run would end with here; None where this stage does not say."""
    x, domain = world.signals.x, world.signals.domain
    teacher = methods.METHODS[config.method].teacher
    if teacher == Teacher.TEACHER_TRIAGE:
        if step.head is None or (step.stage, step.round) == (Stage.STAGE_TRAIN, 1):
            return None
        if step.stage not in (Stage.STAGE_TRAIN, Stage.STAGE_FINAL):
            return None
        return step.head, (head.margins(step.head, x, domain) > 0).astype(float)
    if teacher == Teacher.TEACHER_PEOPLE:
        if step.stage != Stage.STAGE_ANNOTATE:
            return None
        model = _fit(world, *lesson(known.judge, teacher, config, None, step.said, config.human_weight))
        return model, (head.margins(model, x, domain) > 0).astype(float)
    if step.decided is None or step.stage != (
        Stage.STAGE_TRIAGE if config.method == "posterior" else Stage.STAGE_ANNOTATE
    ):
        return None
    p_first = step.decided.target.astype(float) if config.method == "posterior" else known.judge[0].copy()
    return planner.final_head(known, world.signals, config, step.decided, step.said), p_first


def _fit(world: hh.World, p_first: Array, weight: Array) -> head.Head:
    return head.fit_head(world.signals.x, p_first, weight, world.signals.domain, world.ridge)


def _right(world: hh.World, model: head.Head) -> Array:
    """Of each test pair whether the model prefers what the truth prefers."""
    return (head.margins(model, world.x_test, world.domain_test) > 0) == world.truth_test


def _key(cell: dict) -> tuple:
    return tuple(cell[name] for name in ("pairs", "seed", "features", "teacher", "judge", "method"))


def gap(cell: dict, point: dict) -> float:
    """Share of the way from AI only to all human, in percent."""
    return 100 * (point["test"] - cell["ai_only"]) / (cell["all_human"] - cell["ai_only"])


def _said(cell: dict) -> str:
    name = " ".join(str(cell[name]) for name in ("pairs", "features", "teacher", "judge", "seed", "method"))
    points = ", ".join(f"{p['share']:.0%}: gap {gap(cell, p):.0f}, labels {p['labels']:.1%}" for p in cell["curve"])
    return f"{name}: {points} ({cell['seconds']:.0f} s)"


def table(cells: Sequence[dict]) -> str:
    """Mean of cases and seeds (± standard error by the pairs) for every method and budget, as Markdown."""
    heads = ["pairs", "features", "method", *(f"{point:.0%}" for point in POINTS)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (pairs, kind, method), some in grouped(cells).items():
        shown = [_mean(some, point) for point in POINTS]
        lines.append(f"| {pairs:,} | {kind} | {method} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def comparison(cells: Sequence[dict]) -> str:
    """The default beside RLTHF and beside random asking with the same model, and how often it ends below where it began.

    Difference in label accuracy, mean of cases and seeds, in points, with its standard error by the pairs. As Markdown.
    """
    lines = ["| pairs | features | asked | beside | labels right above it | in standard errors |", "|---" * 6 + "|"]
    groups = grouped(cells)
    for pairs, kind, method in groups:
        for other in ("rlthf", "posterior-random") if method == "posterior" else ():
            if (pairs, kind, other) not in groups:
                continue
            for share in POINTS:
                ours, theirs = (drawn(groups[pairs, kind, name], share) for name in ("posterior", other))
                both = sorted(ours.keys() & theirs.keys())
                if both:
                    mean, error = _mean_error([[ours[one][1], theirs[one][1]] for one in both])
                    lines.append(
                        f"| {pairs:,} | {kind} | {share:.0%} | {other} | {mean:+.1f} ± {error:.2f} | {mean / error:.0f} |"
                    )
    below, runs = fallen(cells)
    return "\n".join([*lines, "", f"Runs of the default with {ENOUGH} answers or more: {runs}. {below}"])


def fallen(cells: Sequence[dict]) -> tuple[str, int]:
    """How many runs of the default that got ENOUGH answers end below the judge, in words; and how many there are."""
    runs = [
        (cell, point)
        for cell in cells
        if cell["method"] == "posterior"
        for point in cell["curve"]
        if point["asked"] * cell["pairs"] >= ENOUGH - 0.5
    ]
    head_below = sum(point["test"] < cell["ai_only"] for cell, point in runs)
    labels_below = sum(point["labels"] < cell["ai_labels"] for cell, point in runs)
    return f"Reward models below AI only: {head_below}; labels below the judge's: {labels_below}.", len(runs)


def grouped(cells: Sequence[dict]) -> dict[tuple, list[dict]]:
    """Cells by (pairs, features, method)."""
    groups: dict[tuple, list[dict]] = {}
    for cell in cells:
        groups.setdefault((cell["pairs"], cell["features"], cell["method"]), []).append(cell)
    return groups


def _mean(cells: Sequence[dict], share: float) -> str:
    """gap % / label accuracy %, each a mean over cases and seeds with its standard error by the pairs."""
    found = list(drawn(cells, share).values())
    figures = [_mean_error([[one[at]] for one in found]) for at in (0, 1)] if found else []
    return " / ".join(f"{mean:.1f}±{error:.1f}" for mean, error in figures) or "–"


def _mean_error(cells: Sequence[Sequence[Array]]) -> tuple[float, float]:
    """Mean over cells, of the first less the second where there are two, and its standard error over the draws."""
    values = np.array([one[0] - one[1] if len(one) > 1 else one[0] for one in cells]).mean(axis=0)
    return float(values[0]), float(values[1:].std())


def drawn(cells: Sequence[dict], share: float) -> dict[tuple, tuple[Array, Array]]:
    """(teacher, judge, seed) → gap % and label accuracy % of the cells that were measured at this share; of the seeds that
    have all cases. [1 + draws]: first the figure itself, then the same with the pairs drawn anew."""
    seeds = {seed for seed, _ in means(cells, share)}
    found = dict[tuple, tuple[Array, Array]]()
    for cell in cells:
        for point in cell["curve"]:
            if cell["seed"] in seeds and abs(point["share"] - share) < 0.002:
                test, low, high = (
                    np.array([where[name], *where[name + "_drawn"]])
                    for where, name in ((point, "test"), (cell, "ai_only"), (cell, "all_human"))
                )
                labels = 100 * np.array([point["labels"], *point["labels_drawn"]])
                found[cell["teacher"], cell["judge"], cell["seed"]] = (100 * (test - low) / (high - low), labels)
    return found


def errors_by_pairs(cells: Sequence[dict]) -> list[dict]:
    """Mean and standard error by the pairs of gap and labels, percent, for every size, feature set, method and share."""
    lines = []
    for (pairs, kind, method), some in grouped(cells).items():
        for share in POINTS:
            if found := list(drawn(some, share).values()):
                (gaps, gap_error), (labels, label_error) = (_mean_error([[one[at]] for one in found]) for at in (0, 1))
                line = {"pairs": pairs, "features": kind, "method": method, "share": share, "cells": len(found)}
                figures = {"gap": gaps, "gap_error": gap_error, "labels": labels, "labels_error": label_error}
                lines.append(line | {name: round(value, 3) for name, value in figures.items()})
    return lines


def _without_draws(cell: dict) -> dict:
    """The cell as it is kept: what is drawn from it stays in the cells' own file."""
    kept = {name: value for name, value in cell.items() if not name.endswith("_drawn")}
    return kept | {"curve": [_without_draws(point) for point in cell["curve"]]} if "curve" in cell else kept


def means(cells: Sequence[dict], share: float) -> list[tuple[int, tuple[float, float]]]:
    """For each seed that has all cases: the seed, and mean gap % and label accuracy % at this share."""
    cases = len({(cell["teacher"], cell["judge"]) for cell in cells})
    by_seed: dict[int, list[tuple[float, float]]] = {}
    for cell in cells:
        for point in cell["curve"]:
            if abs(point["share"] - share) < 0.002:
                by_seed.setdefault(cell["seed"], []).append((gap(cell, point), 100 * point["labels"]))
    complete = {seed: zip(*points, strict=True) for seed, points in by_seed.items() if len(points) == cases}
    return [(seed, (statistics.fmean(gaps), statistics.fmean(labels))) for seed, (gaps, labels) in complete.items()]


def picture(cells: Sequence[dict], path: Path) -> None:
    """Gap closed and label accuracy by share, a line a method, for each size and feature set; the paper's points beside."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    places = sorted({(pairs, kind) for pairs, kind, _ in grouped(cells)})
    figure, axes = pyplot.subplots(len(places), 2, figsize=(13, 4.2 * len(places)), squeeze=False, layout="constrained")
    for row, place in zip(axes, places, strict=True):
        for (pairs, kind, method), some in grouped(cells).items():
            points = [(share, [found for _, found in means(some, share)]) for share in POINTS]
            points = [(100 * share, np.mean(found, axis=0)) for share, found in points if found]
            if (pairs, kind) != place or not points:
                continue
            number = list(METHODS).index(method)
            style = {
                "marker": "osD^v<>Pp*XhH8"[number],
                "color": pyplot.get_cmap("tab20")(2 * number % 20 + number // 10),
            }
            style["linewidth"] = 2.5 if method == "posterior" else 1.2
            for axis, at in zip(row, (0, 1), strict=True):
                axis.plot([x for x, _ in points], [found[at] for _, found in points], label=method, **style)
        row[0].plot([100 * x for x in PRINTED], list(PRINTED.values()), "k--x", label="RLTHF, printed (HH)")
        for axis, what in zip(row, ("gap closed, %", "labels right, %"), strict=True):
            axis.set(xlabel="pairs that people answered, %", ylabel=what, title=f"{place[0]:,} pairs, {place[1]}")
            axis.grid(alpha=0.3)
        row[0].set_ylim(-30, 108)
        row[1].legend(*row[0].get_legend_handles_labels(), fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.savefig(path)


if __name__ == "__main__":
    main()
