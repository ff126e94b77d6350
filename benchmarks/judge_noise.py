"""What a few people's answers repair in real judges' labels: shares of the judge's errors removed, case by case.

    python benchmarks/judge_noise.py                 everything: 18 cases, 3 methods, pilot off and on, 6 seeds
    python benchmarks/judge_noise.py --quick         the non-adversarial cases with 2 seeds; under a minute
    python benchmarks/judge_noise.py --json out.jsonl

One run starts with one judge's verdicts in one order, buys answers (the pairs' human majority) with a budget of 6 % of
the pairs, and counts label errors over all pairs that people decided. Pairs whose people say tie stay in the run and
cost votes, but leave the count; pairs without a usable verdict of the judge are not in the case. Reads
`judged_pairs.jsonl.gz` in CONCORD_DATA. With --json each finished run is a line there, and is not done again until
the code or its settings change.
"""
import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.judged_cases import CASES, Case, World, read_rows, world  # noqa: E402
from concord.v1 import config_pb2  # noqa: E402
from services.preference.answers import Answers  # noqa: E402
from services.preference.pilot import draw_pilot, misaligned, pilot_size  # noqa: E402
from services.triage.rounds import Round, triage_posterior, triage_random  # noqa: E402
from services.triage.signals import wrong_labels  # noqa: E402

Array = np.ndarray

BUDGET = 0.06
BATCH = 0.01
AUDIT = 0.1
SEEDS = 6
NOBODY = Answers(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))
METHODS = {"posterior": triage_posterior, "random": triage_random, "none": triage_random}


def run(there: World, method: str, with_pilot: bool, seed: int, budget_share: float) -> dict:
    """Spend the budget round by round as the loop does, and count what is wrong at the end."""
    pairs = len(there.truth)
    budget = round(budget_share * pairs) if method != "none" else 0
    config = config_pb2.RunConfig(seed=seed, audit_share=AUDIT)
    answers, gate = NOBODY, False
    if with_pilot and budget:
        drawn = draw_pilot(pairs, pilot_size(pairs, budget), seed)
        answers = _answered(answers, drawn, np.ones(len(drawn), dtype=bool), there.truth)
        _, wrong = wrong_labels(there.signals, answers)
        gate = misaligned(int((wrong == 0).sum()), len(wrong))
    round_, started = 0, time.perf_counter()
    while True:
        round_ += 1
        places = min(max(3, round(BATCH * pairs)), budget - len(answers.pair))
        decided = METHODS[method](there.signals, answers, config, round_, places)
        if not places:
            break
        answers = _answered(answers, decided.asked.pair, decided.asked.audit, there.truth)
    seconds = (time.perf_counter() - started) / round_
    return _figures(there, answers, decided) | {"gate": gate, "seconds_a_round": seconds}


def _answered(answers: Answers, pair: Array, audit: Array, truth: Array) -> Answers:
    return Answers(
        np.concatenate([answers.pair, pair]),
        np.concatenate([answers.p_first, truth[pair]]),
        np.concatenate([answers.audit, audit]),
        np.concatenate([answers.votes, np.ones(len(pair), dtype=np.int64)]),
    )


def _figures(there: World, answers: Answers, decided: Round) -> dict:
    label, decisive = there.signals.label, there.truth != 0.5
    first = there.truth[decisive] == 1
    start = float(((label[decisive] > 0) == first).mean())
    end = float(((decided.target[decisive] > 0.5) == first).mean())
    open_ = np.ones(len(label), dtype=bool)
    open_[answers.pair] = False
    left = open_ & decisive
    error_left = float(((decided.target[left] > 0.5) != (there.truth[left] == 1)).mean())
    audited = decided.audited
    return {
        "pairs": len(label),
        "decisive": int(decisive.sum()),
        "asked": len(answers.pair),
        "audited": int(answers.audit.sum()),
        "start": start,
        "end": end,
        "removed": (end - start) / (1 - start),
        "flipped": decided.flipped,
        "error_left": error_left,
        "expected_error": decided.expected_error,
        "audited_error": [audited.error, audited.low, audited.high] if audited else None,
    }


def grid(cases: list[Case], seeds: int) -> Iterator[tuple[Case, str, bool, int]]:
    for case in cases:
        for method in METHODS:
            for with_pilot in (False, True) if method == "posterior" else (False,):
                for seed in range(seeds if method != "none" else 1):
                    yield case, method, with_pilot, seed


