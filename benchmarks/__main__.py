"""Runs the benchmarks, each in a process of its own, and keeps what they found as JSON with date, commit and machine.

    python -m benchmarks                     all of them; results/NAME.json
    python -m benchmarks replay loop         these
    python -m benchmarks --quick             smaller, a few minutes; results go to a temporary folder unless --results says
    python -m benchmarks --json              the figures on standard output as well
    python -m benchmarks --data DIR          the data pack

`log` starts a Kafka broker of its own where Java is there, and else says that it did without; `cluster` needs a broker and
PostgreSQL, and starts both. `label_efficiency` takes
hours, keeps its cells in benchmarks/.cache and goes on from them, and needs what `benchmarks.encode` and
`benchmarks.teachers` make; all others together take about an hour.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from benchmarks import encode

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def run(*arguments: str) -> str:
    """`python ARGUMENTS` from the repository's root; what it prints on standard output. Raises CalledProcessError."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout


def module(name: str, *more: str) -> Callable[[bool, Path], str]:
    """A benchmark that writes its figures itself, with `--json FILE`."""
    return lambda quick, out: run("-m", f"benchmarks.{name}", "--json", str(out), *quick * ["--quick"], *more)


def log(quick: bool, out: Path) -> str:
    """`log`, beside a broker of its own where one starts; returns what it prints."""
    with broker() as more:
        return module("log", *more)(quick, out)


@contextmanager
def broker():
    """A broker's address as arguments; none where it does not start."""
    from deploy.local.broker import start_broker

    with tempfile.TemporaryDirectory() as folder:
        try:
            running = start_broker(Path(folder))
        except Exception as error:  # whatever keeps a broker from starting, SQLite can be measured
            print(f"without Kafka: {error}", file=sys.stderr)
            yield ()
            return
        try:
            yield ("--kafka", f"kafka://{running.bootstrap}")
        finally:
            running.stop()


def judge_noise(quick: bool, out: Path) -> str:
    """`judge_noise` with every method and budget, if not quick; returns what it prints."""
    return module("judge_noise", *([] if quick else ["--full"]))(quick, out)


def label_efficiency(quick: bool, out: Path) -> str:
    """`label_efficiency` with its picture beside the figures; returns what it prints."""
    more = [] if quick else ["--cells", str(encode.cache() / "label_efficiency.jsonl")]
    return module("label_efficiency", "--picture", str(out.with_suffix(".svg")), *more)(quick, out)


BENCHMARKS: dict[str, Callable[[bool, Path], str]] = {
    "log": log,
    "replay": module("replay"),
    "loop": module("loop"),
    "restore": module("restore"),
    "run_list": module("run_list"),
    "judge_speed": module("judge_speed"),
    "endpoints": module("endpoints"),
    "generate": module("generate"),
    "judge_noise": judge_noise,
    "verification": module("verification"),
    "routing": module("routing"),
    "redteam": module("redteam"),
    "selection": module("selection"),
    "certificate": module("certificate"),
    "worlds": module("worlds"),
    "annotators": module("annotators"),
    "task_serving": module("task_serving"),
    "manipulation": module("manipulation"),
    "injections": module("injections"),
    "loop_scale": module("loop_scale"),
    "choose_scale": module("choose_scale"),
    "triage_memory": module("triage_memory"),
    "cluster": module("cluster"),
    "many_runs": module("many_runs"),
    "label_efficiency": label_efficiency,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; none: all")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the data pack; default CONCORD_DATA, else ../shared/data"
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--results", type=Path, help="folder for NAME.json")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(BENCHMARKS)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    if given.data:
        os.environ["CONCORD_DATA"] = str(given.data.resolve())
    # A quick look must not overwrite what was measured properly.
    folder = given.results or (Path(tempfile.mkdtemp(prefix="benchmarks-")) if given.quick else RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    found, failed = {}, []
    for name in given.names or BENCHMARKS:
        out = folder / f"{name}.json"
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            table = BENCHMARKS[name](given.quick, out)
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"{name} failed with exit code {error.returncode}", file=sys.stderr)
            continue
        print(table, end="", file=sys.stderr if given.json else sys.stdout, flush=True)
        found[name] = json.loads(out.read_text())
        print(f"{out}\n", file=sys.stderr)
    if given.json:
        print(json.dumps(found, indent=2))
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    main()
