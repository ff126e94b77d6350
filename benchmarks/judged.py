"""The judges' benchmarks as results: the figures of `judge_speed` and `judge_noise` with date, commit and machine."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.measure import circumstances
from benchmarks.pair_bootstrap import Outcome, errors_removed

Cell = dict
# Case → the numbers of its pairs in the data, in its order: the same pair has the same number in all cases.
RowsOf = Mapping[str, np.ndarray]


def noise(cells: Sequence[Cell], rows: RowsOf) -> dict[str, object]:
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
        mine = [cell for cell in cells if (_method(cell), cell["group"]) == (method, group)]
        groups[group][method] = summary(mine, rows)
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


def summary(cells: Sequence[Cell], rows: RowsOf) -> dict[str, Any]:
    """Over all cases and seeds of one group and method; shares, not per cent. `rows`: see `RowsOf`."""
    seeds = {cell["seed"] for cell in cells}
    by_seed = [_mean([cell for cell in cells if cell["seed"] == seed], "removed") for seed in seeds]
    held = [cell for cell in cells if cell["audited_error"]]
    return {
        "runs": len(cells),
        "errors_removed": _mean(cells, "removed"),
        "errors_removed_sd_over_seeds": float(np.std(by_seed)),
        "errors_removed_error_by_pairs": errors_removed([_outcome(cell, rows[cell["case"]]) for cell in cells])[1],
        "start": _mean(cells, "start"),
        "end": _mean(cells, "end"),
        "runs_that_end_below_their_start": sum(cell["end"] < cell["start"] for cell in cells),
        "runs_a_point_below": sum(cell["end"] < cell["start"] - 0.01 for cell in cells),
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


def _outcome(cell: Cell, rows: np.ndarray) -> Outcome:
    code = np.array(list(cell["outcomes"]))
    decided = code != "-"
    kept = code[decided].astype(int)
    return Outcome(rows[decided], kept >= 2, kept % 2 == 1)


def _method(cell: Cell) -> str:
    return f"{cell['method']}{', pilot' if cell['pilot'] else ''}, {cell['budget']:.0%}"


def _mean(cells: Sequence[Cell], name: str) -> float:
    return float(np.mean([cell[name] for cell in cells]))
