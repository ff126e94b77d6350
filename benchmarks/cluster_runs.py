"""Whole runs on a real cluster of processes: two at once, the time between stages, and replicas of the judge's service."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from kafka import KafkaAdminClient

from benchmarks.loop import ONE_THREAD, job_of
from concord.client.intake import intake
from concord.client.run import drive, options, people
from concord.client.run.job import Job
from concord.kit import rpc
from concord.kit.enums import short
from concord.kit.ids import run_id
from concord.kit.log import Log, topics
from concord.kit.log.kafka.url import parse
from concord.kit.settings import from_environment, open_log
from concord.operate import run_log
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import Event, Stage
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from concord.v1.work_pb2 import Work
from deploy.local.broker import Broker, start_broker
from deploy.local.postgres import Postgres, start_postgres
from tests.fleet import Fleet, each_its_own

ROOT = Path(__file__).resolve().parent.parent
# Of the judge that only waits: so long a call, so many calls in flight in each replica.
LATENCY_S, IN_FLIGHT = 0.25, 8
WORK = (topics.LABEL, topics.SCORE, topics.TRIAGE, topics.TRAIN)
PATIENCE_S = 300.0


@contextmanager
def servers() -> Iterator[tuple[Path, Broker, Postgres]]:
    """A folder with a Kafka and a PostgreSQL in it, gone afterwards."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        # PostgreSQL's own user must be able to enter.
        os.chmod(name, 0o755)
        home = Path(name)
        broker = start_broker(home / "kafka")
        stack.callback(broker.stop)
        postgres = start_postgres(home / "postgres")
        stack.callback(postgres.kill)
        (home / "services").mkdir()
        yield home, broker, postgres


