"""The same run on PostgreSQL and S3 as on SQLite and files: the same dataset, also when both go away in the middle."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from concord.kit.store import migrations
from deploy.local import s3 as s3_servers
from tests import the_sample

CONCORD = [sys.executable, "-m", "concord.cli"]
LIMIT_S = 300.0


def variables(folder: Path, **more: str) -> dict[str, str]:
    kernels = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        **kernels,
        **more,
    }


def concord(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess:
    folder.mkdir(exist_ok=True)
    given = variables(folder, **more)
    return subprocess.run([*CONCORD, *words], cwd=folder, env=given, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.fixture
def cluster(postgres_url, some_s3, s3_keys) -> dict[str, str]:
    """The environment of a process whose store is PostgreSQL and whose blobs are on S3."""
    return {"CONCORD_STATE_URL": postgres_url, "CONCORD_BLOB_URL": some_s3.url(postgres_url[-12:]), **s3_keys}


@pytest.fixture(scope="module")
def at_home(tmp_path_factory) -> str:
    """The sample's dataset on SQLite and files."""
    done = concord(tmp_path_factory.mktemp("at home"), "run", "sample", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["dataset_sha256"]


def test_the_samples_dataset_is_the_same_on_postgresql_and_s3(at_home, cluster, tmp_path):
    # One child process: it must find its way to the bucket as well.
    done = concord(tmp_path, "run", "sample", "--json", CONCORD_PROCESSES="1", **cluster)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset_sha256"] == at_home
    home = tmp_path / "concord-data"
    assert not (home / "state.sqlite").exists() and not (home / "blobs").exists()
    assert cluster["AWS_SECRET_ACCESS_KEY"] not in (home / "concord.log").read_text() + done.stderr
    same = concord(tmp_path, "replay", "last", "--diff", **cluster)
    assert (same.returncode, same.stdout.strip()) == (0, "log and store agree"), same.stderr
    well = concord(tmp_path, "doctor", "last", **cluster)
    assert (well.returncode, well.stdout.splitlines()[-1]) == (0, "nothing wrong was found"), well.stdout + well.stderr


def offsets(postgres_url: str) -> int:
    """How far the reactors are."""
    try:
        with psycopg.connect(postgres_url, connect_timeout=5) as connection:
            return connection.execute("select coalesce(sum(next_offset), 0) from positions").fetchone()[0]
    except (psycopg.errors.UndefinedTable, psycopg.OperationalError):
        return 0


def reaches(running: subprocess.Popen, postgres_url: str, offset: int) -> None:
    """Waits until the run has come so far; fails where it ended before."""
    deadline = time.monotonic() + LIMIT_S
    while offsets(postgres_url) < offset:
        assert time.monotonic() < deadline, f"it stands at {offsets(postgres_url)}"
        try:
            running.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"ended with {running.returncode}: {running.stderr.read()}")


@pytest.mark.slow
def test_the_dataset_is_the_same_when_postgresql_crashes_twice_and_s3_is_away_in_the_middle_of_the_run(
    cluster, postgres, some_s3, tmp_path
):
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    words = ("run", "pairs.jsonl", "--judge", "sample", "--budget", "20%", "--json")
    for folder in (calm, rough):
        folder.mkdir()
        (folder / "pairs.jsonl").write_text("\n".join(the_sample.jsonl().splitlines()[:150]) + "\n")
    quiet = concord(calm, *words)
    assert quiet.returncode == 0, quiet.stderr
    given = variables(rough, **cluster)
    url = cluster["CONCORD_STATE_URL"]
    with subprocess.Popen(
        [*CONCORD, *words], cwd=rough, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            for offset in (12, 60):
                reaches(running, url, offset)
                postgres.kill()
                postgres.restart()
                if some_s3.kind == "versity":
                    some_s3.stop()
                    some_s3.restart()
            said, complained = running.communicate(timeout=LIMIT_S)
        finally:
            running.kill()
    assert running.returncode == 0, complained
    made, meant = json.loads(said), json.loads(quiet.stdout)
    assert made["dataset_sha256"] == meant["dataset_sha256"]
    assert made["human_labels"] == meant["human_labels"]
    assert concord(rough, "replay", "last", "--diff", **cluster).stdout.strip() == "log and store agree"


def test_migrate_makes_the_tables_and_says_where_it_stood(postgres_url, tmp_path):
    made = concord(tmp_path, "migrate", CONCORD_STATE_URL=postgres_url)
    assert (made.returncode, made.stdout.split(": ")[1:]) == (
        0,
        [f"tables of version {migrations.head()}, before", "none\n"],
    ), made.stderr
    assert f"before: {migrations.head()}" in concord(tmp_path, "migrate", CONCORD_STATE_URL=postgres_url).stdout
    assert "nothing to do" in concord(tmp_path, "migrate").stdout


@pytest.mark.parametrize("words", [("migrate",), ("run", "sample")])
def test_a_store_that_is_away_ends_the_command_with_4_and_one_line_without_the_password(tmp_path, words):
    done = concord(tmp_path, *words, CONCORD_STATE_URL="postgresql://me:hunter2@127.0.0.1:1/x")
    assert done.returncode == 4 and "does not answer" in done.stderr, done.stderr
    assert "hunter2" not in done.stderr + done.stdout and "Traceback" not in done.stderr


def test_services_print_their_settings_without_the_password(tmp_path, postgres, postgres_url, free_port):
    """`guarded` owns nothing, so the tables are made beforehand."""
    database = postgres_url.rpartition("/")[2]
    assert concord(tmp_path, "migrate", CONCORD_STATE_URL=postgres_url).returncode == 0
    postgres.execute(
        "grant all on all tables in schema public to public",
        "grant all on all sequences in schema public to public",
        database=database,
    )
    given = variables(
        tmp_path, CONCORD_STATE_URL=postgres.guarded_url(database), CONCORD_LISTEN=f"127.0.0.1:{free_port}"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "concord", "runs"],
        cwd=tmp_path,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        line = next(line for line in running.stdout if '"serving"' in line)
        running.terminate()
        assert running.wait(60) == 0
    assert "guarded:***@" in line and s3_servers.SECRET not in line and "hunter2" not in line
