"""Load held for an hour: runs, annotators and texts in a cluster of processes on this machine, and whether it stays as it was.

    python -m benchmarks.soak [--minutes 60] [--runs 50] [--annotators 100] [--pairs 500000] [--data DIR] [--quick] [--json [FILE]]

Starts the cluster of `make up` in a folder of its own: Kafka, PostgreSQL, S3 and every service. The runs (windows of one corpus of
HH's texts, corpus.py; a recorded judge, 6 % votes) begin evenly over the first four fifths of the time; the annotators answer
whatever is open, each after up to two seconds of thought. Wanted: no error, memory and descriptors flat, p99 of the last fifth
within twice that of the first. Fifths are of the time from the first answer on: before it there is nothing to do but to ask, and an
idle start would be compared with work. Ended early (Ctrl-C, SIGTERM) it takes its cluster down and says what it has seen; the file
is written every minute. Where the kernel shares the processor out by sessions, the cluster's processes get this one's share.
--quick: two runs of 400 pairs, eight annotators, twenty seconds: that it works, no figure.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
# Between two times at which the figures are written down as far as they go.
KEPT_S = 60.0
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
    """Memory and descriptors now of each process with all that it started: what starts PostgreSQL or Kafka is not what weighs."""
    children, found = _children(), []
    for name in running.names():
        weights = [one for one in map(_weight, _family(running.running(name), children)) if one is not None]
        found.append((time.monotonic() - since, name, sum(one[0] for one in weights), sum(one[1] for one in weights)))
    return found


def _children() -> dict[int, list[int]]:
    """Process → those that it started and that live."""
    found: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name, which stands in brackets, may hold anything.
            found[int(path.read_text().rpartition(")")[2].split()[1])].append(int(path.parent.name))
    return found


def _family(pid: int | None, children: Mapping[int, Sequence[int]]) -> list[int]:
    found = [pid] if pid else []
    for one in found:
        found += children.get(one, ())
    return found


def _weight(pid: int) -> tuple[int, int] | None:
    """(resident bytes, open descriptors); None where it has just ended."""
    with suppress(OSError, IndexError):
        resident = int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) * 1024
        return resident, len(os.listdir(f"/proc/{pid}/fd"))
    return None


def share_alike(running: Processes) -> None:
    """Gives the cluster's sessions this one's share of the processor, where the kernel has such shares and lets us."""
    with suppress(OSError, IndexError):
        own, children = Path("/proc/self/autogroup").read_text().split("nice")[1].strip(), _children()
        for pid in (pid for name in running.names() for pid in _family(running.running(name), children)):
            with suppress(OSError):
                Path(f"/proc/{pid}/autogroup").write_text(own)


def soak(
    minutes: float, count: int, annotators: int, pairs: int, keep: Callable[[dict[str, object]], object]
) -> dict[str, object]:
    """The figures of one soak; `keep` is given them every minute, as far as it has come."""
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
        views: dict[str, pb.RunView] = {}
        runs, kept_at = RunServiceStub(channels[0]), 0.0

        def figures(stopped: bool) -> dict[str, object]:
            found = _figures(load, samples, views, folder, min(time.monotonic() - load.began, seconds), stopped)
            return found | {"held": held(found)}

        with stoppable(load.over):
            for thread in (owner, *people):
                thread.start()
            while (now := time.monotonic() - load.began) < seconds + max(seconds, PATIENCE_S):
                share_alike(running)
                samples += sample(running, load.began)
                begun = list(load.run_ids)
                for own in [one for one in begun if one not in views or views[one].status not in drive.ENDED]:
                    seen = load.timed(runs.GetRun, pb.GetRunRequest(run_id=own))
                    if seen is not None:
                        views[own] = seen.run
                if now >= seconds and len(views) == count and all(one.status in drive.ENDED for one in views.values()):
                    break
                if now - kept_at > KEPT_S:
                    kept_at = now
                    keep(figures(stopped=True))
                if load.over.wait(SAMPLE_S):
                    break
            stopped = load.over.is_set()
            load.over.set()
            for thread in (owner, *people):
                thread.join()
            for channel in channels:
                channel.close()
            return figures(stopped)


@contextmanager
def stoppable(over: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `over` and end nothing else, so that what was seen is said and the cluster is taken down."""
    before = {sign: signal.signal(sign, lambda *_: over.set()) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _figures(
    load: Load, samples: Sequence[Sample], views: Mapping[str, pb.RunView], folder: Path, until: float, stopped: bool
) -> dict[str, object]:
    """All that was seen; `until`: seconds, the end of the time in which calls are compared."""
    took, calls = time.monotonic() - load.began, list(load.calls)
    said = sum(path.read_text(errors="replace").count('"level": "error"') for path in folder.glob("logs/*-*.log"))
    answers = [at for at, name, _ in calls if name == "SubmitAnnotation"]
    ends = Counter(short(pb.RunStatus, view.status).lower() for view in views.values())
    return {
        "minutes": round(took / 60, 1),
        "stopped": stopped,
        "first_answer_s": round(min(answers, default=took), 1),
        "runs": dict(ends),
        "pairs_of_finished_runs": sum(view.pairs for view in views.values() if view.status == pb.RUN_STATUS_FINISHED),
        "calls": len(calls),
        "answers": len(answers),
        "errors": dict(load.errors),
        "error_lines_in_logs": said,
        "processes": flatness(samples, took),
        "calls_ms": latencies(calls, min(answers, default=0.0), until),
    }


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


def latencies(calls: Sequence[Call], since: float, until: float) -> dict[str, list[dict[str, float]]]:
    """Of each method, fifth by fifth of the time between these: calls, median and p99 in milliseconds."""
    found: dict[str, list[dict[str, float]]] = {}
    for name in sorted({name for _, name, _ in calls}):
        fifths: list[list[float]] = [[] for _ in range(5)]
        for at, method, seconds in calls:
            if method == name and since <= at < until:
                fifths[int(5 * (at - since) / (until - since))].append(1000 * seconds)
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
            one[-1]["p99"] <= SLOWER * one[0]["p99"]
            for one in ([fifth for fifth in fifths if fifth["calls"]] for fifths in calls.values())
            if one
        ),
        "every run ended": not figures["stopped"] and set(figures["runs"]) == {"finished"},  # type: ignore[call-overload]
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
    figures = soak(*sizes, lambda so_far: asked.json not in (None, "-") and write(asked.json, about | so_far))
    show(figures)
    if asked.json:
        write(asked.json, about | figures)
    kept = figures["held"]
    assert isinstance(kept, dict)
    return 0 if kept["no error"] and kept["every process lived"] else 1


if __name__ == "__main__":
    sys.exit(main())
