"""What a change of the whole tree costs: loop, log and judge of an earlier commit beside those of this one.

    python -m benchmarks.before COMMIT [--pairs N] [--parts PART …] [--data DIR] [--quick] [--json [FILE]]

Both trees run in the same environment, one process after the other, taking turns; a pair is one run of each. The loop is
`benchmarks.loop`'s own side (20,000 pairs and the bundled sample; --quick: 2,000), the log `benchmarks.log --quick` with a
broker of its own where one starts, the judge `benchmarks.judge_speed`'s sides, each tree against its own stand-in. A ratio is
seconds now by seconds before (of the log: facts a second before by those now), so 1.05 is 5 % worse; its interval is the
bootstrap's over the pairs, of their geometric mean. The datasets of both trees must be the same, or there are no figures.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from benchmarks.__main__ import broker
from benchmarks.loop import ONE_THREAD, ROOT
from benchmarks.measure import asked_of, circumstances, parser_of, spread, write

PAIRS = 7
# 5 % worse: an interval that lies wholly beyond it is a loss.
WORST = 1.05
RESAMPLES = 10_000
# Figures of `benchmarks.log`, in facts a second.
LOGS = ("sqlite_append", "sqlite_read", "kafka_append", "kafka_read", "kafka_poll")


@contextmanager
def tree_of(commit: str):
    """The commit's files with their stubs, made by its own build hook, in a folder that goes away again."""
    made = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
    if made.returncode:
        sys.exit(f"{commit}: {made.stderr.decode().strip()}; a shallow clone has it after `git fetch --unshallow`")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
            archive.extractall(folder, filter="data")
        subprocess.run([sys.executable, "hatch_build.py", "."], cwd=folder, check=True)
        yield Path(folder)


def run(tree: Path, *arguments: str) -> dict:
    """`python -m ARGUMENTS` with this tree's packages; what it prints as JSON. Raises CalledProcessError."""
    # Before the package `concord` was the folder services, the stubs alone bore that name, and lay beside the protos.
    path = os.pathsep.join(str(tree / place) for place in ("src", ".", "protos"))
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], check=True, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def interval(ratios: Sequence[float]) -> dict[str, object]:
    """The geometric mean of the ratios, and its 90 % bootstrap interval over the pairs."""
    logs = np.log(np.asarray(ratios))
    drawn = np.random.default_rng(0).choice(logs, (RESAMPLES, len(logs))).mean(axis=1)
    low, high = np.exp(np.quantile(drawn, (0.05, 0.95)))
    return {"mean": float(np.exp(logs.mean())), "low": float(low), "high": float(high), "each": spread(ratios)}


def loops(trees: dict[str, Path], corpus: str, size: int, pairs: int) -> dict[str, object]:
    """Wall and CPU seconds of a whole run."""
    found: dict[str, list[dict]] = {name: [] for name in trees}
    for number in range(pairs):
        for name in list(trees)[:: 1 if number % 2 else -1]:
            found[name].append(run(trees[name], "benchmarks.loop", "--side", "concord", corpus, str(size)))
            print(f"  {corpus} {number + 1}/{pairs} {name}: {found[name][-1]['wall_s']:.2f} s", file=sys.stderr)
    hashes = {one["dataset_sha256"] for ones in found.values() for one in ones}
    if len(hashes) != 1:
        sys.exit(f"{corpus}: the datasets differ: {', '.join(sorted(hashes))}")
    ratios = {
        key: interval([now[key] / before[key] for now, before in zip(found["now"], found["before"], strict=True)])
        for key in ("wall_s", "cpu_s")
    }
    seconds = {name: spread([one["wall_s"] for one in ones]) for name, ones in found.items()}
    return {"dataset_sha256": hashes.pop(), "wall_s": seconds, "ratios": ratios}


