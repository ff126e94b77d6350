"""What the cluster's machinery costs and how far it scales, on a real Kafka and PostgreSQL that this starts itself.

    python -m benchmarks.cluster [--data DIR] [--rates] [--quick] [--json [FILE]]

Beside bare kafka-python in the same run (with --rates this part alone): facts through a Reactor (its own fold of nothing, and
that of `runs`; the store is PostgreSQL) against a consumer that polls, decodes and commits (and folds); work through a Worker that
does nothing against a loop that consumes and produces. Then the replay of 1,000,000 facts, what a minute's outage leaves to
do, and with every service as a process: a small run beside a large one, the time between stages, and 1, 2 and 4 replicas of
labeling on a judge that only waits. A simulation says what more replicas would bring. PostgreSQL does not wait for its disk
(fsync off), nor does Kafka; blobs of whole runs are files. --quick: a tenth or less of each, one repeat, two replicas.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import cluster_model
from benchmarks.cluster_rates import COUNTING, Rates
from benchmarks.cluster_runs import IN_FLIGHT, LATENCY_S, Cluster, between_stages, replicas, servers, two_at_once
from benchmarks.loop import ONE_THREAD
from benchmarks.measure import asked_of, circumstances, interleaved, parser_of, ratio, seconds, show, spread, write
from concord.kit.blobs import MemoryBlobs
from concord.kit.loop import reactor
from concord.kit.store import SqlStore
from concord.kit.store.sql import open_engine
from concord.kit.telemetry import log_json
from concord.runs import service as runs
from deploy.local.postgres import Postgres

RATE, FASTER, SLOWER = 0.7, {2: 1.8, 4: 3.4}, 3.0
# A worker of labeling has so many units at once by default; the others have half as many.
AS_DEPLOYED, MANY = 8, 64
BARE = "bare kafka-python"
# A minute of a cluster that is busier than this machine can make it.
OUTAGE_FACTS, OUTAGE_ITEMS = 1_000, 200


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    repeats: int = 3
    runs: int = 8
    facts_a_run: int = 12_500
    items: int = 24_000
    replayed_runs: int = 10
    replayed_facts_a_run: int = 100_000
    outage_s: int = 60
    small_pairs: int = 1_000
    large_pairs: int = 100_000
    replicas: tuple[int, ...] = (1, 2, 4)
    judged_pairs: int = 768
    shard_pairs: int = 4


QUICK = Sizes(1, 4, 2_500, 800, 2, 5_000, 5, 200, 6_000, (1, 2), 96, 1)


def beside(title: str, unit: str, measures: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, object]:
    """Both sides in turn; the first is ours."""
    found = interleaved(measures, repeats)
    ours, other = measures
    share = ratio(found[ours], found[other])
    show(title, {name: spread(values) for name, values in found.items()}, unit)
    show("  ours divided by it", {other: share}, "times")
    wanted = {"wanted": RATE, "met": share["median"] >= RATE}
    return {
        "per_second": {name: spread(values) for name, values in found.items()},
        "ours_divided_by_bare": share | wanted,
    }


def rates(url: str, store: SqlStore, sizes: Sizes) -> dict[str, object]:
    """A Reactor and a Worker beside loops of bare kafka-python."""
    here = Rates(url, store, sizes.runs, sizes.facts_a_run, sizes.items)
    batch = f"batches of {reactor.BATCH:,}"
    sides: dict[str, tuple[str, dict[str, Callable[[], float]]]] = {
        "reactor": (
            f"facts through a Reactor that only counts, {batch}",
            {"ours": lambda: here.reactor(COUNTING), BARE: lambda: here.bare_facts(evolve=False)},
        ),
        "reactor_of_runs": (
            f"facts through the Reactor of runs, {batch}",
            {"ours": lambda: here.reactor(runs.fold()), f"{BARE}, the same fold": lambda: here.bare_facts(evolve=True)},
        ),
    }
    for count in (AS_DEPLOYED, MANY):
        ours, bare = (lambda n=count: here.worker(n, MemoryBlobs())), (lambda n=count: here.bare_work(n))
        sides[f"worker_{count}"] = (
            f"work through a Worker that does nothing, {count} units at once",
            {"ours": ours, BARE: bare},
        )
    out: dict[str, object] = {"fact_bytes": here.fact_bytes, "work_fact_bytes": len(here.fact)}
    for name, (title, measures) in sides.items():
        out[name] = beside(title, "/s", measures, sizes.repeats)
    here.close()
    return out


def replay(url: str, store: SqlStore, sizes: Sizes) -> dict[str, object]:
    """`concord replay` of runs on Kafka."""
    here = Rates(url, store, sizes.replayed_runs, sizes.replayed_facts_a_run, 0)
    found: list[float] = []
    spent = seconds(lambda: found.extend(here.replay()))
    here.close()
    show(f"replay of {here.facts:,} facts from Kafka in {spent:.1f} s", {"each run": spread(found)}, "facts/s")
    return {"facts": here.facts, "seconds": spent, "facts_per_second_by_run": spread(found)}


def outage(url: str, store: SqlStore, sizes: Sizes) -> dict[str, object]:
    """What came while nobody consumed; seconds from the start of the consumers until nothing is left, joining included."""
    facts, items = sizes.outage_s * OUTAGE_FACTS, sizes.outage_s * OUTAGE_ITEMS
    took: dict[str, list[float]] = {"runs, facts": [], "a worker, units that do nothing": []}
    for _ in range(sizes.repeats):
        here = Rates(url, store, sizes.runs, facts // sizes.runs, items)
        took["runs, facts"].append(seconds(lambda here=here: here.reactor(runs.fold())))
        took["a worker, units that do nothing"].append(
            seconds(lambda here=here: here.worker(AS_DEPLOYED, MemoryBlobs()))
        )
        here.close()
    show(f"{facts:,} facts, {items:,} items after {sizes.outage_s} s", {k: spread(v) for k, v in took.items()}, "s")
    return {"facts": facts, "items": items, "seconds_until_none_is_left": {k: spread(v) for k, v in took.items()}}


def whole_runs(cluster: Cluster, sizes: Sizes) -> dict[str, object]:
    """A small run beside a large one, and the time between stages of those that were alone."""
    took, lone = two_at_once(cluster, sizes.small_pairs, sizes.large_pairs, sizes.repeats)
    names = {f"{sizes.small_pairs:,} pairs alone": took["alone"], f"beside {sizes.large_pairs:,}": took["beside"]}
    # Not in turns: a round's two are of no common moment, so the medians are divided.
    share = statistics.median(took["beside"]) / statistics.median(took["alone"])
    show("two runs at once", {name: spread(values) for name, values in names.items()}, "s")
    print(
        f"  beside / alone {share:.2f} (at most {SLOWER}); the large run was in {', '.join(took['the large run was in'])}"
    )
    gaps = sorted(between_stages(cluster.log, lone))
    p50, p99 = (quantile(gaps, share) for share in (0.5, 0.99))
    print(
        f"\nlast fact of a stage → first work of the next: p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms of {len(gaps)}"
    )
    return {
        "two_runs": {name: spread(values) for name, values in names.items()}
        | {"beside_divided_by_alone": share, "wanted_at_most": SLOWER, "met": share <= SLOWER}
        | {"the_large_run_was_in": took["the large run was in"]},
        "between_stages": {"p50_s": p50, "p99_s": p99, "longest_s": gaps[-1], "count": len(gaps)},
    }


def quantile(ordered: list[float], share: float) -> float:
    """The smallest of these that is no smaller than `share` of them."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def scaling(cluster: Cluster, sizes: Sizes, reaction_s: float) -> dict[str, object]:
    """Replicas of labeling as measured, and as simulated for more of them."""
    took = replicas(cluster, sizes.replicas, sizes.judged_pairs, sizes.shard_pairs, sizes.repeats)
    faster = {count: ratio(took[1], values) for count, values in took.items() if count > 1}
    calls = f"{2 * sizes.judged_pairs:,} calls of {LATENCY_S} s, {IN_FLIGHT} in flight a replica"
    show(f"the LABEL stage, {calls}", {f"{count} replicas": spread(values) for count, values in took.items()}, "s")
    show("  faster than one", {f"{count} replicas": row for count, row in faster.items()}, "times")
    like_this = cluster_model.Stage(
        sizes.judged_pairs // sizes.shard_pairs,
        2 * sizes.shard_pairs,
        96,
        LATENCY_S,
        reaction_s,
        IN_FLIGHT,
        AS_DEPLOYED,
    )
    # As a large run on a hosted judge has it: 64 pairs a unit, 64 calls in flight a replica.
    large = {
        window: cluster_model.Stage(1_563, 128, window, 1.0, reaction_s, 64, AS_DEPLOYED) for window in (16, 64, 256)
    }
    simulated = {
        "this stage": cluster_model.speed_ups(like_this, (2, 4)),
        **{
            f"100,000 pairs, window {window}": cluster_model.speed_ups(stage, (2, 4, 8, 16, 48))
            for window, stage in large.items()
        },
    }
    print("\nsimulated, times as fast as one replica (cluster_model.py has the assumptions)")
    for name, row in simulated.items():
        print(f"  {name:30} {', '.join(f'{count}: {times:.1f}' for count, times in row.items())}")
    return {
        "seconds": {str(count): spread(values) for count, values in took.items()},
        "faster_than_one": {
            str(count): row | {"wanted": FASTER[count], "met": row["median"] >= FASTER[count]}
            for count, row in faster.items()
        },
        "simulated_faster_than_one": {
            name: {str(n): times for n, times in row.items()} for name, row in simulated.items()
        },
    }


