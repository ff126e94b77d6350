"""`python -m tests.simulation --seeds N --first S`: simulates these seeds and ends with one line of figures."""

import argparse
import sys
import time
import traceback

import structlog

from tests.simulation.seeds import Figures, run_seed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep-going", action="store_true", help="go on after a seed that fails")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=structlog.ReturnLoggerFactory())
    figures, failed, begun = Figures(), [], time.monotonic()
    for seed in range(given.first, given.first + given.seeds):
        try:
            run_seed(seed, figures)
        except Exception as error:
            failed.append(seed)
            if not isinstance(error, AssertionError):
                traceback.print_exc()
            print(f"seed {seed} fails: {error}\n  again: python -m tests.simulation --seeds 1 --first {seed}", flush=True)
            if not given.keep_going:
                break
    seconds = time.monotonic() - begun
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(figures.faults.items()))
    print(
        f"{figures.seeds} seeds good, {len(failed)} bad; {figures.runs} runs, {figures.pairs} pairs, {figures.facts} facts, "
        f"{figures.steps} steps, {figures.faults.total()} faults ({kinds}), {seconds:.1f} s, "
        f"{figures.seeds / seconds:.1f} seeds/s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
