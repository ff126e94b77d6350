"""`python -m tests.compose [--keep]`: builds the images, brings docker-compose.yml up and runs a sample through the door.

Needs an engine: the one that DOCKER_HOST or the default socket leads to, else one of its own is started, which needs root
and Debian's docker.io and debootstrap. Where that cannot be it says why and ends with 0: nothing was tested then. Images of
Kafka, PostgreSQL, S3 and nginx are made here (deploy/local); they take the settings of those that compose names.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import circumstances
from concord.client.run import drive, options, people
from concord.kit import ids, rpc
from concord.kit.health import why_not
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from concord.wiring import SERVICES
from deploy.local.broker import ROOT, free_port
from deploy.local.broker import install as install_kafka
from deploy.local.engine import WORK, engine
from tests import the_sample
from tests.dataset_stream import read_dataset

TOOLS = ROOT / ".tools"
TAG = "local"
ROWS = the_sample.given().rows[:300]
ANSWER = people.simulated(ROWS, seed=5, rate=0.1)
UP_S = 300


class Compose:
    """`docker compose` on the project's file with images made here."""

    def __init__(self, host: str, port: int) -> None:
        images = {f"{name.upper()}_IMAGE": f"concord-{name}:{TAG}" for name in (*SERVICES, "console")}
        parts = {
            f"{name.upper()}_IMAGE": f"localhost/concord-{name}:{TAG}" for name in ("kafka", "postgres", "s3", "door")
        }
        twice = {f"{name.upper()}_REPLICAS": "2" for name in ("runs", "tasks", "labeling")}
        self.environment = {
            **os.environ,
            **images,
            **parts,
            **twice,
            "PORT": str(port),
            # Any free one.
            "CONSOLE_PORT": "0",
            "DOCKER_HOST": host,
            "COMPOSE_PROJECT_NAME": "concord-test",
        }
        if (TOOLS / "docker/cli-plugins/docker-compose").exists():
            self.environment["DOCKER_CONFIG"] = str(TOOLS / "docker")
        self.address = f"127.0.0.1:{port}"

    def run(self, *words: str) -> str:
        return self.docker("compose", "-f", str(ROOT / "docker-compose.yml"), *words)

    def docker(self, *words: str) -> str:
        done = subprocess.run(["docker", *words], env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"docker {' '.join(words)}:\n{(done.stdout + done.stderr)[-4000:]}")
        return done.stdout

    def containers(self, service: str) -> list[Mapping]:
        found = self.run("ps", "--all", "--quiet", service).split()
        return json.loads(self.docker("inspect", *found))

    def wait_healthy(self, service: str) -> None:
        deadline = time.monotonic() + UP_S
        while any(one["State"].get("Health", {}).get("Status") != "healthy" for one in self.containers(service)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{service} is not healthy again:\n{self.run('logs', '--tail', '20', service)}")
            time.sleep(0.5)


def dataset(address: str, seed: int) -> tuple[str, bytes]:
    """Hash and rows of a run driven to its end through this one address."""
    asked = options.resolve(
        {"judge": "sample", "budget": "10%", "quorum": 2, "shard_pairs": 32, "batch": 0.02, "seed": seed}
    )
    run_id = ids.run_id("compose", str(seed).encode())
    with rpc.channel(address) as channel:
        runs = RunServiceStub(channel)
        drive.begin(runs, run_id, options.run_config(asked, None), [row.pair for row in ROWS], "0" * 64, "made up")
        annotators = drive.People(TaskServiceStub(channel), run_id, ANSWER, "people")
        try:
            view = drive.watch(runs, run_id, annotators, lambda view: None)
        finally:
            annotators.stop()
        assert view.status == pb.RUN_STATUS_FINISHED, view.detail
        return view.dataset_sha256, b"".join(read_dataset(runs, run_id))


@contextmanager
def embedded(compose: Compose) -> Iterator[str]:
    """The address of all services in one container, on SQLite and files: equal hashes need equal versions of NumPy."""
    address = f"127.0.0.1:{free_port()}"
    safe = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
    words = (
        "run",
        "--detach",
        "--network",
        "host",
        *safe,
        "--env",
        f"CONCORD_LISTEN={address}",
        f"concord-runs:{TAG}",
        *SERVICES,
    )
    container = compose.docker(*words).strip()
    try:
        deadline = time.monotonic() + UP_S
        while (reason := why_not(address)) is not None:
            if time.monotonic() > deadline:
                raise AssertionError(f"{reason}\n{compose.docker('logs', container)}")
            time.sleep(0.2)
        yield address
    finally:
        compose.docker("rm", "--force", container)


def check_containers(compose: Compose) -> None:
    """No root, nothing to write on but /tmp, nothing to build with; all six answer through the one door."""
    for name in SERVICES:
        for container in compose.containers(name):
            assert container["Config"]["User"] == "10001:10001"
            assert container["HostConfig"]["ReadonlyRootfs"] is True
            assert container["HostConfig"]["Memory"] > 0
        for missing in ("gcc", "cc", "make"):
            assert not compose.run("exec", "-T", name, "sh", "-c", f"command -v {missing} || true").strip()
        write = "touch /venv/x 2>&1 || echo refused; touch /tmp/x && echo written"
        said = compose.run("exec", "-T", name, "sh", "-c", write)
        assert "refused" in said and "written" in said, said
    assert why_not(compose.address) is None


def kill(compose: Compose, service: str) -> None:
    """SIGKILL from outside, as the kernel's: nobody asked for it, so the engine must start the container again."""
    for container in compose.containers(service):
        os.kill(container["State"]["Pid"], signal.SIGKILL)


def sizes(compose: Compose) -> dict[str, int]:
    """Megabytes of each image, its base included; services share all layers but the last."""
    names = {f"concord-{name}:{TAG}" for name in SERVICES} | {f"localhost/concord-base:{TAG}"}
    return {
        name: int(compose.docker("image", "inspect", "--format", "{{.Size}}", name)) // 1_000_000
        for name in sorted(names)
    }


def test(compose: Compose, seconds: dict[str, float]) -> None:
    """Up, a run, a crash, another run, down in good order; says how long each took."""

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        print(f"compose: {what} …", flush=True)
        begun = time.monotonic()
        yield
        seconds[what] = round(time.monotonic() - begun, 1)

    compose.run("config", "--quiet")
    compose.run("--profile", "*", "config", "--quiet")
    with timed("the same runs embedded"), embedded(compose) as address:
        wanted = [dataset(address, seed) for seed in (0, 1)]
    with timed("up"):
        compose.run("up", "--detach", "--wait", "--wait-timeout", str(UP_S))
    check_containers(compose)
    with timed("first run"):
        assert dataset(compose.address, 0) == wanted[0], "the dataset is not the embedded one's"
    with timed("crash of runs, labeling and scoring, until healthy again"):
        for name in ("runs", "labeling", "scoring"):
            kill(compose, name)
        for name in ("runs", "labeling", "scoring"):
            compose.wait_healthy(name)
            assert all(one["RestartCount"] == 1 for one in compose.containers(name))
    with timed("second run"):
        assert dataset(compose.address, 1) == wanted[1], "the dataset is not the embedded one's"
    with timed("stop"):
        compose.run("stop")
    for name in (*SERVICES, "kafka", "postgres", "door"):
        print(f"compose:   {name} ended at {[one['State']['FinishedAt'][11:19] for one in compose.containers(name)]}")
        for one in compose.containers(name):
            # Java ends a SIGTERM with 143, however orderly.
            assert one["State"]["ExitCode"] in ((0, 143) if name == "kafka" else (0,)), (name, one["State"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave the containers' volumes for a look")
    parser.add_argument("--json", type=Path, help="write times and sizes there")
    given = parser.parse_args()
    # Before anything runs: the load that it found, not its own.
    found = circumstances({})
    with engine() as (host, why):
        if why:
            print(f"compose: NOT TESTED: {why}", flush=True)
            return 0
        install_kafka()
        begun, seconds = time.monotonic(), {}
        environment = {**os.environ, "DOCKER_HOST": host, "TAG": TAG}
        print("compose: images …", flush=True)
        subprocess.run([str(ROOT / "deploy/local/images.sh"), str(WORK)], env=environment, check=True)
        seconds["images"] = round(time.monotonic() - begun, 1)
        compose = Compose(host, free_port())
        try:
            test(compose, seconds)
            print(json.dumps({"seconds": seconds, "megabytes": sizes(compose)}, indent=2))
        except BaseException:
            print(compose.run("ps", "--all"), compose.run("logs", "--tail", "30"), file=sys.stderr)
            raise
        finally:
            compose.run("down", "--timeout", "20", *([] if given.keep else ["--volumes"]))
        if given.json:
            made = {**found, "seconds": seconds, "megabytes": sizes(compose)}
            given.json.write_text(json.dumps(made, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
