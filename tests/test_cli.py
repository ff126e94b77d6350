"""The commands as a user types them: a real process, an empty folder, an empty HOME."""

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from concord import home
from concord.client.intake import intake
from concord.client.run import options, progress, request
from concord.client.run.request import Request
from concord.kit.errors import InvalidInput
from concord.kit.settings import from_environment
from concord.preference.methods import COMPARED
from concord.v1.events_pb2 import PauseReason
from concord.v1.runs_service_pb2 import RUN_STATUS_PAUSED, RUN_STATUS_RUNNING, RunView
from tests import the_sample

ROOT = Path(__file__).parent.parent
CONCORD = [sys.executable, "-m", "concord.cli"]


def concord(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess:
    sources = os.pathsep.join((str(ROOT), str(ROOT / "src")))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": sources, **more}
    return subprocess.run([*CONCORD, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def small_file(folder: Path, rows: int = 150) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(the_sample.jsonl().splitlines()[:rows]) + "\n")
    return path


def finished_rows(folder: Path) -> list[dict]:
    """The folder gets a finished run of a small file; its dataset's rows."""
    small_file(folder)
    done = concord(folder, "run", "pairs.jsonl", "--judge", "sample", "--budget", "10%")
    assert done.returncode == 0, done.stderr
    (dataset,) = (folder / "concord-data" / "runs").glob("*/dataset.jsonl")
    return [json.loads(line) for line in dataset.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with one finished run, and what the run printed."""
    folder = tmp_path_factory.mktemp("finished")
    small_file(folder)
    return folder, concord(folder, "run", "pairs.jsonl", "--judge", "sample", "--budget", "10%", "--compare", "--json")


def test_a_run_ends_with_a_dataset_a_report_and_nothing_but_json_on_standard_output(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["pairs"], report["human_labels"]) == (150, 15)
    assert set(report["methods"]) == set(COMPARED) - {"better-judge"}
    assert report["methods"]["none"]["label_accuracy"] == report["label_accuracy"]["start"]
    out = next((folder / "concord-data" / "runs").iterdir())
    rows = [json.loads(line) for line in (out / "dataset.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(150))
    assert sum(row["source"] == "people" for row in rows) == 15
    assert json.loads((out / "report.json").read_text()) == report
    assert "<html" in (out / "report.html").read_text()


def test_the_same_command_again_does_nothing_twice(finished):
    folder, done = finished
    before = concord(folder, "replay", "last", "--events").stdout
    again = concord(folder, "run", "pairs.jsonl", "--judge", "sample", "--budget", "10%", "--compare", "--json")
    assert json.loads(again.stdout)["dataset_sha256"] == json.loads(done.stdout)["dataset_sha256"]
    assert concord(folder, "replay", "last", "--events").stdout == before


def test_replay_prints_the_state_then_and_now_and_finds_the_store_in_agreement(finished):
    folder, done = finished
    run_id = json.loads(done.stdout)["run_id"]
    now = json.loads(concord(folder, "replay", run_id[:8], "--json").stdout)
    assert now["state"]["view"]["status"] == "RUN_STATUS_FINISHED"
    then = json.loads(concord(folder, "replay", run_id[:8], "--json", "--until", str(now["offset"] // 2)).stdout)
    assert then["state"]["view"]["status"] == "RUN_STATUS_RUNNING"
    assert [stage["stage"] for stage in now["story"]["stages"]][-2:] == ["DATASET", ""]
    agreed = concord(folder, "replay", run_id[:8], "--diff")
    assert (agreed.returncode, agreed.stdout) == (0, "log and store agree\n")
    early = concord(folder, "replay", run_id[:8], "--diff", "--until", str(now["offset"] // 2))
    assert early.returncode == 3 and "state.view.status" in early.stdout


@pytest.mark.parametrize(
    "unit", ["LABEL/0", "FEATURES/0", "TRAIN.1/3", "SCORE.1/0", "TRIAGE.2/0", "FINAL/0", "DATASET/0"]
)
def test_any_unit_done_again_gives_the_same_fact(finished, unit):
    folder, done = finished
    again = concord(folder, "replay", json.loads(done.stdout)["run_id"], "--unit", unit)
    assert (again.returncode, again.stdout) == (0, f"unit {unit} done again gives the same fact\n"), again.stderr


def test_a_folder_without_runs_is_said_beside_the_empty_list(tmp_path):
    answer = concord(tmp_path, "runs")
    assert (answer.returncode, answer.stdout) == (0, "")
    assert "no runs in concord-data yet" in answer.stderr


def test_runs_and_report_know_the_run(finished):
    folder, done = finished
    run_id = json.loads(done.stdout)["run_id"]
    line = next(line for line in concord(folder, "runs").stdout.splitlines() if line.startswith(run_id))
    assert "judge sample" in line and "budget 15 votes" in line
    made = concord(folder, "report", run_id, "--out", "elsewhere")
    assert made.returncode == 0 and (folder / "elsewhere" / "report.html").exists(), made.stderr


def test_a_report_made_again_keeps_what_was_compared(finished):
    folder, done = finished
    before = json.loads(done.stdout)
    made = concord(folder, "report", before["run_id"])
    assert made.returncode == 0, made.stderr
    kept = json.loads((folder / made.stdout.strip()).with_name("report.json").read_text())
    assert kept["methods"] == before["methods"] and set(kept["methods"]) == set(COMPARED) - {"better-judge"}


def test_what_people_said_cannot_be_done_again(finished):
    folder, done = finished
    refused = concord(folder, "replay", json.loads(done.stdout)["run_id"], "--unit", "ANNOTATE.1/0")
    assert refused.returncode == 2 and "done by people" in refused.stderr, refused.stderr


def test_a_dry_run_says_what_it_costs_and_records_nothing(tmp_path):
    small_file(tmp_path)
    words = ("run", "pairs.jsonl", "--judge", "http://127.0.0.1:9/v1#m", "--prompt-price", "1", "--dry-run", "--json")
    expected = json.loads(concord(tmp_path, *words).stdout)
    assert (expected["calls"], expected["votes"]) == (300, 9)
    assert expected["dollars"] > 0
    assert expected["tokens_an_answer"] == 60 and "60 tokens an answer" in expected["basis"]
    assert expected["input"]["form"] and sum(expected["input"]["labels"].values()) > 0
    plain = concord(tmp_path, *words[:-1]).stdout
    assert (
        "people's labels: " in plain
        and "(" + expected["input"]["form"] in plain
        and "assumed: 4 bytes a token" in plain
    )
    assert concord(tmp_path, "runs").stdout == ""
    keyless = concord(tmp_path, *words[:-1], "--api-key-env", "NO_SUCH_KEY", "--budget", "1").stdout
    assert (
        "would stop at once: --api-key-env NO_SUCH_KEY" in keyless and "1 vote of people, about 1 minute at" in keyless
    )


MISTAKES = {
    "no such file": (("run", "nowhere.jsonl"), "nowhere.jsonl: there is no such file"),
    "a budget that is none": (("run", "sample", "--budget", "lots"), "budget 'lots'"),
    "a judge that is none": (("run", "pairs.jsonl", "--judge", "oracle"), "judge 'oracle'"),
    "a judge not in the file": (("run", "pairs.jsonl", "--judge", "recorded:GPT-9"), "GPT-9"),
    "a method that is none": (("run", "sample", "--method", "magic"), "method 'magic' is not one of posterior"),
    "an audience that is none": (("run", "sample", "--annotators", "crowd"), "--annotators crowd"),
    "a config that is missing": (("run", "sample", "--config", "no.yaml"), "no.yaml: cannot be read"),
    "no pairs": (("run",), "which pairs? Name a file or folder of them, `sample`, or with --from RUN"),
    "a run to go on from that is unknown": (("run", "pairs.jsonl", "--from", "abc"), "no runs in concord-data yet"),
    "a run that is unknown": (("replay", "abc"), "no runs in concord-data yet"),
    "a test file that is missing": (
        ("run", "pairs.jsonl", "--judge", "sample", "--test", "t.jsonl"),
        "t.jsonl: there is no such file",
    ),
    "a folder for results that is a file": (
        ("run", "pairs.jsonl", "--judge", "sample", "--out", "pairs.jsonl"),
        "pairs.jsonl: the results cannot be written there",
    ),
    "an address with a password": (("run", "sample", "--judge", "http://me:hunter2@h/v1#m"), "a password, which would"),
    "a key that is not there": (
        ("run", "sample", "--judge", "http://127.0.0.1:9/v1#m", "--api-key-env", "NO_KEY"),
        "--api-key-env NO_KEY",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_users_mistake_gives_one_clear_message_and_exit_code_2(tmp_path, mistake):
    small_file(tmp_path, 20)
    words, said = MISTAKES[mistake]
    answer = concord(tmp_path, *words)
    assert (answer.returncode, answer.stdout) == (2, ""), answer.stderr
    assert said in answer.stderr and "Traceback" not in answer.stderr and "hunter2" not in answer.stderr
    assert words[0] != "run" or not (tmp_path / "concord-data" / "log.sqlite").exists()


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    answer = concord(tmp_path, "runs", CONCORD_HOME="taken")
    assert answer.returncode == 2 and "CONCORD_HOME=taken" in answer.stderr and "Traceback" not in answer.stderr


def test_a_row_that_cannot_be_used_stops_everything_before_anything_is_recorded(tmp_path):
    path = small_file(tmp_path, 30)
    path.write_text(path.read_text() + '{"prompt": "half a')
    refused = concord(tmp_path, "run", "pairs.jsonl", "--judge", "sample")
    assert refused.returncode == 2 and "pairs.jsonl:31: broken JSON" in refused.stderr
    assert concord(tmp_path, "runs").stdout == ""
    done = concord(tmp_path, "run", "pairs.jsonl", "--judge", "sample", "--skip-bad", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["pairs"] == 30
    (aside,) = (tmp_path / "concord-data" / "set-aside.jsonl").read_text().splitlines()
    assert json.loads(aside)["line"] == 31


def test_a_judge_that_nobody_answers_is_said_at_once_and_nothing_is_recorded(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = concord(tmp_path, "run", "sample", "--judge", f"http://127.0.0.1:{port}/v1#m")
    assert answer.returncode == 4 and "does not answer" in answer.stderr, answer.stderr
    assert concord(tmp_path, "runs").stdout == ""


def test_an_unknown_setting_is_refused_with_the_known_ones(tmp_path):
    answer = concord(tmp_path, "runs", CONCORD_LOGURL="x")
    assert answer.returncode == 2 and "CONCORD_LOGURL is not a setting" in answer.stderr


def test_without_truth_nothing_pretends_to_know_accuracy(tmp_path):
    rows = [json.loads(line) for line in the_sample.jsonl().splitlines()[:60]]
    known = [{k: row[k] for k in ("id", "prompt", "responses", "reference")} for row in rows]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known))
    answers = "".join(json.dumps({"pair_id": row["id"], "choice": "first"}) + "\n" for row in rows[:20])
    (tmp_path / "answers.jsonl").write_text(answers)
    words = ("run", "pairs.jsonl", "--judge", "sample", "--annotators", "file:answers.jsonl", "--json")
    done = concord(tmp_path, *words, "--skip-unanswered")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["label_accuracy"] == {"start": None, "final": None, "rows": 0}
    assert "label accuracy" not in done.stderr
    out = next((tmp_path / "concord-data" / "runs").iterdir())
    questions = [json.loads(line) for line in (out / "questions.jsonl").read_text().splitlines()]
    assert len(questions) == report["unanswered"] > 0
    assert f"{len(questions)} questions were skipped: see {out.relative_to(tmp_path)}" in done.stderr
    assert not {row["id"] for row in rows[:20]} & {question["pair_id"] for question in questions}
    assert set(questions[0]) == {"pair_id", "prompt", "first", "second"}


def test_a_run_that_asks_nobody_needs_nobody(tmp_path):
    rows = [json.loads(line) for line in the_sample.jsonl().splitlines()[:60]]
    known = [{k: row[k] for k in ("id", "prompt", "responses", "reference")} for row in rows]
    (tmp_path / "[red]pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known))
    done = concord(tmp_path, "run", "[red]pairs.jsonl", "--method", "none", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["human_labels"] == 0 and "[red]pairs.jsonl: 60 pairs" in done.stderr


def test_a_run_that_waits_says_why_once_for_each_reason():
    said: list[str] = []
    seen = progress.plain(said.append)
    for detail in ("the judge is away", "the judge is away", "the judge is busy"):
        seen(RunView(status=RUN_STATUS_PAUSED, pause_reason=PauseReason.PAUSE_REASON_DEFERRED, detail=detail))
        seen(RunView(status=RUN_STATUS_RUNNING))
    seen(RunView(status=RUN_STATUS_PAUSED, pause_reason=PauseReason.PAUSE_REASON_BUDGET, detail="said at the end"))
    assert said == ["  taking the pairs in", "  waiting: the judge is away", "  waiting: the judge is busy"]


def test_a_run_by_another_method_is_told_with_its_name():
    said: list[str] = []
    seen = progress.plain(said.append, "posterior")
    for method in ("posterior", "random"):
        seen(RunView(config={"method": method}))
    assert said == ["  taking the pairs in", "  random: taking the pairs in"]


def test_a_strangers_text_cannot_steer_the_terminal():
    assert progress.clean("a\x1b[31mb\u202ec\n[red]é") == "a\ufffd[31mb\ufffdc\ufffd[red]é"


def test_test_pairs_are_looked_at_before_the_run(tmp_path):
    path = str(small_file(tmp_path, 40))

    def notes(test: str) -> tuple[str, ...]:
        asked = partial(options.resolve, {"judge": "sample"})
        with home.reading(from_environment(home=str(tmp_path / "home"))) as records:
            wanted = Request(path, asked, str(tmp_path / "home"), intake.read, test=tmp_path / test)
            return request.job_of(wanted, records).notes

    rows = [json.loads(line) for line in the_sample.jsonl().splitlines()[38:50]]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert any("2 test pairs are also in the run" in note for note in notes("test.jsonl"))
    blind = [{k: row[k] for k in ("id", "prompt", "responses")} for row in rows]
    (tmp_path / "blind.jsonl").write_text("".join(json.dumps(row) + "\n" for row in blind))
    with pytest.raises(InvalidInput, match="nothing can be measured"):
        notes("blind.jsonl")


def test_test_pairs_are_read_by_the_same_columns_as_the_pairs(tmp_path):
    rows = [{"q": f"What is {n} + 1?", "left": f"{n + 1}", "right": f"{n}", "better": "left"} for n in range(12)]
    for name, some in (("pairs.jsonl", rows[:10]), ("test.jsonl", rows[8:])):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in some))
    read = partial(intake.read, columns="prompt=q,first=left,second=right,winner=better")
    asked = partial(options.resolve, {"judge": "http://127.0.0.1:9/v1#m"})
    with home.reading(from_environment(home=str(tmp_path / "home"))) as records:
        wanted = Request(str(tmp_path / "pairs.jsonl"), asked, str(tmp_path), read, test=tmp_path / "test.jsonl")
        notes = request.job_of(wanted, records).notes
    assert any("2 test pairs are also in the run" in note for note in notes)


@pytest.mark.slow
def test_the_gap_is_measured_on_test_pairs_only(tmp_path):
    lines = the_sample.jsonl().splitlines()
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines[:900]) + "\n")
    (tmp_path / "test.jsonl").write_text("\n".join(lines[900:]) + "\n")
    done = concord(
        tmp_path, "run", "pairs.jsonl", "--judge", "sample", "--budget", "15%", "--test", "test.jsonl", "--json"
    )
    assert done.returncode == 0, done.stderr
    evaluation = json.loads(done.stdout)["evaluation"]
    assert evaluation["pairs"] > 500 and 0.5 < evaluation["ai_only"] < 1 and 0.5 < evaluation["full"] <= 1
