"""What a few people's answers repair in real judges' labels: shares of the judge's errors removed, case by case.

    python -m benchmarks.judge_noise [--data DIR] [--full | --signals] [--quick] [--cells FILE] [--json [FILE]]

18 cases, 5 methods, pilot off and on, 6 seeds; with --full every method, at 1, 3, 6, 10 and 20 %. With --signals cases by
what is known beside one endpoint's verdicts in both orders: verdicts of its own further prompts, or helpers, at 3, 6 and 10 %.

One run starts with one judge's verdicts in one order, buys answers (the pairs' human majority) with a budget of 6 % of
the pairs, by the plan and the functions of the services (planner.py), and counts label errors over all pairs that
people decided. Pairs whose people say tie stay in the run and cost votes, but leave the count; pairs without a usable
verdict of the judge are not in the case. Reads
`judged_pairs.jsonl.gz`. With --cells each finished run is a line there, and is not done again until the code or its
settings change.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks import judged, planner
from benchmarks.judged_cases import BY_SIGNALS, CASES, Case, World, of_case, read_rows, world
from benchmarks.measure import asked_of, parser_of, write
from concord.client.run import options
from concord.preference.annotations import Answers
from concord.preference.budget import pilot_size
from concord.preference.methods import COMPARED, METHODS
from concord.preference.pilot import draw_pilot, misaligned
from concord.runs import plan
from concord.triage.signals import wrong_labels
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage

Array = np.ndarray
ROOT = Path(__file__).resolve().parent.parent

BUDGET = 0.06
BUDGETS = (0.01, 0.03, 0.06, 0.1, 0.2)
BY_SIGNALS_BUDGETS = (0.03, 0.06, 0.1)
SEEDS = 6
# Without --full.
USUAL = ["posterior", "posterior-random", "better-judge", "random", "none"]
# Whether there is a pilot; the other methods have none here.
PILOTS = {"posterior": (False, True), "posterior-random": (True,)}


def run(there: World, method: str, with_pilot: bool, seed: int, budget_share: float) -> dict:
    """Spend the budget as a run of the system does, and count what is wrong at the end."""
    pairs, label = len(there.truth), there.signals.label
    budget = round(budget_share * pairs) if METHODS[method].asks else 0
    asked = options.resolve(
        {"judge": "recorded:made", "method": method, "seed": seed, "pilot": -1 if with_pilot else 0}
    )
    config = RunConfig(seed=seed, audit_share=asked.audit, human_weight=asked.human_weight, quorum=1, pilot=asked.pilot)
    options.set_method(config, asked)
    answers, gate = planner.NOBODY, False
    if with_pilot and budget:
        drawn = draw_pilot(pairs, pilot_size(config, pairs, budget), seed)
        ones = np.ones(len(drawn), np.int64)
        answers = Answers(drawn.astype(np.int64), there.truth[drawn], ones.astype(bool), ones)
        _, wrong = wrong_labels(there.signals, answers)
        gate = misaligned(int((wrong == 0).sum()), len(wrong))
    known = planner.Known(there.signals, ((label > 0).astype(float), np.ones(pairs)))
    started = time.perf_counter()
    steps = list(planner.run(known, config, budget, lambda pair, vote: float(there.truth[pair]), answers))
    rounds = max(1, sum(step.stage == Stage.STAGE_TRIAGE for step in steps))
    seconds = (time.perf_counter() - started) / rounds
    return _figures(there, steps[-1]) | {"gate": gate, "seconds_a_round": seconds}


def _figures(there: World, last: planner.Step) -> dict:
    label, decisive, answers = there.signals.label, there.truth != 0.5, last.said
    p_first = last.decided.target.astype(float) if last.decided else (label > 0).astype(float)
    p_first[answers.pair] = answers.p_first
    first = there.truth[decisive] == 1
    start = float(((label[decisive] > 0) == first).mean())
    end = float(((p_first[decisive] > 0.5) == first).mean())
    open_ = np.ones(len(label), dtype=bool)
    open_[answers.pair] = False
    left = open_ & decisive
    audited = last.decided.audited if last.decided else None
    right = np.where(label > 0, there.truth == 1, there.truth == 0), (p_first > 0.5) == (there.truth == 1)
    return {
        # Of each pair, in the case's order: 1 right at the end alone, 2 at the start alone, 3 at both, 0 never; - a tie.
        "outcomes": "".join(np.where(decisive, (2 * right[0] + right[1]).astype(str), "-")),
        "pairs": len(label),
        "decisive": int(decisive.sum()),
        "asked": len(answers.pair),
        "audited": int(answers.audit.sum()),
        "start": start,
        "end": end,
        "removed": (end - start) / (1 - start),
        "flipped": last.decided.flipped if last.decided else 0,
        "error_left": float(((p_first[left] > 0.5) != (there.truth[left] == 1)).mean()),
        "expected_error": last.decided.expected_error if last.decided else 0.0,
        "audited_error": [audited.error, audited.low, audited.high] if audited else None,
    }


def grid(
    cases: list[Case], methods: list[str], budgets: list[float], seeds: int, pilots: Mapping[str, tuple[bool, ...]]
) -> Iterator[tuple[Case, str, bool, float, int]]:
    """(case, method, with pilot, share of the pairs asked, seed) of each run; who asks nobody needs no second budget or seed."""
    for case in cases:
        for method in methods:
            for with_pilot in pilots.get(method, (False,)):
                for budget in budgets if METHODS[method].asks else budgets[:1]:
                    for seed in range(seeds if METHODS[method].asks else 1):
                        yield case, method, with_pilot, budget, seed


def fingerprint(asked: argparse.Namespace) -> str:
    """Changes with the code that a run calls and with the settings."""
    folders = ("preference", "scoring", "training", "triage")
    files = sorted(Path(__file__).parent.glob("judge*.py"))
    files += [path for folder in folders for path in sorted((ROOT / "services" / folder).glob("*.py"))]
    files += [Path(planner.__file__), Path(plan.__file__)]
    settings = f"{asked.by_source}".encode()
    return hashlib.sha256(b"".join(path.read_bytes() for path in files) + settings).hexdigest()[:16]


def main() -> None:
    parser = parser_of(__doc__, "the non-adversarial cases with 2 seeds; under a minute")
    parser.add_argument(
        "--cells", type=Path, metavar="FILE", help="a line for each run; runs that stand there are kept"
    )
    parser.add_argument("--seeds", type=int, default=None, help=f"default {SEEDS}")
    parser.add_argument("--budgets", type=float, nargs="+", default=None, help=f"shares of the pairs, default {BUDGET}")
    parser.add_argument("--full", action="store_true", help=f"every method, budgets {', '.join(map(str, BUDGETS))}")
    parser.add_argument("--by-source", action="store_true", help="let `source` be the pairs' domain")
    parser.add_argument("--signals", action="store_true", help="cases by what is known beside one endpoint's verdicts")
    asked = asked_of(parser)
    if asked.signals:
        cases = [case for case in BY_SIGNALS if not asked.quick or case.judge == "ChatGPT"]
    else:
        cases = [case for case in CASES if not asked.quick or case.group == "friendly"]
    results = run_grid(cases, asked.seeds or (2 if asked.quick else SEEDS), asked)
    rows = rows_of(cases)
    print(report(results, rows))
    if asked.json:
        write(asked.json, judged.noise(results, rows))


def rows_of(cases: list[Case]) -> judged.RowsOf:
    """For each case the numbers of its pairs in the data, in its order."""
    rows = read_rows()
    number = {row["id"]: at for at, row in enumerate(rows)}
    return {case.name: np.array([number[row["id"]] for row, _ in of_case(case, rows)]) for case in cases}


def run_grid(cases: list[Case], seeds: int, asked: argparse.Namespace) -> list[dict]:
    """A row for each run: its cell and `run`'s figures; those that `--cells` has from the same code are not run again."""
    code, kept = fingerprint(asked), {}
    if asked.cells and asked.cells.exists():
        lines = [json.loads(line) for line in asked.cells.read_text().splitlines()]
        kept = {_key(line): line for line in lines if line["code"] == code}
    rows, worlds, results = read_rows(), {}, []
    usual = BUDGETS if asked.full else BY_SIGNALS_BUDGETS if asked.signals else [BUDGET]
    # What a user gets has a pilot.
    pilots = PILOTS | ({"posterior": (True,)} if asked.signals else {})
    methods = COMPARED if asked.full else USUAL
    for case, method, with_pilot, budget, seed in grid(cases, methods, asked.budgets or list(usual), seeds, pilots):
        cell = {
            "case": case.name,
            "group": case.group,
            "method": method,
            "pilot": with_pilot,
            "budget": budget,
            "seed": seed,
        }
        if _key(cell) not in kept:
            if case.name not in worlds:
                worlds = {case.name: world(case, rows, asked.by_source)}
            kept[_key(cell)] = cell | {"code": code} | run(worlds[case.name], method, with_pilot, seed, budget)
            if asked.cells:
                with asked.cells.open("a") as out:
                    out.write(json.dumps(kept[_key(cell)]) + "\n")
        results.append(kept[_key(cell)])
    return results


