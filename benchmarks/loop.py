"""What the system around the loop costs: a whole run on the embedded services, beside a straight script of the same functions.

    python -m benchmarks.loop [--data DIR] [--quick] [--json [FILE]]

20,000 pairs (corpus.py) and the bundled sample; --quick: 2,000 pairs. Each side runs in a fresh process. The clock starts
with the pairs in memory and, for Concord, with the services up; it stops with the dataset's bytes and hash in the
caller's hands. Concord goes over gRPC, appends every fact and answer durably, keeps every unit's result and hands out
each task under a lease; `straight` (straight.py) keeps nothing. Both must give the same dataset hash, or there are no
figures.
"""

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.measure import asked_of, circumstances, parser_of, ratio, show, spread, write

ROOT = Path(__file__).resolve().parent.parent
SEED = 7
WANTED = 1.3
# A result must not depend on the number of cores; set before NumPy is imported.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def job_of(corpus: str, pairs: int):
    """The run as `concord run` would prepare it."""
    from benchmarks.corpus import JUDGE, virtual
    from concord.client.intake import intake
    from concord.client.run import people
    from concord.client.run.job import Job
    from concord.client.run.options import Options, run_config, semantic
    from concord.kit.ids import run_id

    if corpus == "sample":
        given, judges, options = intake.read_sample(), None, Options(seed=SEED)
    else:
        given, judges = intake.judged_by(virtual(pairs, SEED), JUDGE)
        options = Options(judge=f"recorded:{JUDGE}", seed=SEED)
    config = run_config(options, judges)
    answer = people.answerer(options.annotators, given.rows, options.seed)
    return Job(options, given, config, run_id(given.sha256, semantic(config)), answer)


def concord(job) -> dict[str, object]:
    """The run on all services in this process, over gRPC on 127.0.0.1."""
    from concord.client.results.records import there
    from concord.client.run import session
    from concord.embedded import embedded
    from concord.kit.settings import from_environment
    from concord.kit.telemetry import log_json
    from concord.preference import datasets

    with tempfile.TemporaryDirectory() as home, open(os.devnull, "w") as nowhere:
        log_json("error", nowhere)
        with embedded(from_environment({}, home=home), len(job.given.rows)) as running:
            began = Began()
            view = session.run(job, running, lambda view: None)
            with there(running.address) as records:
                dataset = b"".join(datasets.parts(view.dataset_uri, records.blob))
            figures = began.until_now()
        # Child processes are accounted for once they ended.
        figures["cpu_s"] += resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        figures["cpu_s"] += resource.getrusage(resource.RUSAGE_CHILDREN).ru_stime
        figures |= {"dataset_sha256": view.dataset_sha256, "dataset_bytes": len(dataset), "votes": view.votes}
        return figures | {"stage_s": stage_seconds(Path(home), job.run_id)} | kept(Path(home), len(job.given.rows))


def straight(job) -> dict[str, object]:
    """The same functions in one thread."""
    from benchmarks import straight

    pairs = [row.pair for row in job.given.rows]
    began = Began()
    made = straight.run(pairs, job.config, job.answer)
    figures = began.until_now()
    return figures | {"dataset_sha256": made.dataset_sha256, "dataset_bytes": len(made.dataset), "votes": made.votes}


def stage_seconds(home: Path, run_id: str) -> dict[str, float]:
    """Wall seconds from opened to closed, by the log's own times; a stage's rounds together."""
    from concord.kit.enums import short
    from concord.kit.log.sqlite import SqliteLog
    from concord.operate import run_log
    from concord.v1.events_pb2 import Stage

    opened, out = {}, defaultdict(float)
    for event, at in run_log.events(SqliteLog(home / "log.sqlite"), run_id):
        if event.HasField("stage_opened"):
            opened[event.stage_opened.stage, event.stage_opened.round] = at
        if event.HasField("stage_closed"):
            stage = event.stage_closed.stage
            out[short(Stage, stage)] += at - opened[stage, event.stage_closed.round]
    return dict(out)