def fingerprint(options: argparse.Namespace) -> str:
    """Changes with the code that a run calls and with the settings."""
    folders = ("preference", "scoring", "training", "triage")
    files = sorted(Path(__file__).parent.glob("judge*.py"))
    files += [path for folder in folders for path in sorted((ROOT / "services" / folder).glob("*.py"))]
    settings = f"{options.budget} {options.by_source}".encode()
    return hashlib.sha256(b"".join(path.read_bytes() for path in files) + settings).hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="non-adversarial cases, 2 seeds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="a line for each run; runs that stand there are kept")
    parser.add_argument("--seeds", type=int, default=None, help=f"default {SEEDS}")
    parser.add_argument("--budget", type=float, default=BUDGET, help=f"share of the pairs, default {BUDGET}")
    parser.add_argument("--by-source", action="store_true", help="let `source` be the pairs' domain")
    options = parser.parse_args()
    cases = [case for case in CASES if not options.quick or case.group == "friendly"]
    results = run_grid(cases, options.seeds or (2 if options.quick else SEEDS), options)
    print(report(results))


def run_grid(cases: list[Case], seeds: int, options: argparse.Namespace) -> list[dict]:
    code, kept = fingerprint(options), {}
    if options.json and options.json.exists():
        lines = [json.loads(line) for line in options.json.read_text().splitlines()]
        kept = {_key(line): line for line in lines if line["code"] == code}
    rows, worlds, results = read_rows(), {}, []
    for case, method, with_pilot, seed in grid(cases, seeds):
        cell = {"case": case.name, "group": case.group, "method": method, "pilot": with_pilot, "seed": seed}
        if _key(cell) not in kept:
            if case.name not in worlds:
                worlds = {case.name: world(case, rows, options.by_source)}
            kept[_key(cell)] = cell | {"code": code} | run(worlds[case.name], method, with_pilot, seed, options.budget)
            if options.json:
                with options.json.open("a") as out:
                    out.write(json.dumps(kept[_key(cell)]) + "\n")
        results.append(kept[_key(cell)])
    return results


def _key(cell: dict) -> tuple:
    return cell["case"], cell["method"], cell["pilot"], cell["seed"]


def report(results: list[dict]) -> str:
    kinds = {(cell["method"], cell["pilot"]): None for cell in results if cell["method"] != "none"}
    lines = [
        "Label accuracy in % at the start -> at the end, mean over seeds [lowest run]; share of the judge's errors removed",
        f"{'case':44s} {'pairs':>5s} {'start':>6s}" + "".join(f"{_title(*kind):>26s}" for kind in kinds),
    ]
    for name in dict.fromkeys(cell["case"] for cell in results):
        mine = [cell for cell in results if cell["case"] == name]
        line = f"{name:44s} {mine[0]['pairs']:5d} {100 * mine[0]['start']:6.1f}"
        lines.append(line + "".join(_figure([c for c in mine if (c["method"], c["pilot"]) == kind]) for kind in kinds))
    for group in dict.fromkeys(cell["group"] for cell in results):
        lines.append(f"\n{group} cases")
        for kind in kinds:
            lines += _summary(_title(*kind), [c for c in results if (c["group"], c["method"], c["pilot"]) == (group, *kind)])
    return "\n".join(lines)


def _title(method: str, pilot: bool) -> str:
    return f"{method}, pilot {'on' if pilot else 'off'}"


def _figure(cells: list[dict]) -> str:
    end, removed = [100 * cell["end"] for cell in cells], 100 * _mean(cells, "removed")
    return f"{np.mean(end):10.1f} [{min(end):.1f}] {removed:+5.1f} %"


def _summary(name: str, cells: list[dict]) -> list[str]:
    by_seed = [_mean([c for c in cells if c["seed"] == seed], "removed") for seed in {c["seed"] for c in cells}]
    below = [cell for cell in cells if cell["end"] < cell["start"]]
    worst = min(cell["end"] - cell["start"] for cell in cells)
    held = [cell for cell in cells if cell["audited_error"]]
    covered = sum(cell["audited_error"][1] <= cell["error_left"] <= cell["audited_error"][2] for cell in held)
    return [
        f"  {name:22s} {100 * _mean(cells, 'removed'):5.1f} % of errors removed (sd over seeds {100 * np.std(by_seed):.1f}); "
        f"{len(below)} of {len(cells)} runs end below their start, worst {100 * worst:+.1f} points;",
        f"  {'':22s} error left {_mean(cells, 'error_left'):.3f}, model expects {_mean(cells, 'expected_error'):.3f}, "
        f"audit's 95 % interval holds it in {covered} of {len(held)}; "
        f"gate shut {sum(cell['gate'] for cell in cells)} times; {1000 * _mean(cells, 'seconds_a_round'):.1f} ms a round",
    ]


def _mean(cells: list[dict], name: str) -> float:
    return float(np.mean([cell[name] for cell in cells]))


if __name__ == "__main__":
    main()
