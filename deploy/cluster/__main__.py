"""The whole cluster on this machine without Docker: Kafka, PostgreSQL, S3 and every service as processes of their own.

    python -m deploy.cluster up [--folder DIR] [--port 7070] [--replicas N]
    python -m deploy.cluster down [--folder DIR] [--delete]

`make up` and `make down` call these. Everything listens on 127.0.0.1 only. PostgreSQL runs as the tests run it, without
waiting for the disk: the power going off may cost the store, which is folded again from the log.
"""

import argparse
import fcntl
import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.cluster import health, pieces
from deploy.cluster.pieces import GROUND, Plan
from deploy.cluster.processes import Processes
from deploy.local import broker, s3

ROOT = Path(__file__).resolve().parent.parent.parent
UP_S, LOOK_S, PATIENCE_S = 180.0, 0.2, 60.0
AGAIN = "then `make up` again; what runs already is left as it is"


class Failed(Exception):
    """What is wrong and what to do, in words."""


def up(folder: Path, port: int, replicas: int) -> None:
    """Starts what does not run yet, the ground before the services, and waits until all of it answers."""
    running = Processes(folder)
    plan = _plan(folder, port, replicas)
    wanted = pieces.names(replicas)
    if missing := health.needs(plan.s3_kind):
        raise Failed("\n".join(missing))
    _check_folder(folder)
    if surplus := [name for name in running.names() if name not in wanted]:
        print(f"ending {', '.join(surplus)}: {replicas} of each service is wanted now")
        running.end(surplus, signal.SIGTERM, PATIENCE_S)
    fresh = [name for name in wanted if not running.running(name)]
    _check_ports(plan, fresh)
    broker.install()
    _raise(running, plan, [name for name in GROUND if name in fresh])
    if {"postgres", "s3"} & set(fresh):
        _make_places(plan)
    _raise(running, plan, [name for name in fresh if name not in GROUND])
    if not fresh:
        _wait(running, plan, wanted)
    _write_environment(plan)
    _say_next(plan, anything_new=bool(fresh))


def _plan(folder: Path, port: int, replicas: int) -> Plan:
    """Ports that were given once stay, so that URLs stay; only the front door's is asked for."""
    known = folder / "ports.json"
    before = json.loads(known.read_text()) if known.exists() else {}
    kind = before.get("s3_kind") or ("versity" if s3.VERSITY.exists() else "moto")
    kept: dict[str, int] = before.get("ports", {})
    front = kept.get("runs-0", port)
    if front != port and Processes(folder).running("runs-0"):
        raise Failed(
            f"the cluster in {folder} is up with its front door at port {front}, not {port}: `make down` first"
        )
    ports: dict[str, int] = {}
    for name in pieces.names(replicas):
        ports[name] = port if name == "runs-0" else kept.get(name) or _free(ports, kept)
    folder.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps({"s3_kind": kind, "ports": kept | ports}))
    return Plan(ROOT, folder, kind, ports)


def _free(*but: dict[str, int]) -> int:
    while (port := broker.free_port()) in {taken for ports in but for taken in ports.values()}:
        pass
    return port


def _check_folder(folder: Path) -> None:
    """PostgreSQL refuses to run as root, and its own user must be able to get to its folder."""
    if os.geteuid() != 0:
        return
    closed = [str(parent) for parent in folder.parents if not parent.stat().st_mode & 0o001]
    if closed:
        raise Failed(
            f"PostgreSQL: as root it runs under its own user, who may not enter {closed[-1]}: put the cluster elsewhere "
            "(`make up CLUSTER=/var/tmp/concord`), or run as another user"
        )


def _check_ports(plan: Plan, fresh: Sequence[str]) -> None:
    for name in fresh:
        if health.taken(plan.ports[name]):
            way = "`make up PORT=…` takes another" if name == "runs-0" else "end that process"
            raise Failed(f"{name}: another process listens on 127.0.0.1:{plan.ports[name]}; {way}, {AGAIN}")


def _raise(running: Processes, plan: Plan, names: Sequence[str]) -> None:
    """Starts these at once and waits for each."""
    # A shell that runs `make up &` lets SIGINT be ignored, and children would inherit that; it is how the ground is ended.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in names:
        running.start(name, plan.command(name), plan.environment(name, os.environ), plan.folder)
    _wait(running, plan, names)


