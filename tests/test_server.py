"""`concord run … --server`: the command as a client of services that run elsewhere."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from concord.client.results import results_dir
from concord.kit import ids, rpc
from concord.kit.settings import from_environment
from concord.process import Running
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.wiring import SERVICES
from tests.test_cli import concord, small_file

ASKED = ("--judge", "sample", "--budget", "10%")
# Equal datasets need equal instruction sets: whatever chose OpenBLAS's kernels here chooses them there.
KERNELS = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}


@contextmanager
def services_in(home: Path) -> Iterator[str]:
    """All services in this process, in a home of their own; yields their front door's address."""
    running = Running(list(SERVICES), from_environment({}, home=str(home), listen="127.0.0.1:0", processes=0))
    try:
        yield running.address
    finally:
        running.stop()


@pytest.fixture
def cluster(tmp_path):
    with services_in(tmp_path / "cluster") as address:
        yield address


def test_a_run_elsewhere_gives_the_dataset_that_a_run_here_gives(cluster, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        small_file(folder)
    done = concord(there, "run", "pairs.jsonl", *ASKED, "--server", cluster, "--out", "out", **KERNELS)
    assert done.returncode == 0, done.stderr
    assert concord(here, "run", "pairs.jsonl", *ASKED, "--out", "out", **KERNELS).returncode == 0
    assert (there / "out/dataset.jsonl").read_bytes() == (here / "out/dataset.jsonl").read_bytes()
    # Nothing of the run was done or kept here.
    assert not (there / "concord-data/log.sqlite").exists()


@pytest.mark.slow
def test_report_and_comparison_are_made_from_what_the_front_door_lets_be_read(cluster, tmp_path):
    small_file(tmp_path)
    done = concord(
        tmp_path, "run", "pairs.jsonl", *ASKED, "--server", cluster, "--out", "out", "--compare", "--json", **KERNELS
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "out/report.json").read_text())
    assert {"posterior", "random", "rlthf"} <= report["methods"].keys()
    assert "<svg" in (tmp_path / "out/report.html").read_text()


def test_a_run_goes_on_elsewhere_only_from_a_run_that_is_known_there(cluster, tmp_path):
    small_file(tmp_path)
    assert concord(tmp_path, "run", "pairs.jsonl", *ASKED).returncode == 0
    done = concord(tmp_path, "run", "--from", "last", "--method", "random", "--server", cluster)
    assert done.returncode == 2, done.stderr
    assert f"no runs at {cluster} yet" in done.stderr


@pytest.mark.parametrize("address", ["localhost", "http://localhost:7070", "localhost:"])
def test_an_address_that_is_none_is_refused_before_anything_begins(address, tmp_path):
    small_file(tmp_path)
    done = concord(tmp_path, "run", "pairs.jsonl", *ASKED, "--server", address, "--out", "out")
    assert done.returncode == 2
    assert "HOST:PORT is expected" in done.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_but_blobs_can_be_read_by_name(cluster):
    with rpc.channel(cluster) as channel:
        for name in ("sha256:../../../../etc/passwd", "begun/anything", ""):
            with pytest.raises(grpc.RpcError) as refused:
                list(RunServiceStub(channel).ReadBlob(pb.ReadBlobRequest(uri=name)))
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_facts_of_a_run_that_is_not_there_are_refused(cluster):
    with rpc.channel(cluster) as channel, pytest.raises(grpc.RpcError) as refused:
        list(RunServiceStub(channel).ReadFacts(pb.ReadFactsRequest(run_id=ids.run_id("none", b""))))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_front_door_that_is_away_is_named(tmp_path):
    small_file(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = concord(tmp_path, "run", "pairs.jsonl", *ASKED, "--server", address)
    assert done.returncode == 4
    assert address in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_elsewhere_and_the_same_run_here_have_a_folder_each():
    here, there, other = (results_dir.folder("home", "6f7b9a1e-52c1", at) for at in ("", "one:7070", "dns:///two:7070"))
    assert len({here, there, other}) == 3
    assert here == Path("home/runs/6f7b9a1e") and there == Path("home/servers/one-7070/runs/6f7b9a1e")
