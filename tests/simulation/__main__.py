"""`python -m tests.simulation --seeds N --first S`: simulates these seeds and ends with one line of figures.

Of the first seed that fails it says the fewest faults with which it still does, and how to see it again.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.measure import circumstances
from tests.simulation.seeds import Figures, failure, minimal, plan_of, run_seed, run_seeds, silence

AT_ONCE = 10


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep-going", action="store_true", help="go on after a seed that fails")
    parser.add_argument(
        "--faults", metavar="N,N", help="of the seed --first alone, with these of its faults alone, counted from 0"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="adds the figures to those in this file")
    given = parser.parse_args()
    silence()
    if given.faults is not None:
        plan = plan_of(given.first)
        run_seed(given.first, plan=[plan[int(at)] for at in given.faults.split(",") if at])
        print(f"seed {given.first} holds with these faults")
        return 0
    before = json.loads(given.json.read_text())["runs"] if given.json and given.json.exists() else []
    figures, begun, last = Figures(), (time.monotonic(), time.process_time()), given.first + given.seeds
    for first in range(given.first, last, AT_ONCE):
        found = run_seeds(range(first, min(first + AT_ONCE, last)), given.keep_going)
        for seed, report in found.failures:
            print(f"seed {seed} fails: {report}", flush=True)
            if not figures.failures:
                print(_again(seed), flush=True)
        figures.add(found)
        if given.json:
            # As far as it has come: it may be ended at any moment, and taken up again with --first.
            _write_down(before, figures, given.first, time.process_time() - begun[1], given.json)
        if found.failures and not given.keep_going:
            break
    print(figures.line(time.monotonic() - begun[0]))
    return 1 if figures.failures else 0


def _again(seed: int) -> str:
    """The fewest faults of a seed that fails, and the command that shows it."""
    plan = plan_of(seed)
    kept = minimal(seed)
    lines = [f"  {fault}" for fault in kept]
    numbers = ",".join(str(plan.index(fault)) for fault in kept)
    return "\n".join(
        [
            f"the fewest of its {len(plan)} faults with which it still does ({failure(seed, plan=kept)}):",
            *lines,
            f"again: python -m tests.simulation --first {seed} --faults={numbers}",
        ]
    )


def _write_down(before: list[dict], figures: Figures, first: int, processor_s: float, path: Path) -> None:
    """Adds one run to the file: {"seeds": of all runs, "runs": [each]}."""
    about = {"first": first, "seeds": figures.seeds, "processor_s": round(processor_s, 1), **figures.counts()}
    runs = [*before, {**circumstances({}), **about, "failed": [seed for seed, _ in figures.failures]}]
    path.write_text(json.dumps({"seeds": sum(one["seeds"] for one in runs), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
