"""The judges' benchmarks as results: the figures of `judge_speed` and `judge_noise` with date, commit and machine."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmarks.measure import circumstances

Cell = dict


def noise(cells: Sequence[Cell]) -> dict[str, object]:
    """Figures of `judge_noise`'s runs."""
    budgets = sorted({cell["budget"] for cell in cells})
    settings = {
        "budgets": budgets,
        "cases": len({cell["case"] for cell in cells}),
        "seeds": len({cell["seed"] for cell in cells}),
    }
    groups: dict[str, dict] = defaultdict(dict)
    cases: dict[str, dict] = defaultdict(dict)
    for method, group in sorted({(_method(cell), cell["group"]) for cell in cells}):
        groups[group][method] = summary([cell for cell in cells if (_method(cell), cell["group"]) == (method, group)])
    for method, case in sorted({(_method(cell), cell["case"]) for cell in cells}):
        mine = [cell for cell in cells if (_method(cell), cell["case"]) == (method, case)]
        kept = {
            "pairs": mine[0]["pairs"],
            "start": mine[0]["start"],
            "end": _mean(mine, "end"),
            "removed": _mean(mine, "removed"),
        }
        cases[case][method] = kept
    return circumstances(settings) | {"groups": groups, "cases": cases}


def summary(cells: Sequence[Cell]) -> dict[str, object]:
    """Over all cases and seeds of one group and method; shares, not per cent."""
    seeds = {cell["seed"] for cell in cells}
    by_seed = [_mean([cell for cell in cells if cell["seed"] == seed], "removed") for seed in seeds]
    held = [cell for cell in cells if cell["audited_error"]]
    return {
        "runs": len(cells),
        "errors_removed": _mean(cells, "removed"),
        "errors_removed_sd_over_seeds": float(np.std(by_seed)),
        "runs_that_end_below_their_start": sum(cell["end"] < cell["start"] for cell in cells),
        "worst_change": min(cell["end"] - cell["start"] for cell in cells),
        "error_left": _mean(cells, "error_left"),
        "error_left_expected": _mean(cells, "expected_error"),
        "audits": len(held),
        "audits_that_hold_the_error": sum(
            c["audited_error"][1] <= c["error_left"] <= c["audited_error"][2] for c in held
        ),
        "gate_shut": sum(cell["gate"] for cell in cells),
        "seconds_a_round": _mean(cells, "seconds_a_round"),
    }


def _method(cell: Cell) -> str:
    return f"{cell['method']}{', pilot' if cell['pilot'] else ''}, {cell['budget']:.0%}"


def _mean(cells: Sequence[Cell], name: str) -> float:
    return float(np.mean([cell[name] for cell in cells]))
