"""`concord doctor`: what is wrong, in words, on real runs and broken settings."""

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from concord.client.run import drive, options
from concord.embedded import embedded
from concord.kit import ids, rpc
from concord.kit.errors import NotFound
from concord.kit.settings import Settings, from_environment, open_store
from concord.kit.store import migrations
from concord.kit.store.sql import open_engine
from concord.operate import doctor, inspect
from concord.operate.diagnose import Finding, Observed, run_findings
from concord.operate.doctor import Backend, Folder, Package
from concord.runs import state as run_state
from concord.tasks import queue
from concord.v1.events_pb2 import AnswerFault, PauseReason, ShardLabeled, Stage
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, GetRunRequest, RunView
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from concord.wiring import SERVICES
from tests import the_sample
from tests.run_world import FoldedRun, config
from tests.test_sigkill import endpoint

ROWS = the_sample.given().rows[:96]
PAIRS = [row.pair for row in ROWS]
OTHER = {Choice.CHOICE_FIRST: Choice.CHOICE_SECOND, Choice.CHOICE_SECOND: Choice.CHOICE_FIRST}


def settings_in(folder: Path) -> Settings:
    return from_environment({}, home=str(folder), listen="127.0.0.1:0", processes=0)


def run_in(settings: Settings, answer=None, until=lambda view: False, **flags) -> RunView:
    """A run on all services of this process: to its end, to a pause, or until `until` holds; then they stop."""
    given = options.run_config(options.resolve({"judge": "sample", "shard_pairs": 32, "budget": "20", **flags}), None)
    given.annotators = "console"
    run_id = ids.run_id("sample", given.SerializeToString(deterministic=True))
    with embedded(settings) as running, rpc.channel(running.address) as channel:
        runs = RunServiceStub(channel)
        drive.begin(runs, run_id, given, PAIRS, "sample", "sample.jsonl")
        people = None
        if answer is not None:
            people = drive.People(TaskServiceStub(channel), run_id, answer, "person")
        try:
            return followed(runs, run_id, until)
        finally:
            if people is not None:
                people.stop()


def followed(runs: RunServiceStub, run_id: str, until) -> RunView:
    for _ in range(6_000):
        view = runs.GetRun(GetRunRequest(run_id=run_id)).run
        if view.status in drive.ENDED or drive.needs_a_person(view) or until(view):
            return view
        threading.Event().wait(0.02)
    raise AssertionError(f"the run never came so far: {view}")


def truth(pair: int, vote: int):
    return ROWS[pair].truth


def found(settings: Settings, view: RunView, later_s: float = 0.0) -> tuple[Finding, ...]:
    return inspect.patient(settings, view.run_id[:8], time.time() + later_s, SERVICES, {}).findings


def test_a_finished_run_has_nothing_wrong(tmp_path):
    settings = settings_in(tmp_path)
    view = run_in(settings, truth)
    assert view.status == RUN_STATUS_FINISHED
    assert found(settings, view) == ()
    notes = inspect.patient(settings, "last", time.time(), SERVICES, {}).notes
    assert "is finished: 96 pairs, 20 of 20 votes" in notes[0]


def test_a_run_that_the_pilots_gate_stopped_says_so_and_what_to_do(tmp_path):
    settings = settings_in(tmp_path)
    contrary = lambda pair, vote: OTHER.get(ROWS[pair].truth, Choice.CHOICE_FIRST)  # noqa: E731
    view = run_in(settings, contrary, budget="60", pilot=14)
    assert view.pause_reason == PauseReason.PAUSE_REASON_MISALIGNED
    (first,) = found(settings, view)
    assert "pilot's gate stopped it" in first.says and "people agree with the judge" in first.says
    assert "criteria" in first.do and "--resume" in first.do


def test_a_run_that_waits_for_people_says_how_many_questions_and_votes(tmp_path):
    settings = settings_in(tmp_path)
    view = run_in(
        settings, until=lambda view: view.stages and view.stages[-1].units == 5 and asked(view), pilot=5, quorum=3
    )
    says = [finding.says for finding in found(settings, view)]
    assert any("5 of 5 questions of stage PILOT_ANNOTATE wait for people; 15 votes are missing" in one for one in says)
    # The services of this test have stopped.
    assert any("no process works on it" in one for one in says)


