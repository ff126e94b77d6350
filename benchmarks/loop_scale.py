"""100,000 pairs on one machine: the loop beside a straight script, memory service by service, features on one core.

    python -m benchmarks.loop_scale [--data DIR] [--quick] [--json [FILE]]
    python -m benchmarks.loop_scale --memory PAIRS

Corpus, people and rules are loop.py's; the pairs' texts return (16 times at 100,000), the figures of time and memory do
not know. Memory is the largest resident set of each service in a process of its own (scoring's children with it), the
same run once with texts as they are and once with each text three times as long: what follows the texts grows with them.
--quick: 2,000 pairs. --memory: the last of these figures alone, for so many pairs, with texts up to nine times as long.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import loop
from benchmarks.measure import asked_of, circumstances, parser_of, write

PAIRS = 100_000
MB = 1024


def services_apart(pairs: int, longer: int) -> dict[str, object]:
    """The run with each service in a process of its own: largest resident set of each in MB, and seconds."""
    from concord.client.run import drive
    from concord.kit import rpc
    from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED
    from concord.v1.runs_service_pb2_grpc import RunServiceStub
    from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
    from tests.fleet import Fleet

    job = loop.job_of("virtual", pairs)
    for row in job.given.rows if longer > 1 else ():
        for response in (row.pair.first, row.pair.second):
            response.text = " ".join([response.text] * longer)
    with tempfile.TemporaryDirectory() as home, Fleet(Path(home), loop.ONE_THREAD, limit_s=3_600.0) as fleet:
        began = time.perf_counter()
        with rpc.channel(fleet.where("runs")) as one, rpc.channel(fleet.where("tasks")) as other:
            runs = RunServiceStub(one)
            drive.begin(
                runs, job.run_id, job.config, [row.pair for row in job.given.rows], job.given.sha256, job.given.name
            )
            people = drive.People(TaskServiceStub(other), job.run_id, job.answer, "recorded")
            view = drive.watch(runs, job.run_id, people, lambda view: None)
            people.stop()
        assert view.status == RUN_STATUS_FINISHED, view.detail
        seconds = time.perf_counter() - began
        peak = {name.removesuffix("-0"): peak_mb(process.pid) for name, process in fleet.processes.items()}
    text = sum(len(r.text.encode()) for row in job.given.rows for r in (row.pair.first, row.pair.second))
    return {"wall_s": seconds, "peak_mb": peak, "text_mb": text / 2**20}


def peak_mb(pid: int) -> float:
    """The process's largest resident set, its children's added."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_high_water(int(one)) for one in (pid, *children))


def _high_water(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / MB


def one_core(pairs: int) -> dict[str, float]:
    """Seconds for the basis, the features shard by shard, and one reward head, in one thread."""
    from concord.reward import features, head
    from concord.runs.work import MAX_BASIS_TEXTS

    rows = [row.pair for row in loop.job_of("virtual", pairs).given.rows]
    drawn = np.random.default_rng(0).choice(len(rows), min(len(rows), MAX_BASIS_TEXTS // 2), replace=False)
    began = time.perf_counter()
    basis = features.fit([text for at in drawn for text in (rows[at].first.text, rows[at].second.text)], 256, 0)
    fitted = time.perf_counter()
    shards = [rows[at : at + 256] for at in range(0, len(rows), 256)]
    x = np.concatenate(
        [features.differences(basis, [p.first.text for p in s], [p.second.text for p in s]) for s in shards]
    )
    featurised = time.perf_counter()
    label = np.random.default_rng(1).random(len(rows)) < 0.5
    head.fit_head(x, label.astype(float), np.ones(len(rows)), np.zeros(len(rows), np.int64))
    return {"basis_s": fitted - began, "features_s": featurised - fitted, "head_s": time.perf_counter() - featurised}


def main() -> None:
    parser = parser_of(__doc__, "2,000 pairs, one repeat, texts as they are")
    parser.add_argument("--repeats", type=int, default=3, help="of the comparison with the straight script")
    parser.add_argument("--memory", type=int, metavar="PAIRS", help="only memory, service by service")
    asked = asked_of(parser)
    os.environ |= loop.ONE_THREAD
    if asked.memory:
        return show_memory({f"texts x {longer}": services_apart(asked.memory, longer) for longer in (1, 3, 9)})
    pairs, repeats = (2_000, 1) if asked.quick else (PAIRS, asked.repeats)
    figures = circumstances({"pairs": pairs, "seed": loop.SEED, "blas_threads": 1}) | {
        "loop": loop.compare("virtual", pairs, repeats),
        "one_core": one_core(pairs),
        "services": {
            f"texts x {longer}": services_apart(pairs, longer) for longer in ((1,) if asked.quick else (1, 3))
        },
    }
    print(f"\none core: {', '.join(f'{name} {value:.1f}' for name, value in figures['one_core'].items())}")
    show_memory(figures["services"])
    if asked.json:
        write(asked.json, figures)


def show_memory(services: dict[str, dict]) -> None:
    """A line for each length of the texts."""
    for name, apart in services.items():
        peaks = ", ".join(f"{service} {mb:.0f}" for service, mb in apart["peak_mb"].items())
        print(
            f"{name} ({apart['text_mb']:.0f} MB of text), {apart['wall_s']:.0f} s; largest resident set in MB: {peaks}"
        )


if __name__ == "__main__":
    main()
