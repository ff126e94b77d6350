"""`make up` and `make down`: a whole cluster of processes on free ports, without Docker."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from concord.client.run import drive, options, people
from concord.kit import ids, rpc
from concord.kit.settings import from_environment, open_log
from concord.operate import run_log
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from concord.wiring import SERVICES
from deploy.cluster.processes import Processes, began
from tests import the_sample

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent
PIECES = {"kafka", "postgres", "s3", *(f"{name}-0" for name in SERVICES)}
ROWS = the_sample.given().rows[:120]


def local(*words: str, folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "deploy.cluster", *words, "--folder", str(folder)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def folder(kafka_jars):
    """One that PostgreSQL's own user may enter."""
    parent = Path(tempfile.mkdtemp(prefix="concord-up-"))
    parent.chmod(0o755)
    yield parent / "cluster"
    local("down", folder=parent / "cluster")
    shutil.rmtree(parent)


def small_run(front: str) -> pb.RunView:
    """Through the front door alone: it answers for the tasks as well."""
    asked = options.resolve({"judge": "sample", "budget": "10%", "shard_pairs": 32})
    run_id = ids.run_id("up", b"")
    with rpc.channel(front) as channel:
        runs = RunServiceStub(channel)
        pairs = [row.pair for row in ROWS]
        drive.begin(runs, run_id, options.run_config(asked, None), pairs, "0" * 64, "the sample's first pairs")
        annotators = drive.People(TaskServiceStub(channel), run_id, people.simulated(ROWS, seed=5, rate=0.1), "people")
        try:
            return drive.watch(runs, run_id, annotators, lambda view: None)
        finally:
            annotators.stop()


def exported(path: Path) -> dict[str, str]:
    """What a shell has after `. env`."""
    shown = subprocess.run(["sh", "-c", f". {path}; env -0"], capture_output=True, text=True, env={}, check=True).stdout
    return dict(one.split("=", 1) for one in shown.split("\0") if one.startswith(("CONCORD_", "AWS_")))


def test_a_cluster_comes_up_once_runs_and_leaves_nothing_running(folder, free_port, monkeypatch):
    begun = local("up", "--port", str(free_port), folder=folder)
    assert begun.returncode == 0, begun.stderr + begun.stdout
    assert "the cluster is up\n" in begun.stdout and f"--server 127.0.0.1:{free_port}" in begun.stdout
    running = Processes(folder)
    pids = {name: running.running(name) for name in running.names()}
    assert set(pids) == PIECES and all(pids.values())

    view = small_run(f"127.0.0.1:{free_port}")
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    # What is exported leads to the same log: the run is folded from its facts.
    for name, value in exported(folder / "env").items():
        monkeypatch.setenv(name, value)
    log = open_log(from_environment({name: value for name, value in os.environ.items() if name.startswith("CONCORD_")}))
    assert run_log.fold(log, view.run_id).state.view.dataset_sha256 == view.dataset_sha256
    log.close()

    again = local("up", "--port", str(free_port), folder=folder)
    assert again.returncode == 0 and "up already" in again.stdout
    assert {name: running.running(name) for name in running.names()} == pids

    ended = local("down", folder=folder)
    assert ended.returncode == 0 and "the cluster is down" in ended.stdout and "killed" not in ended.stdout, (
        ended.stdout
    )
    # What is left of a process until its parent looks for it is none.
    assert not any(began(pid) for pid in pids.values())
    assert not running.names() and (folder / "kafka" / "data").exists()
    for port in json.loads((folder / "ports.json").read_text())["ports"].values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
    assert local("down", "--delete", folder=folder).returncode == 0 and not folder.exists()


def test_a_port_that_is_taken_is_named_with_what_to_do(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        refused = local("up", "--port", str(other.getsockname()[1]), folder=folder)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert "runs-0: another process listens on 127.0.0.1" in refused.stderr and "make up PORT=" in refused.stderr


def test_a_process_that_took_over_an_old_pid_is_not_taken_for_ours(tmp_path):
    processes = Processes(tmp_path)
    (tmp_path / "pids").mkdir()
    (tmp_path / "pids" / "kafka").write_text(f"{os.getpid()} 1")
    assert processes.names() == ["kafka"] and processes.running("kafka") is None
    processes.end(["kafka"], 15, 5.0)  # would end this very process
    assert processes.names() == []