def asked(view: RunView) -> bool:
    return view.stages[-1].stage == Stage.STAGE_PILOT_ANNOTATE


def test_failed_units_are_named_with_their_reason_and_their_dead_letters(tmp_path):
    settings = settings_in(tmp_path)
    with endpoint(down=404, error="no such model") as judge:
        view = run_in(settings, truth, judge=f"{judge.url}#stub", pilot=0)
        assert view.pause_reason == PauseReason.PAUSE_REASON_FAILED_UNITS
        says = " ".join(finding.says for finding in found(settings, view))
    assert "units failed" in says and re.search(r"LABEL/\d", says) and "404" in says and "dead letters" in says


def test_a_judge_that_cannot_be_reached_any_more_is_said(tmp_path):
    settings = settings_in(tmp_path)
    with endpoint(down=404) as judge:
        view = run_in(settings, truth, judge=f"{judge.url}#stub", pilot=0)
    (away,) = [finding for finding in found(settings, view) if finding.about == "backends"]
    assert "does not answer" in away.says and judge.url in away.says


def test_a_run_without_its_pairs_says_which_files_are_lost(tmp_path):
    settings = settings_in(tmp_path)
    view = run_in(settings, truth, method="none", budget="0")
    for blob in (tmp_path / "blobs" / "blobs").rglob("*"):
        if blob.is_file() and blob.name == view.pairs_uri.removeprefix("sha256:"):
            blob.unlink()
    (lost,) = found(settings, view)
    assert view.pairs_uri in lost.says and "CONCORD_BLOB_URL" in lost.do


def test_a_name_that_means_no_run_is_refused(tmp_path):
    with pytest.raises(NotFound, match="no runs in"):
        inspect.patient(settings_in(tmp_path), "last", 0.0, SERVICES, {})


def seen(**more) -> Observed:
    return replace(
        Observed(now=10_000.0, last_fact_at=9_990.0, facts_behind=0, dead_letters=(), working=list(SERVICES)), **more
    )


def findings(world: FoldedRun, **more) -> tuple[Finding, ...]:
    return run_findings(world.state, queue.initial("run"), seen(**more))


def test_a_run_on_its_way_has_nothing_wrong():
    assert findings(FoldedRun(config())) == ()


def judged(*choices: int, flips: int = 0) -> ShardLabeled:
    flipped = [1] * flips + [0] * (len(choices) - flips)
    return ShardLabeled(choice=choices, order_flipped=flipped, for_shown_first=len(choices) + flips)


def test_pairs_without_a_verdict_are_a_finding_by_cause_with_what_was_answered_and_what_to_do():
    said = judged(*[Choice.CHOICE_UNSPECIFIED] * 3, *[Choice.CHOICE_FIRST] * 9)
    (plain,) = findings(FoldedRun(config()), judged=[said])
    assert "3 of 12 pairs have no usable verdict" in plain.says and "replay" in plain.do
    said.faults.add(judge="llm:m", fault=AnswerFault.ANSWER_FAULT_CUT, answers=6)
    said.kept_answers.add(judge="llm:m", fault=AnswerFault.ANSWER_FAULT_CUT, text="<think>\nFirst")
    (found,) = findings(FoldedRun(config()), judged=[said])
    assert "6 answers were cut by the limit on tokens before the verdict: “<think> First”" in found.says
    assert "max_tokens" in found.do
    assert findings(FoldedRun(config()), judged=[judged(*[Choice.CHOICE_FIRST] * 100, 0)]) == ()


def test_a_judge_that_follows_the_place_of_an_answer_is_a_finding():
    (found,) = findings(FoldedRun(config()), judged=[judged(*[Choice.CHOICE_FIRST] * 40, flips=38)])
    assert "says A in 78 of 80 answers" in found.says and "criteria" in found.do


def test_every_extra_is_known_to_doctor():
    assert set(inspect.package().extras) <= set(doctor.EXTRAS)


