"""`python -m tests.fuzz --minutes 10 [--target NAME] [--count N] [--seed S] [--json FILE]`: random inputs for every door.

Exits with 1 where an input fails; its seed is kept.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.measure import circumstances
from tests.fuzz import runner


def main() -> int:
    """The exit status."""
    known = runner.targets()
    words = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    words.add_argument("--minutes", type=float, default=1.0, help="for how long, all targets together")
    words.add_argument("--target", action="append", choices=sorted(known), help="this one alone; may be repeated")
    words.add_argument("--count", type=int, help="inputs of each target, however long they take")
    words.add_argument("--seed", type=int, help="of the first input; they count up from there")
    words.add_argument("--json", type=Path, metavar="FILE", help="adds what was tried to the figures in this file")
    asked = words.parse_args()
    seed = time.time_ns() // 1_000 if asked.seed is None else asked.seed
    chosen = {name: known[name] for name in asked.target or known}
    accounts = runner.run(chosen, asked.minutes, asked.count, seed, print)
    failures = [failure for account in accounts.values() for failure in account.failures]
    if failures:
        runner.keep(failures)
    if asked.json:
        runner.write_down(accounts, seed, circumstances({}), asked.json)
    print(f"first seed {seed}", *runner.lines(accounts), sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
