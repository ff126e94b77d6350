"""What the system around the loop costs: a whole run on the embedded services, beside a straight script of the same functions.

    python -m benchmarks.loop            20,000 pairs and the bundled sample, three repeats
    python -m benchmarks.loop --quick    2,000 pairs and the sample, one repeat
    python -m benchmarks.loop --json     figures for a machine

Each side runs in a fresh process. The clock starts with the pairs in memory and, for Concord, with the services up; it
stops with the dataset's bytes and hash in the caller's hands. Concord goes over gRPC, appends every fact and answer
durably, keeps every unit's result and hands out each task under a lease; `straight` (straight.py) keeps nothing. Both
must give the same dataset hash, or there are no figures.
"""
import json
import os
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAIRS, SEED = 20_000, 7


def job_of(corpus: str, pairs: int):
    """The run as `concord run` would prepare it."""
    from benchmarks.corpus import JUDGE, virtual
    from services.client import intake, people
    from services.client.options import Options, run_config, semantic
    from services.client.session import Job
    from services.kit.ids import run_id

    if corpus == "sample":
        given, judges, options = intake.read_sample(), None, Options(seed=SEED)
    else:
        given, judges = intake.judged_by(virtual(pairs, SEED), JUDGE)
        options = Options(judge=f"recorded:{JUDGE}", seed=SEED)
    config = run_config(options, judges)
    answer = people.answerer(options.humans, given.rows, options.seed)
    return Job(options, given, config, run_id(given.sha256, semantic(config)), answer)


def concord(job) -> dict[str, object]:
    """The run on all services in this process, over gRPC on 127.0.0.1."""
    from services.client import drive, session
    from services.kit import rpc
    from services.kit.settings import from_environment
    from services.kit.telemetry import log_json

    with tempfile.TemporaryDirectory() as home:
        log_json("error", open(os.devnull, "w"))
        settings = from_environment({}, home=home)
        with session.embedded(settings) as running:
            stages: dict[str, float] = {}
            began = begin()
            view = session.run(job, running, lambda view: stages.setdefault(stage_of(view), time.perf_counter() - began.wall))
            with rpc.channel(running.address) as channel:
                dataset = drive.read_dataset(drive.RunServiceStub(channel), job.run_id)
            figures = end(began)
        figures |= {"dataset_sha256": view.dataset_sha256, "bytes": len(dataset), "votes": view.votes, "stages": stages}
        return figures | disk(Path(home), len(job.given.rows))


def stage_of(view) -> str:
    from concord.v1.events_pb2 import Stage

    last = view.stages[-1] if view.stages else None
    return f"{Stage.Name(last.stage).removeprefix('STAGE_')}.{last.round}" if last else "pairs"


def disk(home: Path, pairs: int) -> dict[str, object]:
    """What a run leaves behind: bytes of facts and work items in the log, files, bytes of blobs."""
    with sqlite3.connect(home / "log.sqlite") as log:
        query = "SELECT topic, count(*), sum(length(value)) FROM records GROUP BY topic"
        topics = {topic: {"records": count, "bytes": size} for topic, count, size in log.execute(query)}
    files = [path.stat().st_size for path in (home / "blobs").rglob("*") if path.is_file()]
    everything = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    on_log = sum(topic["bytes"] for topic in topics.values())
    return {
        "facts": topics["concord.facts.v1"]["records"], "log_bytes_a_pair": on_log / pairs,
        "fact_bytes_a_pair": topics["concord.facts.v1"]["bytes"] / pairs, "blob_files": len(files),
        "disk_bytes_a_pair": everything / pairs,
    }  # fmt: skip


def straight(job) -> dict[str, object]:
    """The same functions in one thread."""
    from benchmarks import straight

    pairs = [row.pair for row in job.given.rows]
    began = begin()
    made = straight.run(pairs, job.config, job.answer)
    figures = end(began)
    return figures | {"dataset_sha256": made.dataset_sha256, "bytes": len(made.dataset), "votes": made.votes}


class begin:
    """Now, in wall and CPU seconds of this process."""

    def __init__(self) -> None:
        self.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.wall, self.cpu = time.perf_counter(), time.process_time()


def end(began: begin) -> dict[str, object]:
    wall, cpu = time.perf_counter() - began.wall, time.process_time() - began.cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb, "before_mb": began.memory_mb}


SIDES = {"straight": straight, "concord": concord}


def one_side(side: str, corpus: str, pairs: int) -> None:
    print(json.dumps(SIDES[side](job_of(corpus, pairs))))


if __name__ == "__main__":
    one_side(sys.argv[1], sys.argv[2], int(sys.argv[3]))
