"""The sample on a real cluster: Kafka, PostgreSQL, S3, two processes of every service; the same dataset as in one process."""

import json
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from concord import embedded as embedding
from concord.client.run import options, session
from concord.client.run.job import Job, prepare
from concord.kit import rpc
from concord.kit.log.topics import DEAD_LETTERS
from concord.kit.settings import from_environment, open_log, open_store
from concord.operate.redo import store_differences
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.wiring import SERVICES
from tests.dataset_stream import read_dataset
from tests.endpoint import Endpoint
from tests.fleet import Fleet, each_its_own
from tests.golden.__main__ import History, lines_of
from tests.judged_run import endpoint
from tests.test_generate import Models, people, prompts

pytestmark = pytest.mark.slow


REPLICAS = 2


# Whatever a run may have beside the usual: pairs that are chosen and checked, a second person, an end before the budget's.
MORE = {
    "annotators": "simulated:0.1",
    "budget": "60%",
    "batch": 0.1,
    "audit": 0.6,
    "select": "drop-similar",
    "re_ask": 0.2,
    "target_error": 0.35,
    "shard_pairs": 32,
    "components": 32,
}
SAMPLED = {"annotators": "function:ann", "budget": "30%", "pilot": 0, "components": 16, "shard_pairs": 8}


@pytest.fixture(scope="module")
def models():
    """An endpoint whose `policy` answers prompts and whose `stub` judges the answers."""
    with endpoint(Models) as served:
        yield served


def of_prompts(models: Endpoint, folder: Path) -> Job:
    """A run whose pairs are sampled from a model, every fourth marked as harmful, and answered by a function."""
    path, url = folder / "prompts.jsonl", models.url
    asked = {**SAMPLED, "generate": (f"{url}#policy",), "judge": f"{url}#stub"}
    rows = [{**row, "harmful": at % 4 == 0} for at, row in enumerate(prompts(64))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return prepare(str(path), options.resolve(asked), None, "", functions={"ann": people})


@pytest.fixture(scope="module", params=["sample", "more", "prompts"])
def job(request, models, tmp_path_factory):
    """What `concord run sample` runs; or the first pairs of it, every second with a reference, and all that a run may have; or
    prompts alone."""
    if request.param == "sample":
        return prepare("sample", options.resolve({}), None, "")
    if request.param == "prompts":
        return of_prompts(models, tmp_path_factory.mktemp("prompts"))
    path = tmp_path_factory.mktemp("more") / "rows.jsonl"
    path.write_text("\n".join(lines_of(History(240, {}, checks=True))) + "\n")
    return prepare(str(path), options.resolve(MORE), None, "")


@pytest.fixture(scope="module")
def embedded(job, tmp_path_factory):
    """The finished run of all services in one process, on SQLite and files."""
    settings = from_environment({}, home=str(tmp_path_factory.mktemp("embedded")))
    with embedding.embedded(settings, len(job.given.rows)) as running:
        return session.run(session.selected(job, running, lambda view: None), running, lambda view: None)


@pytest.fixture
def environment(kafka_url, postgres_url, some_s3, s3_keys):
    """Three URLs are the whole infrastructure; beside them only the keys to S3, and no core for a second child."""
    urls = {"LOG": kafka_url, "STATE": postgres_url, "BLOB": some_s3.url(f"cluster-{uuid4().hex[:8]}")}
    return {f"CONCORD_{name}_URL": url for name, url in urls.items()} | {"CONCORD_PROCESSES": "1"} | s3_keys


def run_through(job: Job, door: str) -> tuple[pb.RunView, bytes]:
    """What `concord run` does, with all its calls through one name; the run's last state and its dataset."""
    cluster = session.Cluster(door)
    with rpc.channel(door) as channel:
        grpc.channel_ready_future(channel).result(30)
        view = session.run(session.selected(job, cluster, lambda view: None), cluster, lambda view: None)
        return view, b"".join(read_dataset(RunServiceStub(channel), job.run_id))


def test_two_processes_of_every_service_on_kafka_postgres_and_s3_make_the_dataset_of_one_process(
    job, embedded, environment, tmp_path
):
    plan = each_its_own(**dict.fromkeys(SERVICES, REPLICAS))
    with Fleet(tmp_path, environment, plan) as fleet:
        assert len(fleet.processes) == REPLICAS * len(SERVICES)
        view, rows = run_through(job, fleet.replicas("runs"))
        worked = {name for name in fleet.names if fleet.processes[name].poll() is None}
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    assert view.dataset_sha256 == embedded.dataset_sha256
    assert len(rows.splitlines()) == view.pairs == (embedded.pairs if job.config.select else len(job.given.rows))
    if job.config.generators:
        assert view.pairs and 0 < rows.count(b'"harmful":true') < view.pairs
    elif job.config.select:
        assert view.enough and view.re_asked and view.pairs < len(job.given.rows) and b'"source":"checked"' in rows
    assert worked == set(plan), "a process ended by itself"
    settings = from_environment(environment, home=str(tmp_path))
    log, store = open_log(settings), open_store(settings)
    assert store_differences(log, store, job.run_id) == []
    assert sum(log.end(DEAD_LETTERS, partition) for partition in range(DEAD_LETTERS.partitions)) == 0
    # Nothing lay where a laptop keeps it.
    assert not list(tmp_path.glob("*.sqlite")) and not (tmp_path / "blobs").exists()
    log.close()
