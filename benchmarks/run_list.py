"""How long `concord runs` takes in a folder with many runs.

    python -m benchmarks.run_list [--runs 1000] [--quick] [--json [FILE]]

One small run is made by the command itself; the store then gets its rows under a thousand ids, as a thousand such runs would
have left them. The command is a process of its own each time, as a user starts it; beside it stands the same with one run, which
is what starting Python and importing cost.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from benchmarks.measure import asked_of, circumstances, parser_of, show, spread, write

NAMES = UUID("6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77")
CONCORD = [sys.executable, "-m", "concord.cli"]


def concord(folder: Path, *words: str) -> float:
    """Seconds that the command takes."""
    environment = {**os.environ, "HOME": str(folder)}
    began = time.perf_counter()
    subprocess.run([*CONCORD, *words], cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def multiply(state: Path, runs: int) -> None:
    """The rows of the store's only run, under so many ids more."""
    with sqlite3.connect(state) as store:
        (first,) = store.execute("SELECT run_id FROM runs WHERE service = 'runs'").fetchone()
        for number in range(runs - 1):
            made = {"new": str(uuid5(NAMES, str(number))), "first": first}
            for table, columns in (("runs", "partition, active"), ("rows", "name, value")):
                store.execute(
                    f"INSERT INTO {table} (service, run_id, {columns}) SELECT service, :new, {columns} FROM {table} "
                    "WHERE run_id = :first",
                    made,
                )


def measured(runs: int, repeats: int) -> dict[str, Any]:
    """Seconds of `concord runs` with one run and with many, in turn."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        for folder in (Path(one), Path(many)):
            concord(folder, "run", "sample", "--budget", "2%")
        multiply(Path(many) / "concord-data" / "state.sqlite", runs)
        pairs = [(concord(Path(one), "runs"), concord(Path(many), "runs")) for _ in range(repeats)]
        size = (Path(many) / "concord-data" / "state.sqlite").stat().st_size
    ones, manys = zip(*pairs, strict=True)
    return {"one_run_s": spread(ones), "many_runs_s": spread(manys), "store_mb": size / 1e6}


def main() -> None:
    parser = parser_of(__doc__, "100 runs, 3 repeats")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=9)
    asked = asked_of(parser)
    runs, repeats = (100, 3) if asked.quick else (asked.runs, asked.repeats)
    found = measured(runs, repeats)
    show("concord runs", {"one run": found["one_run_s"], f"{runs:,} runs": found["many_runs_s"]}, "s")
    if asked.json:
        write(asked.json, {**circumstances({"runs": runs, "repeats": repeats}), **found})


if __name__ == "__main__":
    main()
