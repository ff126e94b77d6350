"""A damaged file, and a system that gives too little: a message, never a trace; doctor tells of it and goes on."""

import errno
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from concord.kit import allowance
from concord.kit.errors import ConcordError
from concord.kit.log import sqlite
from concord.operate import doctor, inspect
from concord.operate.local_records import here
from concord.wiring import SERVICES
from tests.test_cli import CONCORD, ROOT, concord, small_file
from tests.test_doctor import settings_in

ASKED = ("run", "pairs.jsonl", "--judge", "sample", "--budget", "10%")
PAGE = 4_096
MIB = 2**20


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A folder with a finished run."""
    folder = tmp_path_factory.mktemp("whole")
    small_file(folder, 60)
    assert concord(folder, *ASKED).returncode == 0
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    shutil.copytree(whole, tmp_path / "copy")
    return tmp_path / "copy"


def overwrite(path: Path, pages: list[int]) -> None:
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * PAGE)
            file.write(random.Random(page).randbytes(PAGE))


def untraced(done: subprocess.CompletedProcess, *codes: int) -> None:
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in codes, (done.returncode, done.stdout, done.stderr)
    if done.returncode:
        assert "concord: " in done.stderr or done.stdout, done


@pytest.mark.parametrize("name", ["log.sqlite", "state.sqlite"])
def test_whoever_reads_a_damaged_file_hears_of_it_and_doctor_comes_to_its_end(folder, name):
    home = folder / "concord-data"
    path, settings = home / name, settings_in(home)
    overwrite(path, list(range(1, path.stat().st_size // PAGE, 2)))
    with here(settings) as place, pytest.raises(ConcordError):
        for view in place.views():
            list(place.of(view.run_id))
            place.store.rows("runs", view.run_id)
    health = inspect.place(settings, SERVICES)
    assert any(str(path) in found.says for found in health.findings)
    assert any("can be written" in note for note in health.notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log.sqlite", "state.sqlite"])
@pytest.mark.parametrize(
    "where", ["the first page", "the second page", "the middle", "many pages", "the end is cut off"]
)
def test_a_damaged_file_is_told_of_by_every_command(folder, name, where):
    path = folder / "concord-data" / name
    pages = path.stat().st_size // PAGE
    some = {
        "the first page": [0],
        "the second page": [1],
        "the middle": [pages // 2],
        "many pages": list(range(2, pages, 3)),
    }
    if where in some:
        overwrite(path, some[where])
    else:
        os.truncate(path, pages // 2 * PAGE)
    for words in (("runs",), ASKED, ("replay", "last"), ("verify", "last"), ("report", "last")):
        untraced(concord(folder, *words), 0, 2, 3, 4)
    told = concord(folder, "doctor", "--json")
    untraced(told, 0, 3)
    health = json.loads(told.stdout)
    assert any(str(path) in found["says"] for found in health["findings"]), health
    # The other checks came to their turn.
    assert any("can be written" in note for note in health["notes"])


def test_whole_files_pass_the_check_and_a_file_that_is_no_database_does_not(folder, tmp_path):
    assert not sqlite.damage(folder / "concord-data/log.sqlite")
    (tmp_path / "none").write_bytes(b"no database at all" * 1_000)
    assert "not a database" in sqlite.damage(tmp_path / "none")


def limited(folder: Path, limit: int, most: int, *words: str) -> subprocess.CompletedProcess:
    """The command with this limit, as `ulimit` sets it."""
    sources = os.pathsep.join((str(ROOT), str(ROOT / "src")))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": sources}
    lower = f"import os, resource, sys; resource.setrlimit({limit}, ({most}, {most})); os.execv(sys.executable, sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", lower, *CONCORD, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("most", [16, 32, 64])
def test_few_open_files_end_in_a_message(folder, most):
    limit = resource.RLIMIT_NOFILE
    untraced(limited(folder, limit, most, *ASKED), 2, 4)
    untraced(limited(folder, limit, most, "runs"), 0, 4)
    told = limited(folder, limit, most, "doctor", "last")
    untraced(told, 3, 4)
    if told.returncode == 3:
        assert f"may open {most} files" in told.stdout and "ulimit -n" in told.stdout


@pytest.mark.slow
@pytest.mark.parametrize("most", [100 * MIB, 300 * MIB, 600 * MIB, 1_000 * MIB])
def test_a_small_address_space_ends_in_a_message(folder, most):
    limit = resource.RLIMIT_AS
    for words in (ASKED, ("runs",), ("doctor", "last")):
        untraced(limited(folder, limit, most, *words), 0, 2, 3, 4)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (MemoryError(), "no memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (ImportError("libx.so: failed to map segment from shared object"), "no memory"),
    ],
)
def test_what_the_system_did_not_give_is_said_with_what_to_do(error, said):
    assert said in (allowance.want(error) or "")


def test_other_errors_stay_what_they_are():
    assert not any(
        map(allowance.want, (OSError(errno.ENOENT, "x"), RuntimeError("x"), ImportError("x"), ValueError("x")))
    )


def test_doctor_names_the_limit_and_what_lifts_it():
    (found,) = doctor.allowance_health(
        ["this process may open 32 files and services need 128: ulimit -n 4096"]
    ).findings
    assert (found.about, found.do) == ("settings", "ulimit -n 4096, in the shell that starts it")