def test_a_silent_run_is_a_finding_only_after_a_while():
    world = FoldedRun(config())
    assert findings(world, last_fact_at=9_701.0) == ()
    (silent,) = findings(world, last_fact_at=9_000.0, facts_behind=3)
    assert "for 17 min; 3 facts are not taken in yet" in silent.says


def test_a_run_that_was_never_started_or_was_cancelled_says_so():
    (fresh,) = findings(FoldedRun(config(), start=False))
    assert "not started: 20 pairs have come in" in fresh.says
    world = FoldedRun(config())
    world.say("cancelled", run_cancelled={"reason": "changed my mind"})
    (cancelled,) = findings(world)
    assert "changed my mind" in cancelled.says and "--new" in cancelled.do


@pytest.mark.parametrize(
    ("reason", "do"),
    [
        ("BUDGET", "--dollars"),
        ("DEFERRED", "goes on by itself"),
        ("CALLER", "--resume"),
        ("FAILED_UNITS", "mend the cause"),
    ],
)
def test_each_reason_for_a_pause_comes_with_what_to_do(reason, do):
    world = FoldedRun(config())
    world.say("paused", run_paused={"reason": f"PAUSE_REASON_{reason}", "detail": "because of this"})
    (paused,) = findings(world)
    assert "because of this" in paused.says and do in paused.do


def test_a_corrupt_state_is_all_that_is_said():
    (corrupt,) = findings(FoldedRun(config()), corrupt="offset 7 does not decode", working=())
    assert "offset 7" in corrupt.says
    assert run_findings(run_state.initial("x"), queue.initial("x"), seen())[0].says.startswith("it was created")


def test_python_packages_and_extras_are_judged_by_what_settings_need():
    extras = {"kafka": ["kafka-python"], "postgres": ["psycopg"], "s3": ["s3fs"], "bench": []}
    package = Package((3, 10), (3, 11), ["numpy"], extras)
    urls = {"CONCORD_LOG_URL": "kafka://x:1", "CONCORD_STATE_URL": "postgresql://x/y", "CONCORD_BLOB_URL": "s3://x"}
    says = [finding.says for finding in doctor.package_health(package, urls).findings]
    wanted = ["Python 3.10", "numpy", "kafka-python", "psycopg", "s3fs"]
    assert [word in said for word, said in zip(wanted, says, strict=True)] == [True] * 5
    quiet = doctor.package_health(replace(package, python=(3, 12), missing=[]), {"CONCORD_LOG_URL": "sqlite:///x"})
    assert quiet.findings == () and any("absent; pip install" in note for note in quiet.notes)


def test_the_installed_package_is_looked_at():
    package = inspect.package()
    assert package.missing == [] and package.least_python <= package.python and "kafka" in package.extras


def test_folders_that_cannot_be_written_or_are_full_are_findings():
    folders = [
        Folder("CONCORD_HOME", "/a", "you may not write in /a", None),
        Folder("CONCORD_BLOB_URL", "/b", "", 10),
        Folder("CONCORD_LOG_URL", "/c", "", 2**40),
    ]
    health = doctor.folder_health(folders)
    assert ["/a cannot be written" in health.findings[0].says, "/b has 0.0 GiB" in health.findings[1].says] == [
        True,
        True,
    ]
    assert len(health.findings) == 2 and "/c can be written" in health.notes[0]


def test_a_file_in_the_place_of_a_folder_is_a_finding(tmp_path):
    (tmp_path / "home").write_text("")
    assert any(
        "is a file" in finding.says for finding in inspect.place(settings_in(tmp_path / "home"), SERVICES).findings
    )


def test_a_back_end_that_does_not_open_is_a_finding_and_an_empty_place_is_not(tmp_path):
    broken = Backend("CONCORD_LOG_URL", "the log", "not a database")
    assert "not a database" in doctor.backend_health([broken]).findings[0].says
    health = inspect.place(settings_in(tmp_path), SERVICES)
    assert health.findings == () and list(tmp_path.iterdir()) == []
    (tmp_path / "log.sqlite").write_text("this is no database, and it is long enough to be seen as none" * 20)
    assert any(finding.about == "backends" for finding in inspect.place(settings_in(tmp_path), SERVICES).findings)