def _key(cell: dict) -> tuple:
    return cell["case"], cell["method"], cell["pilot"], cell["budget"], cell["seed"]


def report(results: list[dict], rows: judged.RowsOf) -> str:
    """The cases one by one at BUDGET, then each group of cases, budget by budget."""
    kinds = {(cell["method"], cell["pilot"]): None for cell in results if cell["method"] != "none"}
    budgets = sorted({cell["budget"] for cell in results if METHODS[cell["method"]].asks})
    shown = BUDGET if BUDGET in budgets else budgets[0]
    lines = [
        f"Label accuracy in % at the start -> at the end, {shown:.0%} asked, mean over seeds [lowest run]; errors removed",
        f"{'case':44s} {'pairs':>5s} {'start':>6s}" + "".join(f"{_title(*kind):>26s}" for kind in kinds),
    ]
    for name in dict.fromkeys(cell["case"] for cell in results):
        mine = [cell for cell in results if cell["case"] == name]
        line = f"{name:44s} {mine[0]['pairs']:5d} {100 * mine[0]['start']:6.1f}"
        lines.append(line + "".join(_figure([c for c in mine if _is(c, kind, shown)]) for kind in kinds))
    for group in dict.fromkeys(cell["group"] for cell in results):
        for budget in budgets:
            lines.append(f"\n{group} cases, {budget:.0%} asked")
            for kind in kinds:
                mine = [c for c in results if c["group"] == group and _is(c, kind, budget)]
                lines += _summary(_title(*kind), mine, rows)
    return "\n".join(lines)


