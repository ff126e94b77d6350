"""`python -m tests.simulation --seeds N --first S`: simulates these seeds and ends with one line of figures."""

import argparse
import sys
import time

from tests.simulation.seeds import Figures, run_seeds

AT_ONCE = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep-going", action="store_true", help="go on after a seed that fails")
    given = parser.parse_args()
    figures, begun, last = Figures(), time.monotonic(), given.first + given.seeds
    for first in range(given.first, last, AT_ONCE):
        found = run_seeds(range(first, min(first + AT_ONCE, last)), given.keep_going)
        figures.add(found)
        for seed, report in found.failures:
            print(
                f"seed {seed} fails: {report}\nagain: python -m tests.simulation --seeds 1 --first {seed}", flush=True
            )
        if found.failures and not given.keep_going:
            break
    print(figures.line(time.monotonic() - begun))
    return 1 if figures.failures else 0


if __name__ == "__main__":
    sys.exit(main())