def the_rest(home: Path, bootstrap: str, postgres: Postgres, store: SqlStore, sizes: Sizes) -> dict[str, object]:
    """Replay, an outage, and whole runs with every service as a process."""
    url = f"kafka://{bootstrap}"
    found: dict[str, Any] = {"replay": replay(url, store, sizes), "outage": outage(url, store, sizes)}
    with Cluster(home / "services", bootstrap, postgres.url(postgres.make_database())) as cluster:
        found |= whole_runs(cluster, sizes)
        return found | {"replicas": scaling(cluster, sizes, found["between_stages"]["p50_s"])}


def main() -> None:
    parser = parser_of(__doc__, "a tenth or less of each, one repeat, two replicas")
    parser.add_argument("--rates", action="store_true", help="a Reactor and a Worker beside bare kafka-python, no more")
    given = asked_of(parser)
    sizes = QUICK if given.quick else Sizes()
    os.environ |= ONE_THREAD
    log_json("error")
    began = time.perf_counter()
    figures = circumstances(
        asdict(sizes) | {"call_s": LATENCY_S, "judge_concurrency": IN_FLIGHT, "store": "PostgreSQL, fsync off"}
    )
    with servers() as (home, broker, postgres):
        url, store = f"kafka://{broker.bootstrap}", SqlStore(open_engine(postgres.url(postgres.make_database())))
        try:
            figures |= rates(url, store, sizes)
            if not given.rates:
                figures |= the_rest(home, broker.bootstrap, postgres, store, sizes)
        finally:
            store.engine.dispose()
    figures["took_s"] = time.perf_counter() - began
    print(f"\n{figures['took_s']:.0f} s in all")
    if given.json:
        write(given.json, figures)


if __name__ == "__main__":
    main()