def kept(home: Path, pairs: int) -> dict[str, object]:
    """What a run leaves behind: records and bytes on the log, files and bytes on the disk."""
    with sqlite3.connect(home / "log.sqlite") as log:
        query = "SELECT topic, count(*), sum(length(value)) FROM records GROUP BY topic"
        topics = {topic: (count, size) for topic, count, size in log.execute(query)}
    facts, fact_bytes = topics["concord.facts.v1"]
    files = [path for path in home.rglob("*") if path.is_file()]
    return {
        "facts": facts,
        "fact_bytes_a_pair": fact_bytes / pairs,
        "work_bytes_a_pair": (sum(size for _, size in topics.values()) - fact_bytes) / pairs,
        "files": len(files),
        "disk_bytes_a_pair": sum(path.stat().st_size for path in files) / pairs,
    }


class Began:
    """Now, in wall and CPU seconds of this process; and its memory with the pairs loaded."""

    def __init__(self) -> None:
        self._loaded_mb = _peak_mb()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def until_now(self) -> dict[str, object]:
        """Wall and CPU seconds since, and the peak and the loaded megabytes; fewer is better for all."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"wall_s": wall, "cpu_s": cpu, "peak_mb": _peak_mb(), "loaded_mb": self._loaded_mb}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


SIDES = {"concord": concord, "straight": straight}


def one_side(side: str, corpus: str, pairs: int) -> dict:
    """One run of one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loop", "--side", side, corpus, str(pairs)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | ONE_THREAD)
    return json.loads(out.stdout)


def compare(corpus: str, pairs: int, repeats: int) -> dict[str, object]:
    """Both sides, taking turns; raises SystemExit where their datasets differ."""
    found: dict[str, list[dict]] = {side: [] for side in SIDES}
    for repeat in range(repeats):
        for side in list(SIDES)[:: 1 if repeat % 2 else -1]:
            found[side].append(one_side(side, corpus, pairs))
    hashes = {run["dataset_sha256"] for runs in found.values() for run in runs}
    if len(hashes) != 1:
        sys.exit(f"{corpus}: the datasets differ: {', '.join(sorted(hashes))}")
    name = f"{corpus}, {pairs:,} pairs" if pairs else corpus
    column = {side: {key: [run[key] for run in runs] for key in runs[0]} for side, runs in found.items()}
    show(f"{name}: a whole run", {side: spread(keys["wall_s"]) for side, keys in column.items()}, "s")
    ratios = {
        f"{what}, concord / straight": ratio(column["concord"][key], column["straight"][key])
        for what, key in (("wall", "wall_s"), ("CPU", "cpu_s"))
    }
    # What else the machine does only ever adds time, so the fastest run of each side says most about the code.
    fastest = {side: min(keys["wall_s"]) for side, keys in column.items()}
    ratios["wall, fastest concord / fastest straight"] = spread([fastest["concord"] / fastest["straight"]])
    show("  ", ratios, "times")
    wall = max(row["median"] for name, row in ratios.items() if name.startswith("wall"))
    measured = {
        side: {key: spread(values) for key, values in keys.items() if isinstance(values[0], int | float)}
        for side, keys in column.items()
    }
    stages = {
        name: spread([run[name] for run in column["concord"]["stage_s"]]) for name in column["concord"]["stage_s"][0]
    }
    return {
        "dataset_sha256": hashes.pop(),
        "measured": measured,
        "stage_s": stages,
        "ratios": ratios,
        "wanted": WANTED,
        "met": wall <= WANTED,
    }


def main() -> None:
    from concord.client.run.options import KNOWN_SHARD

    parser = parser_of(__doc__, "2,000 pairs, one repeat")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    given = asked_of(parser)
    if given.side:
        side, corpus, pairs = given.side
        return print(json.dumps(SIDES[side](job_of(corpus, int(pairs)))))
    pairs, repeats = (2_000, 1) if given.quick else (20_000, 5)
    settings = {
        "pairs": pairs,
        "seed": SEED,
        "shard_pairs": KNOWN_SHARD,
        "folds": 4,
        "budget": "6 %",
        "batch": "1 %",
        "pilot": "max(8, 0.5 %)",
        "judge": "recorded, right on 75 %",
        "people": "recorded, 8 annotators",
        "blas_threads": 1,
        "log": "SQLite, WAL, synchronous=FULL",
        "store": "SQLite, WAL, synchronous=NORMAL",
        "blobs": "files, fsync",
    }
    figures = circumstances(settings) | {
        "virtual": compare("virtual", pairs, repeats),
        "sample": compare("sample", 0, repeats),
    }
    if given.json:
        write(given.json, figures)


if __name__ == "__main__":
    main()
