"""`python -m tests.idle_week [--json FILE]`: a cluster that nobody used for a week, and then work: how soon it is back.

Real Kafka, PostgreSQL and S3, the services as processes. After a run the scalers of prod, asked what they would do with what runs
says at /wanted, want no pod, and the workers are ended. Kafka forgets an idle group's offsets after a week: they are deleted by
hand, group and all, while what the topics retain stays. Then there is work: the scalers want pods, the workers start, and read
their topics from the beginning, for nobody knows any more what was done.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path

from kafka import KafkaAdminClient

from benchmarks.measure import circumstances
from concord.kit.log import topics
from concord.kit.log.kafka import url
from concord.kit.settings import from_environment, open_log
from deploy.local.broker import start_broker
from deploy.local.postgres import start_postgres
from deploy.local.s3 import ALONE, VERSITY, start_s3
from tests.compose import dataset
from tests.fleet import Fleet
from tests.manifests import built, of_kind
from tests.waiting import until

WORKERS = ("labeling", "scoring", "triage", "training")
# Runs stay, as in prod; workers are pods that scalers start and end.
PLAN = {"control": ("runs", "tasks"), "work": WORKERS}


def pods(said: Mapping[str, int]) -> dict[str, int]:
    """How many pods prod's scalers want of each worker, told this by /wanted, as KEDA reckons them."""
    out = {}
    for name, scaled in of_kind("ScaledObject", built("prod")).items():
        (trigger,) = (one["metadata"] for one in scaled["spec"]["triggers"])
        wanted = said[trigger["valueLocation"]]
        most = min(scaled["spec"]["maxReplicaCount"], ceil(wanted / float(trigger["targetValue"])))
        out[name] = max(scaled["spec"]["minReplicaCount"], most) if wanted > 0 else scaled["spec"]["minReplicaCount"]
    return out


def asked(fleet: Fleet) -> dict[str, int]:
    """The same of the cluster as it is now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{fleet.metrics['control']}/wanted", timeout=10) as page:
        return pods(json.loads(page.read()))


def forget(log_url: str) -> int:
    """Deletes the workers' groups from Kafka, as their offsets expire; how many there were."""
    settings = url.parse(log_url)
    admin = KafkaAdminClient(bootstrap_servers=list(settings.bootstrap))
    try:
        known = {one["group_id"] for one in admin.list_groups()}
        mine = sorted({settings.prefix + name for name in WORKERS} & known)
        admin.delete_groups(mine)
        left = {one["group_id"] for one in admin.list_groups()}
        assert not left & set(mine)
        return len(mine)
    finally:
        admin.close()


def back(folder: Path, environment: Mapping[str, str], say: Callable[[str], None] = print) -> dict[str, float]:
    """Seconds until work that comes after a week is asked for, is begun, and is done. AssertionError where something is amiss."""
    with Fleet(folder, environment, PLAN, metered=True) as fleet:
        before, rows = dataset(fleet.where("runs"), 0)
        assert rows
        until(lambda: set(asked(fleet).values()) == {0}, "a cluster without work wants no pod")
        fleet.terminate("work")
        # A group is forgotten only once nobody is in it.
        groups = forget(environment["CONCORD_LOG_URL"])
        assert groups == len(WORKERS), f"{groups} groups of workers"
        log = open_log(from_environment(environment, home=str(folder)))
        retained = sum(
            log.end(topic, at) for topic in topics.ALL if topic.group in WORKERS for at in range(topic.partitions)
        )
        log.close()
        assert retained, "nothing was retained, so that nothing could seem to wait"
        assert set(asked(fleet).values()) == {0}, "what is retained and forgotten is no work"
        say(f"idle: {groups} groups forgotten, {retained} old pieces of work retained, no pod wanted")
        return _work_again(fleet, before, say)


def _work_again(fleet: Fleet, before: str, say: Callable[[str], None]) -> dict[str, float]:
    from concurrent.futures import ThreadPoolExecutor

    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(dataset, fleet.where("runs"), 1)
        until(lambda: asked(fleet)["labeling"] > 0, "work wants pods")
        wanted_s = time.monotonic() - began
        fleet.start("work")
        fleet.wait_ready("work")
        ready_s = time.monotonic() - began
        after, rows = run.result()
        done_s = time.monotonic() - began
    assert rows and after != before
    until(lambda: set(asked(fleet).values()) == {0}, "a cluster without work wants no pod again")
    say(
        f"idle: pods wanted after {wanted_s:.1f} s, serving after {ready_s:.1f} s, the run of 300 pairs done after {done_s:.1f} s"
    )
    return {
        "pods wanted": round(wanted_s, 1),
        "workers serving": round(ready_s, 1),
        "a run of 300 pairs done": round(done_s, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the seconds there")
    given = parser.parse_args()
    # Before anything runs: the load that it found, not its own.
    found = circumstances({})
    folder = Path(tempfile.mkdtemp(prefix="concord-idle-"))
    folder.chmod(0o755)
    kafka, store = start_broker(folder / "kafka"), start_postgres(folder / "postgres")
    s3 = start_s3("versity" if VERSITY.exists() else "moto", folder / "s3")
    try:
        urls = {
            "CONCORD_LOG_URL": f"kafka://{kafka.bootstrap}",
            "CONCORD_STATE_URL": store.url(store.make_database()),
            "CONCORD_BLOB_URL": s3.url("idle"),
        }
        (folder / "home").mkdir()
        seconds = back(folder / "home", {**urls, **s3.variables, **ALONE, "CONCORD_PROCESSES": "1"})
    finally:
        for one in (s3, store, kafka):
            one.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        given.json.write_text(json.dumps({**found, "seconds": seconds}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
