"""What ppi-python and truescore make of the same draws as our estimator: coverage and width of 95 % intervals, a simulation.

    python -m venv /tmp/references && /tmp/references/bin/pip install ppi-python truescore
    python -m benchmarks.certificate_references /tmp/references/bin/python

One uniform draw of 200 of 10,000 labels, predictions that know a part; no rounds and no targeted questions, which the two
do not take. The references run in an environment of their own, and read the draws as JSON.
"""

import json
import subprocess
import sys
from collections.abc import Mapping

import numpy as np

from concord.certificate.estimate import estimate
from concord.certificate.evidence import Evidence

ROWS, ASKED, DRAWS, FIRST_SEED = 10_000, 200, 400, 100_000
# Run by the other Python: a line in for each draw, a line out with each reference's interval.
THEIRS = """
import json, sys, warnings
import numpy as np
warnings.simplefilter("ignore")
from ppi_py import ppi_mean_ci
from truescore import ppi_estimate
for line in sys.stdin:
    draw = json.loads(line)
    y, f, index = (np.array(draw[name]) for name in ("y", "f", "index"))
    rest = np.delete(f, index)
    low, high = ppi_mean_ci(y, f[index], rest, alpha=0.05)
    made = ppi_estimate(f, y, index)
    print(json.dumps({"ppi-python": [float(low[0]), float(high[0])], "truescore": [made.low, made.high]}), flush=True)
"""


def draw(seed: int, rate: float) -> tuple[Evidence, float]:
    """Labels wrong at about this rate, as a model half knows, and one uniform draw of answers; and the true error."""
    generator = np.random.default_rng(seed)
    p = np.clip(rate * generator.choice([0.3, 3.0], ROWS, p=[0.75, 0.25]), 0, 0.9)
    wrong = generator.random(ROWS) < p
    index = generator.choice(ROWS, ASKED, replace=False)
    once, yes = np.ones(ASKED, np.int64), np.ones(ASKED, bool)
    nobody, error = np.full(ASKED, np.nan), wrong[index].astype(float)
    return Evidence(p, index, 0 * once, yes, error, nobody, ~yes, once, ~yes), float(wrong.mean())


def intervals(python: str, drawn: list[Evidence]) -> Mapping[str, list[tuple[float, float]]]:
    """Each estimator's interval of each draw."""
    asked = "\n".join(
        json.dumps({"y": one.error.tolist(), "f": one.p_error.tolist(), "index": one.pair.tolist()}) for one in drawn
    )
    done = subprocess.run([python, "-c", THEIRS], input=asked, capture_output=True, text=True, check=True)
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    found = {name: [tuple(line[name]) for line in theirs] for name in theirs[0]}
    return {"concord": [estimate(one).ends() for one in drawn]} | found  # type: ignore[union-attr]


def main() -> None:
    """Prints a line for each error rate and estimator."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for rate in (0.03, 0.08, 0.2):
        drawn = [draw(FIRST_SEED + at, rate) for at in range(DRAWS)]
        for name, ends in intervals(sys.argv[1], [one for one, _ in drawn]).items():
            held = np.mean([low <= right <= high for (low, high), (_, right) in zip(ends, drawn, strict=True)])
            width = 100 * np.mean([high - low for low, high in ends])
            print(f"error about {rate:.0%}: {name:10} coverage {100 * held:.1f} %, width {width:.1f} points")


if __name__ == "__main__":
    main()