def test_a_database_without_tables_is_not_begun_and_is_left_as_it_is(postgres_url, tmp_path):
    settings = from_environment({"CONCORD_STATE_URL": postgres_url, "CONCORD_HOME": str(tmp_path)})
    health = inspect.place(settings, SERVICES)
    assert health.findings == () and any(
        "the store (postgresql" in note and "is not there yet" in note for note in health.notes
    )
    assert migrations.standing(open_engine(postgres_url)) is None
    open_store(settings)
    assert any(
        "the store (postgresql" in note and note.endswith(" answers")
        for note in inspect.place(settings, SERVICES).notes
    )


def finding_of(tmp_path, **urls: str) -> Finding:
    (finding,) = inspect.place(from_environment({"CONCORD_HOME": str(tmp_path), **urls}), SERVICES).findings
    return finding


def test_a_store_that_cannot_be_used_says_what_to_do_and_never_the_password(postgres, postgres_url, tmp_path):
    database = postgres_url.rpartition("/")[2]
    wrong = finding_of(tmp_path, CONCORD_STATE_URL=postgres.guarded_url(database, "not-the-one"))
    assert "password authentication failed" in wrong.says and "PGPASSFILE" in wrong.do
    unsafe = finding_of(tmp_path, CONCORD_STATE_URL=f"{postgres_url}?sslmode=require")
    assert "does not support SSL" in unsafe.says and "switch TLS on" in unsafe.do
    away = finding_of(tmp_path, CONCORD_STATE_URL="postgresql://me:not-the-one@127.0.0.1:1/x")
    assert "Connection refused" in away.says and "start it" in away.do
    assert all("not-the-one" not in found.says + found.do for found in (wrong, unsafe, away))


def test_a_blob_store_that_cannot_be_used_says_what_to_do(some_s3, s3_keys, tmp_path, monkeypatch):
    missing = finding_of(tmp_path, CONCORD_BLOB_URL=some_s3.url("x", "another-bucket"))
    assert "no such bucket" in missing.says and "make the bucket" in missing.do
    away = finding_of(tmp_path, CONCORD_BLOB_URL="s3://bucket?endpoint_url=http://127.0.0.1:1")
    assert "does not answer" in away.says and "start it" in away.do
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    keyless = finding_of(tmp_path, CONCORD_BLOB_URL=some_s3.url("x"))
    assert "no credentials" in keyless.says and "AWS_SECRET_ACCESS_KEY" in keyless.do


def test_services_of_another_process_are_seen_and_a_part_of_them_is_a_finding(tmp_path):
    settings = settings_in(tmp_path)
    locks = []
    for name in ("runs", "tasks"):
        locks.append(os.open(tmp_path / f"log.sqlite.{name}.lock", os.O_CREAT | os.O_RDWR))
        fcntl.flock(locks[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    (part,) = inspect.place(settings, SERVICES).findings
    assert "but not labeling" in part.says and "concord serve labeling" in part.do
    for lock in locks:
        os.close(lock)
    assert inspect.place(settings, SERVICES).findings == ()
    whole = doctor.lock_health(list(SERVICES), list(SERVICES))
    assert whole.findings == () and "another process runs runs" in whole.notes[0]


def doctor_in(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **more}
    command = [sys.executable, "-m", "concord.cli", "doctor", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_command_ends_with_0_where_all_is_well_and_with_1_where_something_is_wrong(tmp_path):
    well = doctor_in(tmp_path)
    assert (well.returncode, well.stdout.splitlines()[-1]) == (0, "nothing wrong was found"), well.stdout + well.stderr
    wrong = doctor_in(tmp_path, "--json", CONCORD_LEASE="600")
    said = json.loads(wrong.stdout)
    assert (
        wrong.returncode == 3 and not said["well"] and "CONCORD_LEASE is not a setting" in said["findings"][0]["says"]
    )
