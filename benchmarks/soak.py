"""Load held for an hour: runs, annotators and texts in a cluster of processes on this machine, and whether it stays as it was.

    python -m benchmarks.soak [--minutes 60] [--runs 50] [--annotators 100] [--pairs 500000] [--data DIR] [--quick] [--json [FILE]]

Starts the cluster of `make up` in a folder of its own: Kafka, PostgreSQL, S3 and every service. The runs (windows of one corpus of
HH's texts, corpus.py; a recorded judge, 6 % votes) begin evenly over the first four fifths of the time; the annotators answer
whatever is open, each after up to two seconds of thought. Wanted: no error, memory and descriptors flat, p99 of the last fifth
within twice that of the first. --quick: two runs of 400 pairs, eight annotators, twenty seconds: that it works, no figure.
"""

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

from benchmarks.measure import asked_of, circumstances, parser_of, write
from concord.client.run import drive
from concord.kit import rpc
from concord.kit.enums import short
from concord.kit.ids import run_id
from concord.v1 import runs_service_pb2 as pb
from concord.v1 import tasks_service_pb2 as tasks_pb
from concord.v1.config_pb2 import RunConfig
from concord.v1.pairs_pb2 import Choice, Pair
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from deploy.cluster.processes import Processes
from deploy.local.broker import free_port

ROOT = Path(__file__).resolve().parent.parent
THOUGHT_S, IDLE_S, SAMPLE_S, BEGIN_SHARE = 2.0, 3.0, 2.0, 0.8
# Flat: no more than this beyond what it was after two fifths of the time.
MORE_MEMORY, MORE_DESCRIPTORS, SLOWER = 1.2, 20, 2.0
CHANNELS = 10
# What is under way after the time has as long again, and so long at least.
PATIENCE_S = 300.0
Sample = tuple[float, str, int, int]  # seconds since the start, process, resident bytes, open descriptors
Call = tuple[float, str, float]  # seconds since the start, method, seconds that it took


class Load:
    """Annotators and the one who begins the runs, each in a thread; what they met."""

    def __init__(self, front: str) -> None:
        self.began, self._front = time.monotonic(), front
        self.calls: list[Call] = []
        self.errors: Counter[str] = Counter()
        self.over = threading.Event()
        self.run_ids: list[str] = []

    def timed(self, method, request):
        """The answer; None where there was an error, which is counted."""
        name, began = type(request).__name__.removesuffix("Request"), time.monotonic()
        try:
            return method(request, timeout=60)
        except grpc.RpcError as error:
            # A lease that ran out while somebody thought is no error of the cluster's.
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
                self.errors[f"{name}: {error.code().name}"] += 1
            return None
        finally:
            self.calls.append((began - self.began, name, time.monotonic() - began))

    def annotate(self, name: str, tasks: TaskServiceStub) -> None:
        chance = random.Random(name)
        self.over.wait(chance.random() * IDLE_S)
        while not self.over.is_set():
            given = self.timed(tasks.NextTask, tasks_pb.NextTaskRequest(annotator=name))
            if given is None or not given.HasField("task"):
                self.over.wait(IDLE_S * (0.5 + chance.random()))
                continue
            self.over.wait(THOUGHT_S * chance.random())
            choice = chance.choice([Choice.CHOICE_FIRST, Choice.CHOICE_SECOND])
            said = tasks_pb.SubmitAnnotationRequest(task_id=given.task.task_id, annotator=name, choice=choice)
            self.timed(tasks.SubmitAnnotation, said)

    def begin(self, config: RunConfig, pairs: Sequence[Pair], count: int, seconds: float) -> None:
        """The runs, evenly over the first part of the time; each is about another window of the pairs."""
        size = len(pairs) - count
        with rpc.channel(self._front) as channel:
            runs = RunServiceStub(channel)
            for number in range(count):
                self.over.wait(max(0.0, self.began + number * BEGIN_SHARE * seconds / count - time.monotonic()))
                name = f"soak {number}"
                own = run_id(name, config.SerializeToString(deterministic=True))
                try:
                    drive.begin(runs, own, config, pairs[number : number + size], name, name)
                except grpc.RpcError as error:
                    self.errors[f"beginning a run: {error.code().name}"] += 1
                self.run_ids.append(own)