def logs(trees: dict[str, Path], pairs: int, kafka: Sequence[str]) -> dict[str, object]:
    """Facts a second that are appended durably, and read back."""
    found: dict[str, list[dict]] = {name: [] for name in trees}
    for number in range(pairs):
        for name in list(trees)[:: 1 if number % 2 else -1]:
            found[name].append(run(trees[name], "benchmarks.log", "--quick", "--json", "-", *kafka))
            print(f"  log {number + 1}/{pairs} {name}", file=sys.stderr)
    rate = lambda one, key: one[key]["facts_per_second"]["ours"]["median"]  # noqa: E731
    measured = [key for key in LOGS if key in found["now"][0]]
    both = list(zip(found["now"], found["before"], strict=True))
    return {"ratios": {key: interval([rate(before, key) / rate(now, key) for now, before in both]) for key in measured}}


def judge(trees: dict[str, Path], size: int, pairs: int) -> dict[str, object]:
    """Wall and CPU seconds of so many pairs judged in both orders, against an endpoint that answers after 50 ms."""
    from benchmarks.judge_speed import SIDES

    found: dict[str, dict[str, list[dict]]] = {}
    for side, (who, concurrency, failing) in SIDES.items():
        if who == "bare":
            continue
        found[side] = {name: [] for name in trees}
        for number in range(pairs):
            for name in list(trees)[:: 1 if number % 2 else -1]:
                with endpoint_of(trees[name], failing) as url:
                    asked = ("--side", who, url, str(concurrency), str(size), f"{number}-{side}")
                    found[side][name].append(run(trees[name], "benchmarks.judge_speed", *asked))
            print(f"  {side} {number + 1}/{pairs}", file=sys.stderr)
    return {
        "ratios": {
            f"{side}, {key}": interval([now[key] / before[key] for now, before in zip(*_two(ones), strict=True)])
            for side, ones in found.items()
            for key in ("wall_s", "cpu_s_per_1000")
        }
    }


def _two(ones: dict[str, list[dict]]) -> tuple[list[dict], list[dict]]:
    return ones["now"], ones["before"]


@contextmanager
def endpoint_of(tree: Path, failing: float):
    """The URL of the tree's own stand-in, which understands the tree's own question."""
    command = [sys.executable, str(tree / "tests/endpoint.py"), "--latency-ms", "50", "--failing", str(failing)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


PARTS = ("virtual", "sample", "log", "judge")
JUDGED = 1_000


def main() -> None:
    parser = parser_of(__doc__, "2,000 pairs, two pairs of runs")
    parser.add_argument("commit")
    parser.add_argument("--pairs", type=int, default=0, help=f"pairs of runs; default {PAIRS}")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="these alone")
    asked = asked_of(parser)
    # The earlier tree lies in a folder of its own, and would look for the data beside that.
    os.environ.setdefault("CONCORD_DATA", str(ROOT.parent / "shared" / "data"))
    pairs, size = asked.pairs or (2 if asked.quick else PAIRS), 2_000 if asked.quick else 20_000
    with tree_of(asked.commit) as before, broker() if "log" in asked.parts else nullcontext(()) as kafka:
        trees = {"before": before, "now": ROOT}
        parts = {
            "virtual": lambda: loops(trees, "virtual", size, pairs),
            "sample": lambda: loops(trees, "sample", 0, pairs),
            "log": lambda: logs(trees, pairs, kafka),
            "judge": lambda: judge(trees, JUDGED, pairs),
        }
        figures = {name: parts[name]() for name in asked.parts}
    rows = {f"{name}, {key}": row for name, part in figures.items() for key, row in part["ratios"].items()}
    for name, row in rows.items():
        print(f"  {name:24} {row['mean']:.3f}  ({row['low']:.3f} – {row['high']:.3f}, {pairs} pairs)")
    lost = [name for name, row in rows.items() if row["low"] > WORST]
    print(f"beyond 5 % worse: {', '.join(lost)}" if lost else "no interval lies beyond 5 % worse")
    if asked.json:
        kept = circumstances({"before": asked.commit, "pairs": size, "pairs_of_runs": pairs, "worst": WORST})
        write(asked.json, kept | figures | {"beyond_5_percent": lost})


if __name__ == "__main__":
    main()