class Cluster:
    """`with Cluster(…) as cluster`: every service as a process of its own on this broker and this PostgreSQL."""

    def __init__(self, home: Path, bootstrap: str, state_url: str) -> None:
        self._environment = ONE_THREAD | {
            "CONCORD_LOG_URL": f"kafka://{bootstrap}?prefix=runs-{uuid4().hex[:8]}.",
            "CONCORD_STATE_URL": state_url,
            "CONCORD_JUDGE_CONCURRENCY": str(IN_FLIGHT),
            "CONCORD_LOG_LEVEL": "error",
        }
        self.fleet = Fleet(home, self._environment, each_its_own(), limit_s=3_600.0)
        self.log: Log = open_log(from_environment(self._environment, home=str(home)))

    def __enter__(self) -> "Cluster":
        self.fleet.__enter__()
        self._channel = rpc.channel(self.fleet.where("runs"))
        self.runs, self.tasks = RunServiceStub(self._channel), TaskServiceStub(self._channel)
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self.fleet.__exit__()
        self.log.close()

    @contextmanager
    def begun(self, job: Job) -> Iterator[drive.People]:
        """The job's run, started, with people at work on it; cancelled at the end where it still goes on."""
        rows = job.given.rows
        drive.begin(self.runs, job.run_id, job.config, [row.pair for row in rows], job.given.sha256, job.given.name)
        annotators = drive.People(self.tasks, job.run_id, job.answer, f"people-{job.run_id[:8]}")
        try:
            yield annotators
        finally:
            annotators.stop()
            if self.runs.GetRun(pb.GetRunRequest(run_id=job.run_id)).run.status not in drive.ENDED:
                self.runs.CancelRun(pb.CancelRunRequest(run_id=job.run_id, request_id="over", reason="measured"))

    def whole(self, job: Job) -> float:
        """Seconds of a whole run, from its first pair at the front door to its end."""
        began = time.perf_counter()
        with self.begun(job) as annotators:
            view = drive.watch(self.runs, job.run_id, annotators, lambda view: None)
        assert view.status == pb.RUN_STATUS_FINISHED, view.detail
        return time.perf_counter() - began

    def stage_of(self, run: str) -> str:
        """The stage that is open now; empty where none is, or where the run is over."""
        view = self.runs.GetRun(pb.GetRunRequest(run_id=run)).run
        stages = [stage for stage in view.stages if not stage.closed]
        return short(Stage, stages[-1].stage) if stages and view.status not in drive.ENDED else ""

    def grow(self, replicas: int) -> None:
        """So many processes of labeling, and waits until the group has given each its share of the partitions."""
        have = [name for name in self.fleet.names if name.startswith("labeling-")]
        for number in range(len(have), replicas):
            self.fleet.add(f"labeling-{number}", ("labeling",))
        for name in [name for name in self.fleet.names if name.startswith("labeling-")]:
            running = self.fleet.processes[name].poll() is None
            if int(name.rpartition("-")[2]) < replicas:
                if not running:
                    self.fleet.start(name)
                self.fleet.wait_ready(name)
            elif running:
                self.fleet.terminate(name)
        wait_for(
            lambda: self._shares() == [topics.LABEL.partitions // replicas] * replicas, "even shares of the partitions"
        )

    def _shares(self) -> list[int]:
        settings = parse(self._environment["CONCORD_LOG_URL"])
        admin = KafkaAdminClient(**settings.connection())
        try:
            return shares(admin, f"{settings.prefix}labeling")
        finally:
            admin.close()

    def labelled(self, url: str, pairs: int, shard_pairs: int) -> float:
        """Seconds of the LABEL stage of a run on the judge at `url`, by the log's clock."""
        # Each a model of its own: an answer that was kept is not asked for again.
        asked = {
            "judge": f"{url}#judge-{uuid4().hex[:8]}",
            "method": "none",
            "pilot": 0,
            "shard_pairs": shard_pairs,
            "window": 96,
        }
        config = options.run_config(options.resolve(asked), None)
        given = intake.read_sample()
        given = replace(given, rows=given.rows[:pairs])
        name = run_id(given.sha256, options.semantic(config))
        self.whole(Job(options.resolve(asked), given, config, name, people.nobody))
        stages = [(event, at) for event, at in run_log.events(self.log, name)]
        opened = next(at for event, at in stages if event.stage_opened.stage == Stage.STAGE_LABEL)
        return next(at for event, at in stages if event.stage_closed.stage == Stage.STAGE_LABEL) - opened


def shares(admin: KafkaAdminClient, group: str) -> list[int]:
    """How many partitions each member of the group has, fewest first; empty while the group shares them out anew."""
    found = admin.describe_groups([group])[group]
    if found["group_state"] != "Stable":
        return []
    held = [member["member_assignment"]["assigned_partitions"] for member in found["members"]]
    return sorted(sum(len(topic["partitions"]) for topic in topics) for topics in held)


def part_of(job: Job, pairs: int, salt: str) -> Job:
    """A run of its own on the job's first pairs."""
    given = replace(job.given, rows=job.given.rows[:pairs])
    answer = people.answerer(job.options.annotators, given.rows, job.options.seed)
    return replace(
        job, given=given, answer=answer, run_id=run_id(f"{salt}/{pairs}", options.semantic(job.config), uuid4().hex)
    )


def two_at_once(cluster: Cluster, small: int, large: int, repeats: int) -> tuple[dict[str, list], list[str]]:
    """Seconds of a small run alone and then beside a large one, and the names of those alone."""
    big = job_of("virtual", large)
    lone = [part_of(big, small, f"alone {n}") for n in range(repeats)]
    alone = [cluster.whole(job) for job in lone]
    beside: list[float] = []
    stages: list[str] = []
    with cluster.begun(big) as annotators:
        wait_for(
            lambda: cluster.stage_of(big.run_id) not in ("", "PILOT_LABEL", "PILOT_ANNOTATE"),
            "the large run's own stages",
        )
        for n in range(repeats):
            stages.append(cluster.stage_of(big.run_id))
            beside.append(cluster.whole(part_of(big, small, f"beside {n}")))
            assert annotators.error is None, annotators.error
        over = cluster.runs.GetRun(pb.GetRunRequest(run_id=big.run_id)).run.status in drive.ENDED
    if over:
        sys.exit("the large run ended before the small ones beside it: give it more pairs")
    return {"alone": alone, "beside": beside, "the large run was in": stages}, [job.run_id for job in lone]


def between_stages(log: Log, runs: Sequence[str]) -> list[float]:
    """Seconds from the last fact of a stage's units to the first work of the next stage, by the log's clock.

    Only where the next stage has work: what people do comes from them.
    """
    first: dict[tuple[str, int, int], float] = {}
    for topic in WORK:
        for partition in range(topic.partitions):
            for record in everything(log, topic, partition):
                work = Work.FromString(record.value)
                place = (work.run_id, work.unit.stage, work.unit.round)
                first[place] = min(record.at, first.get(place, record.at))
    return [gap for run in runs for gap in _gaps(run, run_log.events(log, run), first)]


def _gaps(
    run: str, facts: Sequence[tuple[Event, float]], first: Mapping[tuple[str, int, int], float]
) -> Iterator[float]:
    last, closed = 0.0, False
    for event, at in facts:
        kind = event.WhichOneof("kind")
        if kind == "stage_opened":
            begun = first.get((run, event.stage_opened.stage, event.stage_opened.round))
            if closed and last and begun is not None:
                yield begun - last
            last, closed = 0.0, False
        elif kind == "stage_closed":
            closed = True
        elif event.HasField("unit") and not closed:
            last = at


def everything(log: Log, topic: topics.Topic, partition: int) -> Iterator:
    """All records of the partition."""
    offset, end = 0, log.end(topic, partition)
    while offset < end and (batch := log.read(topic, partition, offset, 2_000)):
        yield from batch
        offset = batch[-1].offset + 1


def replicas(
    cluster: Cluster, counts: Sequence[int], pairs: int, shard_pairs: int, repeats: int
) -> dict[int, list[float]]:
    """Replicas of labeling → seconds of the LABEL stage; the judge takes LATENCY_S a call and has room for all."""
    found: dict[int, list[float]] = {count: [] for count in counts}
    with waiting_judge() as url:
        for _ in range(repeats):
            for count in counts:
                cluster.grow(count)
                found[count].append(cluster.labelled(url, pairs, shard_pairs))
    return found


@contextmanager
def waiting_judge() -> Iterator[str]:
    """A judge in a process of its own, which answers after LATENCY_S whatever it is asked."""
    command = [sys.executable, "tests/endpoint.py", "--latency-ms", str(1000 * LATENCY_S)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def wait_for(reached: Callable[[], bool], what: str) -> None:
    """Asks now and then until it is so."""
    over, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, f"{what}: not so after {PATIENCE_S:.0f} s"
        over.wait(0.1)