def _is(cell: dict, kind: tuple[str, bool], budget: float) -> bool:
    """Methods that ask nobody stand beside every budget."""
    return (cell["method"], cell["pilot"]) == kind and (not METHODS[cell["method"]].asks or cell["budget"] == budget)


def _title(method: str, pilot: bool) -> str:
    return f"{method}, pilot {'on' if pilot else 'off'}"


def _figure(cells: list[dict]) -> str:
    end, removed = [100 * cell["end"] for cell in cells], 100 * _mean(cells, "removed")
    return f"{np.mean(end):10.1f} [{min(end):.1f}] {removed:+5.1f} %"


def _summary(name: str, cells: list[dict], rows: judged.RowsOf) -> list[str]:
    said = judged.summary(cells, rows)
    return [
        f"  {name:26s} {100 * said['errors_removed']:5.1f} ± {100 * said['errors_removed_error_by_pairs']:.1f} % of errors removed "
        f"(by pairs; sd over seeds {100 * said['errors_removed_sd_over_seeds']:.1f}); right at the end {100 * said['end']:.1f} %; "
        f"{said['runs_that_end_below_their_start']} of {said['runs']} runs end below their start, "
        f"{said['runs_a_point_below']} by over a point, worst {100 * said['worst_change']:+.1f};",
        f"  {'':26s} error left {said['error_left']:.3f}, model expects {said['error_left_expected']:.3f}, "
        f"audit's 95 % interval holds it in {said['audits_that_hold_the_error']} of {said['audits']}; "
        f"gate shut {said['gate_shut']} times; {1000 * said['seconds_a_round']:.1f} ms a round",
    ]


def _mean(cells: list[dict], name: str) -> float:
    return float(np.mean([cell[name] for cell in cells]))


if __name__ == "__main__":
    main()
