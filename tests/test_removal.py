"""`concord rm` and `concord gc`: a run goes with all that is its own, and nothing that another run needs."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from concord.embedded import embedded
from concord.kit.blobs import FileBlobs
from concord.kit.errors import InvalidInput, Refused
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.settings import Settings, open_blobs, open_log, open_store
from concord.operate import removal, verify
from concord.operate.local_records import here
from concord.v1.config_pb2 import Parent, RunConfig
from concord.v1.runs_service_pb2 import RunView
from concord.wiring import SERVICES
from tests.test_cli import concord, small_file
from tests.test_doctor import run_in, settings_in, truth

ASKED = ("pairs.jsonl", "--judge", "sample", "--budget", "10%")


def said(folder: Path, *words: str) -> str:
    done = concord(folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def garbage(settings: Settings, grace_s: float = 0.0) -> removal.Garbage:
    blobs = open_blobs(settings)
    assert isinstance(blobs, FileBlobs)
    with removal.alone(settings, SERVICES) as log:
        return removal.garbage(log, blobs, time.time() + 1, grace_s)


def removed(settings: Settings, run_id: str) -> removal.Removed:
    with removal.alone(settings, SERVICES) as log:
        return removal.remove(settings, log, run_id)


def test_a_removed_run_is_gone_with_its_side_runs_and_the_rest_stays(tmp_path):
    small_file(tmp_path, 60)
    other = json.loads(said(tmp_path, "run", *ASKED, "--seed", "7", "--json"))
    lone = files(tmp_path / "concord-data")
    gone = json.loads(said(tmp_path, "run", *ASKED, "--compare", "--json"))
    said(tmp_path, "rm", gone["run_id"][:8], "--yes")
    lines = said(tmp_path, "runs").splitlines()
    assert len(lines) == 1 and lines[0].startswith(other["run_id"])
    assert not (tmp_path / "concord-data/runs" / gone["run_id"][:8]).exists()
    assert concord(tmp_path, "replay", gone["run_id"]).returncode == 2
    freed = said(tmp_path, "gc", "--grace", "0", "--yes")
    assert "blobs are freed" in freed
    # What is left is what the other run alone had, but for the log of the commands and what SQLite keeps beside its files.
    assert files(tmp_path / "concord-data/blobs") <= lone
    for name in ("log.sqlite", "state.sqlite"):
        assert gone["run_id"].encode() not in (tmp_path / "concord-data" / name).read_bytes()
    assert "as it was recorded" in said(tmp_path, "verify", "last")
    said(tmp_path, "report", "last")
    assert "nothing wrong was found" in said(tmp_path, "doctor", "last")


def test_the_same_command_begins_a_removed_run_anew(tmp_path):
    small_file(tmp_path, 60)
    first = json.loads(said(tmp_path, "run", *ASKED, "--json"))
    said(tmp_path, "rm", "last", "--yes")
    again = json.loads(said(tmp_path, "run", *ASKED, "--json"))
    assert (again["run_id"], again["dataset_sha256"]) == (first["run_id"], first["dataset_sha256"])
    assert "as it was recorded" in said(tmp_path, "verify", "last")


def test_nothing_goes_unless_somebody_says_so(tmp_path):
    small_file(tmp_path, 60)
    said(tmp_path, "run", *ASKED)
    done = concord(tmp_path, "rm", "last")
    assert done.returncode == 2 and "--yes" in done.stderr
    assert len(said(tmp_path, "runs").splitlines()) == 1


def test_blobs_that_a_run_names_stay_and_so_do_young_ones(tmp_path):
    settings = settings_in(tmp_path)
    view = run_in(settings, truth, budget="10")
    blobs = open_blobs(settings)
    stray = blobs.put(b"named by nobody")
    found = garbage(settings)
    assert [blob.uri for blob in found.gone] == [stray] and found.kept > 10 and found.runs == 1
    assert not garbage(settings, grace_s=3_600).gone and garbage(settings, grace_s=3_600).young == 1
    assert isinstance(blobs, FileBlobs)
    removal.sweep(settings, blobs, found)
    with here(settings) as place:
        assert not verify.verified(place, view.run_id).flaws
    assert not garbage(settings).gone


def test_what_a_run_that_waits_has_paid_for_stays(tmp_path):
    settings = settings_in(tmp_path)
    run_in(settings, until=lambda view: view.stages and view.stages[0].closed)
    assert not garbage(settings).gone


def test_while_services_run_nothing_is_removed(tmp_path):
    settings = settings_in(tmp_path)
    with embedded(settings), pytest.raises(Refused, match="a process runs `runs`"), removal.alone(settings, SERVICES):
        pass


def test_a_run_that_another_one_goes_on_from_stays_until_that_one_is_gone():
    linked = RunView(run_id="b", config=RunConfig(parent=Parent(run_id="a")))
    views = [RunView(run_id="a"), linked, RunView(run_id="c", side_of="a")]
    with pytest.raises(Refused, match="run b goes on from it"):
        removal.family(views, "a")
    assert [view.run_id for view in removal.family(views, "b")] == ["b"]
    assert [view.run_id for view in removal.family([views[0], views[2]], "a")] == ["a", "c"]


def test_a_removed_runs_places_in_the_log_are_no_gap_and_a_fold_from_the_start_passes_them_over(tmp_path):
    settings = settings_in(tmp_path)
    gone = run_in(settings, truth, budget="10")
    kept = run_in(settings, truth, budget="10", seed=1)
    log = open_log(settings)
    end = log.end(FACTS, fact_partition(gone.run_id))
    assert removed(settings, gone.run_id).facts > 20
    assert log.end(FACTS, fact_partition(gone.run_id)) == end
    with here(settings) as place:
        assert not verify.verified(place, kept.run_id).flaws
    state = Path(settings.state_url.removeprefix("sqlite:///"))
    for path in state.parent.glob(f"{state.name}*"):
        path.unlink()
    with embedded(settings):
        assert open_store(settings).runs("runs") == [kept.run_id]


def test_on_kafka_and_in_a_bucket_it_says_what_it_cannot_do(tmp_path):
    settings = replace(settings_in(tmp_path), log_url="kafka://127.0.0.1:9")
    with pytest.raises(InvalidInput, match="a fact stands for ever"), removal.alone(settings, SERVICES):
        pass
