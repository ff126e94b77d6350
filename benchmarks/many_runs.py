"""Many runs that begin in one moment, on a real cluster of processes: whether all end, and whether one waits longer than its share.

    python -m benchmarks.many_runs [--runs 100] [--pairs 1000] [--data DIR] [--quick] [--json [FILE]]

Kafka, PostgreSQL and each service as one process. First a few runs alone, one after the other; then all at once, each on another
window of the pairs. What so many runs would take one after the other at the pace of those alone is the straight share: no run can
ask for less where all are served alike. Wanted: every run finishes, and 95 of 100 within 1.5 times that share. The judge is
recorded, the people are simulated. --quick: four runs of 100 pairs.
"""

import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from benchmarks.cluster import quantile
from benchmarks.cluster_runs import Cluster, part_of, servers
from benchmarks.loop import ONE_THREAD, job_of
from benchmarks.measure import asked_of, circumstances, parser_of, show, spread, write
from concord.client.run.job import Job
from concord.kit.telemetry import log_json

ALONE, WITHIN = 3, 1.5


def window(job: Job, number: int, pairs: int, salt: str) -> Job:
    """A run of its own on `pairs` of the job's pairs, beginning with another one for each number."""
    rows = job.given.rows[number : number + pairs]
    return part_of(replace(job, given=replace(job.given, rows=rows)), pairs, f"{salt} {number}")


def at_once(cluster: Cluster, jobs: Sequence[Job]) -> tuple[list[float], float]:
    """(seconds of each run from its first pair at the door to its end, seconds until the last one ended)."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(jobs)) as clients:
        took = list(clients.map(cluster.whole, jobs))
    return took, time.perf_counter() - began


def figures_of(alone: Sequence[float], took: Sequence[float], whole_s: float) -> dict[str, object]:
    """What came, beside what was wanted."""
    ordered, share = sorted(took), len(took) * statistics.median(alone)
    p95 = quantile(ordered, 0.95)
    return {
        "alone_s": spread(list(alone)),
        "finished": len(took),
        "until_the_last_s": whole_s,
        "run_s": {"p50": quantile(ordered, 0.5), "p95": p95, "slowest": ordered[-1], "fastest": ordered[0]},
        "straight_share_s": share,
        "p95_divided_by_share": {"value": p95 / share, "wanted_at_most": WITHIN, "met": p95 <= WITHIN * share},
    }


def main() -> None:
    parser = parser_of(__doc__, "four runs of 100 pairs")
    parser.add_argument("--runs", type=int, default=100, help="how many at once")
    parser.add_argument("--pairs", type=int, default=1_000, help="of each run")
    given = asked_of(parser)
    count, pairs = (4, 100) if given.quick else (given.runs, given.pairs)
    os.environ |= ONE_THREAD
    log_json("error")
    figures = circumstances({"runs": count, "pairs": pairs, "store": "PostgreSQL, fsync off"})
    job = job_of("virtual", pairs + count + ALONE)
    with (
        servers() as (home, broker, postgres),
        Cluster(home / "services", broker.bootstrap, postgres.url(postgres.make_database())) as cluster,
    ):
        alone = [cluster.whole(window(job, count + n, pairs, "alone")) for n in range(ALONE)]
        took, whole_s = at_once(cluster, [window(job, n, pairs, "beside") for n in range(count)])
    figures |= figures_of(alone, took, whole_s)
    show(f"runs of {pairs:,} pairs", {"alone": spread(alone), f"{count} at once": spread(took)}, "s")
    print(f"p95 / straight share: {figures['p95_divided_by_share']}")
    if given.json:
        write(given.json, figures)


if __name__ == "__main__":
    main()