def _wait(running: Processes, plan: Plan, names: Sequence[str]) -> None:
    deadline = time.monotonic() + UP_S
    for name in names:
        while not health.answers(name, plan.ports[name]):
            if not running.running(name):
                raise Failed(f"{name} ended; {_what_it_said(running, name)}")
            if time.monotonic() > deadline:
                raise Failed(f"{name} does not answer after {UP_S:.0f} s; {_what_it_said(running, name)}")
            time.sleep(LOOK_S)
        print(f"  {name:12} 127.0.0.1:{plan.ports[name]}", flush=True)


def _what_it_said(running: Processes, name: str) -> str:
    log = running.log(name)
    last = log.read_text(errors="replace").strip().splitlines()[-3:]
    return f"its log is {log}, which ends:\n    " + "\n    ".join(last) + f"\nMend that, {AGAIN}"


def _make_places(plan: Plan) -> None:
    """The database and the bucket, where they are missing."""
    import psycopg

    owner = f"postgresql://concord@127.0.0.1:{plan.ports['postgres']}/postgres"
    with psycopg.connect(owner, autocommit=True) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", [pieces.DATABASE]).fetchone():
            connection.execute(f"create database {pieces.DATABASE}")
    client = _s3_client(plan)
    if pieces.BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=pieces.BUCKET)


def _s3_client(plan: Plan):
    import boto3

    endpoint = f"http://127.0.0.1:{plan.ports['s3']}"
    keys = {"aws_access_key_id": s3.KEY, "aws_secret_access_key": s3.SECRET}
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)


def _write_environment(plan: Plan) -> None:
    lines = [f"export {name}={shlex.quote(value)}" for name, value in plan.urls().items()]
    (plan.folder / "env").write_text("\n".join(lines) + "\n")


def _say_next(plan: Plan, anything_new: bool) -> None:
    print("the cluster is up" if anything_new else "the cluster was up already")
    print(f"\n    concord run sample --server {plan.front}      a run through the front door")
    print(
        f"    . {_short(plan.folder / 'env')}      the three URLs, for `concord doctor` and what else no front door hands out:"
    )
    for name, value in plan.urls().items():
        print(f"        {name}={value}")
    print(f"    make down      ends it and keeps what is in {_short(plan.folder)}; `make down DATA=gone` deletes it")
    if plan.s3_kind == "moto":
        print(
            "\nS3 is moto's imitation with its objects in memory: runs do not outlive `make down`. `make s3` builds a real one."
        )


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def down(folder: Path, delete: bool) -> None:
    """Ends what `up` started, services first; the data stay unless they are to be deleted."""
    running = Processes(folder)
    names = running.names()
    killed = running.end([name for name in names if name not in GROUND], signal.SIGTERM, PATIENCE_S)
    killed += running.end([name for name in names if name in GROUND], signal.SIGINT, PATIENCE_S)
    if killed:
        print(
            f"did not end within {PATIENCE_S:.0f} s and were killed: {', '.join(killed)}; their logs are in {folder / 'logs'}"
        )
    print("the cluster is down" if names else f"no cluster was up in {_short(folder)}")
    known = folder / "ports.json"
    if delete and known.exists():
        shutil.rmtree(folder)
        print(f"{_short(folder)} is deleted")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One `up` or `down` at a time in a folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("up", "down"))
    parser.add_argument("--folder", type=Path, default=Path("concord-data/cluster"), help="data, logs and pids")
    parser.add_argument(
        "--port", type=int, default=7070, help="of the front door; the other ports are free ones, and stay"
    )
    parser.add_argument("--replicas", type=int, default=1, help="processes of each service")
    parser.add_argument("--delete", action="store_true", help="down: the data as well")
    given = parser.parse_args()
    folder = given.folder.resolve()
    if given.replicas < 1:
        parser.error("--replicas: at least 1")
    do: Callable[[], None] = (
        (lambda: down(folder, given.delete))
        if given.what == "down"
        else (lambda: up(folder, given.port, given.replicas))
    )
    try:
        with alone(folder):
            do()
    except (Failed, RuntimeError) as error:
        sys.exit(f"make {given.what}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"make {given.what}: interrupted; `make up` goes on, `make down` ends what was started")


if __name__ == "__main__":
    main()