@contextmanager
def cluster():
    """(folder, front door's address) of a cluster of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="concord-soak-") as home:
        # PostgreSQL runs as a user of its own.
        os.chmod(home, 0o755)
        folder, port = Path(home) / "cluster", free_port()
        words = [sys.executable, "-m", "deploy.cluster"]
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "CONCORD_LOG_LEVEL": "warning"}
        try:
            up = [*words, "up", "--folder", str(folder), "--port", str(port)]
            subprocess.run(up, cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
            yield folder, f"127.0.0.1:{port}"
        finally:
            down = [*words, "down", "--folder", str(folder), "--delete"]
            subprocess.run(down, cwd=ROOT, env=environment, stdout=sys.stderr)


def sample(running: Processes, since: float) -> list[Sample]:
    """Each process's memory and descriptors now; one that does not run has none."""
    found = []
    for name in running.names():
        pid = running.running(name)
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            resident = int(status.split("VmRSS:")[1].split()[0]) * 1024
            found.append((time.monotonic() - since, name, resident, len(os.listdir(f"/proc/{pid}/fd"))))
        except (OSError, IndexError):
            found.append((time.monotonic() - since, name, 0, 0))
    return found


def soak(minutes: float, count: int, annotators: int, pairs: int) -> dict[str, object]:
    """The figures of one soak."""
    from benchmarks.loop import job_of

    job = job_of("virtual", pairs // count + count)
    given = [row.pair for row in job.given.rows]
    # The annotators toss coins: the pilot's gate would stop every run.
    job.config.pilot = 0
    with cluster() as (folder, front):
        seconds = minutes * 60
        load, running, samples = Load(front), Processes(folder), list[Sample]()
        channels = [rpc.channel(front) for _ in range(min(CHANNELS, annotators))]
        people = [
            threading.Thread(target=load.annotate, args=(f"person-{n}", TaskServiceStub(channels[n % len(channels)])))
            for n in range(annotators)
        ]
        owner = threading.Thread(target=load.begin, args=(job.config, given, count, seconds))
        for thread in (owner, *people):
            thread.start()
        views: dict[str, pb.RunView] = {}
        runs = RunServiceStub(channels[0])
        while (now := time.monotonic() - load.began) < seconds + max(seconds, PATIENCE_S):
            samples += sample(running, load.began)
            for own in [one for one in list(load.run_ids) if one not in views or views[one].status not in drive.ENDED]:
                seen = load.timed(runs.GetRun, pb.GetRunRequest(run_id=own))
                if seen is not None:
                    views[own] = seen.run
            if now >= seconds and len(views) == count and all(one.status in drive.ENDED for one in views.values()):
                break
            time.sleep(SAMPLE_S)
        took = time.monotonic() - load.began
        load.over.set()
        for thread in (owner, *people):
            thread.join()
        for channel in channels:
            channel.close()
        said = sum(path.read_text(errors="replace").count('"level": "error"') for path in folder.glob("logs/*-*.log"))
    ends = Counter(short(pb.RunStatus, view.status).lower() for view in views.values())
    answers = sum(name == "SubmitAnnotation" for _, name, _ in load.calls)
    figures: dict[str, object] = {
        "minutes": round(took / 60, 1),
        "runs": dict(ends),
        "pairs_of_finished_runs": sum(view.pairs for view in views.values() if view.status == pb.RUN_STATUS_FINISHED),
        "calls": len(load.calls),
        "answers": answers,
        "errors": dict(load.errors),
        "error_lines_in_logs": said,
        "processes": flatness(samples, took),
        "calls_ms": latencies(load.calls, took),
    }
    return figures | {"held": held(figures)}


def flatness(samples: Sequence[Sample], took: float) -> dict[str, dict[str, float]]:
    """Of each process: megabytes and descriptors, the most until two fifths of the time and the most of the last fifth; and whether
    it was ever gone."""
    by_name: dict[str, list[Sample]] = defaultdict(list)
    for one in samples:
        by_name[one[1]].append(one)
    found = {}
    for name, own in by_name.items():
        early = [one for one in own if one[0] <= 0.4 * took]
        late = [one for one in own if one[0] > 0.8 * took] or own[-1:]
        found[name] = {
            "early_mb": round(max(one[2] for one in early) / 2**20, 1),
            "late_mb": round(max(one[2] for one in late) / 2**20, 1),
            "early_descriptors": max(one[3] for one in early),
            "late_descriptors": max(one[3] for one in late),
            "gone": sum(not one[2] for one in own),
        }
    return found


def latencies(calls: Sequence[Call], took: float) -> dict[str, list[dict[str, float]]]:
    """Of each method, fifth by fifth of the time: calls, median and p99 in milliseconds."""
    found: dict[str, list[dict[str, float]]] = {}
    for name in sorted({name for _, name, _ in calls}):
        fifths: list[list[float]] = [[] for _ in range(5)]
        for at, method, seconds in calls:
            if method == name:
                fifths[min(4, int(5 * at / took))].append(1000 * seconds)
        found[name] = [
            {"calls": len(one), "p50": round(quantile(one, 0.5), 1), "p99": round(quantile(one, 0.99), 1)}
            for one in fifths
        ]
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of these that is no smaller than `share` of them; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def held(figures: Mapping[str, object]) -> dict[str, bool]:
    """Promise → whether it held."""
    processes, calls = figures["processes"], figures["calls_ms"]
    assert isinstance(processes, dict) and isinstance(calls, dict)
    own = {name: one for name, one in processes.items() if "-" in name}
    return {
        "no error": not figures["errors"] and not figures["error_lines_in_logs"],
        "every process lived": not any(one["gone"] for one in processes.values()),
        "memory is flat": all(one["late_mb"] <= MORE_MEMORY * one["early_mb"] for one in own.values()),
        "descriptors are flat": all(
            one["late_descriptors"] <= one["early_descriptors"] + MORE_DESCRIPTORS for one in own.values()
        ),
        "p99 within twice its start": all(
            fifths[4]["p99"] <= SLOWER * fifths[0]["p99"] for fifths in calls.values() if fifths[0]["calls"]
        ),
        "every run ended": set(figures["runs"]) == {"finished"},  # type: ignore[call-overload]
    }


def show(figures: Mapping[str, object]) -> None:
    """What a person reads."""
    print(
        f"{figures['minutes']} minutes: runs {figures['runs']}, {figures['answers']:,} answers, {figures['calls']:,} calls"
    )
    print(f"errors {figures['errors'] or 'none'}, error lines in logs {figures['error_lines_in_logs']}")
    for name, one in figures["processes"].items():  # type: ignore[attr-defined]
        mb = f"{one['early_mb']:8.1f} → {one['late_mb']:8.1f} MB"
        print(f"  {name:12} {mb}  {one['early_descriptors']:4} → {one['late_descriptors']:4} descriptors")
    for name, fifths in figures["calls_ms"].items():  # type: ignore[attr-defined]
        by_fifths = ", ".join(format(one["p99"], ",.0f") for one in fifths)
        print(f"  {name:18} p99 by fifths {by_fifths} ms")
    for promise, kept in figures["held"].items():  # type: ignore[attr-defined]
        print(f"  {'held    ' if kept else 'NOT HELD'} {promise}")


def main() -> int:
    """The exit status: 1 where there was an error or a process was gone."""
    parser = parser_of(__doc__, "two runs of 400 pairs, eight annotators, twenty seconds")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--annotators", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=500_000, help="of all runs together")
    asked = asked_of(parser)
    sizes = (asked.minutes, asked.runs, asked.annotators, asked.pairs) if not asked.quick else (1 / 3, 2, 8, 800)
    settings = dict(zip(("minutes", "runs", "annotators", "pairs"), sizes, strict=True))
    about = circumstances(settings)
    figures = soak(*sizes)
    show(figures)
    if asked.json:
        write(asked.json, about | figures)
    kept = figures["held"]
    assert isinstance(kept, dict)
    return 0 if kept["no error"] and kept["every process lived"] else 1


if __name__ == "__main__":
    sys.exit(main())
