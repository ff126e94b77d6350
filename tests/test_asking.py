"""A run whose people's answers come while it goes on: it asks round by round, waits or ends, and goes on with what is there."""

import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from concord.client.results import outputs
from concord.client.run import continue_run, people, session, voters
from concord.client.run.job import Job, prepare
from concord.client.run.options import resolve, semantic
from concord.embedded import embedded
from concord.kit import ids
from concord.kit.errors import InvalidInput
from concord.kit.settings import from_environment
from concord.operate.local_records import here
from concord.v1.pairs_pb2 import CHOICE_FIRST, CHOICE_TIE
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RUN_STATUS_RUNNING, RunView
from tests import the_sample
from tests.test_cli import concord

WORDS = ("run", "blind.jsonl", "--judge", "sample", "--budget", "20%", "--annotators", "file:answers.jsonl")


def rows_of(count: int) -> list[dict]:
    return [json.loads(line) for line in the_sample.jsonl().splitlines()[:count]]


def write_blind(folder: Path, count: int = 60) -> Path:
    """Pairs of the sample without a word of what people say."""
    path = folder / "blind.jsonl"
    lines = [json.dumps({k: row[k] for k in ("id", "prompt", "responses", "reference")}) for row in rows_of(count)]
    path.write_text("\n".join(lines) + "\n")
    return path


def answer_line(pair_id: str, choice: object, **more: object) -> str:
    return json.dumps({"pair_id": pair_id, "choice": choice, **more}) + "\n"


def facts_of(home: Path, run_id: str) -> list:
    with here(from_environment({}, home=str(home))) as records:
        return [event for event, _ in records.events(run_id)]


# ── as a user types it ─────────────────────────────────────────────────────────────────────────────────────────────


def test_one_begins_without_any_answer_and_goes_on_with_the_same_command_until_all_is_asked(tmp_path):
    write_blind(tmp_path)
    # All that is asked behind the pilot is asked at once: each round is a command.
    (tmp_path / "run.yaml").write_text("batch: 1\n")
    words = (*WORDS, "--config", "run.yaml")
    truth = {row["id"]: row["human_majority"] for row in rows_of(60)}
    runs, rounds = set(), 0
    while (done := concord(tmp_path, *words)).returncode == 3:
        last = done.stderr.splitlines()[-1]
        said = re.fullmatch(
            r"concord: run (\S+) waits for people: (\d+) questions? stands? in (\S+); answer them in answers.jsonl, "
            r'\{"pair_id": …, "choice": "first"\} a line, and give the same command again, or `.*annotate \w{8}` .*',
            last,
        )
        assert said, done.stderr
        questions = [json.loads(line) for line in (tmp_path / said[3]).read_text().splitlines()]
        assert len(questions) == int(said[2]) and set(questions[0]) == {"pair_id", "prompt", "first", "second"}
        with (tmp_path / "answers.jsonl").open("a") as file:
            file.writelines(answer_line(one["pair_id"], truth[one["pair_id"]]) for one in questions)
        runs.add(said[1])
        rounds += 1
    assert done.returncode == 0, done.stderr
    assert len(runs) == 1 and rounds > 1 and not (tmp_path / said[3]).exists()
    report = json.loads((tmp_path / said[3]).with_name("report.json").read_text())
    assert report["run_id"] in runs and report["human_labels"] == 12 and report["unanswered"] == 0
    again = concord(tmp_path, *words, "--json")
    assert json.loads(again.stdout)["dataset_sha256"] == report["dataset_sha256"]


def test_what_is_not_answered_can_be_skipped_and_an_empty_file_is_no_mistake(tmp_path):
    write_blind(tmp_path, 30)
    (tmp_path / "answers.jsonl").write_text("")
    done = concord(tmp_path, *WORDS, "--skip-unanswered", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["unanswered"] > 0 and "answers.jsonl: no answers yet" in done.stderr


# ── the same with everything in this process ───────────────────────────────────────────────────────────────────────


def job_of(folder: Path, **flags: object) -> Job:
    asked = {"judge": "sample", "budget": "20%", "annotators": f"file:{folder / 'answers.jsonl'}", **flags}
    return prepare(str(write_blind(folder)), resolve(asked), None, "")


def carried_out(folder: Path, job: Job, missing=lambda pairs, flaw: False) -> RunView:
    with embedded(from_environment({}, home=str(folder / "home"))) as running:
        return session.run(job, running, lambda view: None, missing=missing)


def test_a_run_that_is_told_to_wait_goes_on_as_answers_come_into_the_file(tmp_path):
    job, asked = job_of(tmp_path), []

    def missing(pairs, flaw: str) -> bool:
        asked.append(pairs)
        with (tmp_path / "answers.jsonl").open("a") as file:
            file.writelines(answer_line(job.given.rows[pair].pair.pair_id, "tie") for pair in pairs)
        return True

    view = carried_out(tmp_path, job, missing)
    assert view.status == RUN_STATUS_FINISHED and sum(map(len, asked)) == view.votes == 12 and len(asked) > 1


def test_votes_of_several_annotators_are_waited_for_up_to_the_quorum_and_keep_their_names(tmp_path):
    names = ["ann", "bob", "cid"]

    def missing(pairs, flaw: str) -> bool:
        with (tmp_path / "answers.jsonl").open("a") as file:
            if names:
                who = names.pop(0)
                file.writelines(answer_line(row.pair.pair_id, "A", annotator=who) for row in job.given.rows)
        return True

    job = job_of(tmp_path, quorum=3, budget="36")
    view = carried_out(tmp_path, job, missing)
    assert view.status == RUN_STATUS_FINISHED
    said = [
        e.annotation_submitted for e in facts_of(tmp_path / "home", job.run_id) if e.HasField("annotation_submitted")
    ]
    assert {one.annotator for one in said} == {"ann", "bob", "cid"} and len(said) == view.votes


def test_a_file_that_is_half_written_is_told_and_waited_for(tmp_path):
    job, flaws, path = job_of(tmp_path), [], tmp_path / "answers.jsonl"

    def missing(pairs, flaw: str) -> bool:
        flaws.append(flaw)
        whole = "".join(answer_line(row.pair.pair_id, "A") for row in job.given.rows)
        path.write_text(whole if flaw else whole[:-20])
        return True

    assert carried_out(tmp_path, job, missing).status == RUN_STATUS_FINISHED
    assert flaws[0] == "" and "answers.jsonl:60: broken JSON" in flaws[1] and len(flaws) == 2


def test_a_task_may_need_more_votes_than_there_usually_are_programs_that_answer(tmp_path):
    asked = resolve({"judge": "sample", "budget": "18", "quorum": 9, "annotators": "simulated:0.1"})
    (tmp_path / "known.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(20)))
    view = carried_out(tmp_path, prepare(str(tmp_path / "known.jsonl"), asked, None, ""))
    assert (view.status, view.votes) == (RUN_STATUS_FINISHED, 18)


def test_answers_that_grow_do_not_change_the_runs_name_but_another_file_does(tmp_path):
    empty = job_of(tmp_path)
    (tmp_path / "answers.jsonl").write_text(answer_line("p0", "first"))
    assert job_of(tmp_path).run_id == empty.run_id
    assert job_of(tmp_path, annotators=f"file:{tmp_path / 'others.jsonl'}").run_id != empty.run_id


def test_a_run_of_a_release_that_named_it_after_the_files_content_is_gone_on_with(tmp_path):
    (tmp_path / "answers.jsonl").write_text("".join(answer_line(row["id"], "first") for row in rows_of(60)))
    job = job_of(tmp_path)
    config = type(job.config).FromString(job.config.SerializeToString())
    config.annotators = people.named_before(job.config.annotators)
    before = replace(job, config=config, run_id=ids.run_id(job.given.sha256, semantic(config)))
    with here(from_environment({}, home=str(tmp_path / "home"))) as records:
        assert continue_run.as_begun(records, job).run_id == job.run_id != before.run_id
    assert carried_out(tmp_path, before).status == RUN_STATUS_FINISHED
    with here(from_environment({}, home=str(tmp_path / "home"))) as records:
        assert continue_run.as_begun(records, job).run_id == before.run_id


def test_an_answer_that_is_recorded_stays_and_a_file_that_says_otherwise_is_told(tmp_path):
    job, first = job_of(tmp_path), []
    carried_out(tmp_path, job, lambda pairs, flaw: first.extend(pairs))
    name = job.given.rows[first[0]].pair.pair_id
    (tmp_path / "answers.jsonl").write_text(answer_line(name, "first"))
    assert carried_out(tmp_path, job_of(tmp_path)).status == RUN_STATUS_RUNNING
    (tmp_path / "answers.jsonl").write_text(answer_line(name, "second"))
    with here(from_environment({}, home=str(tmp_path / "home"))) as records:
        assert f"{name!r} (first is recorded, second is in the file)" in continue_run.told(records, job_of(tmp_path))


def test_functions_answer_one_pair_at_a_time_under_their_own_names(tmp_path):
    threads, said = set(), []

    def mine(prompt: str, first: str, second: str) -> str | None:
        threads.add(threading.current_thread())
        said.append(prompt)
        return None if len(said) == 1 else "first"

    asked = resolve({"judge": "sample", "budget": "20%", "annotators": "function:me"})
    job = prepare(str(write_blind(tmp_path)), asked, None, "", functions={"me": mine})
    view = carried_out(tmp_path, job)
    facts = facts_of(tmp_path / "home", job.run_id)
    given = [e.annotation_submitted for e in facts if e.HasField("annotation_submitted")]
    assert view.status == RUN_STATUS_FINISHED and threads == {threading.current_thread()}
    assert len(given) == 12 == view.votes and len(said) == 13 == len(set(said)), "a skip costs no vote"
    assert {(one.annotator, one.choice) for one in given} == {("me", CHOICE_FIRST)}


def test_what_a_function_raises_ends_the_call_and_the_run_goes_on_later(tmp_path):
    def broken(prompt: str, first: str, second: str) -> str:
        raise ZeroDivisionError

    asked = resolve({"judge": "sample", "budget": "20%", "annotators": "function:me"})
    with pytest.raises(ZeroDivisionError):
        carried_out(tmp_path, prepare(str(write_blind(tmp_path)), asked, None, "", functions={"me": broken}))
    with pytest.raises(InvalidInput, match="the function answered 'left' on pair"):
        left = prepare(str(write_blind(tmp_path)), asked, None, "", functions={"me": lambda *said: "left"})
        carried_out(tmp_path, left)
    tie = prepare(str(write_blind(tmp_path)), asked, None, "", functions={"me": lambda *said: "tie"})
    assert carried_out(tmp_path, tie).status == RUN_STATUS_FINISHED
    given = [e for e in facts_of(tmp_path / "home", tie.run_id) if e.HasField("annotation_submitted")]
    assert {e.annotation_submitted.choice for e in given} == {CHOICE_TIE}


def test_fewer_functions_than_votes_are_refused(tmp_path):
    asked = resolve({"judge": "sample", "quorum": 2, "annotators": "function:me"})
    with pytest.raises(InvalidInput, match="quorum 2: 1 functions answer"):
        prepare(str(write_blind(tmp_path)), asked, None, "", functions={"me": lambda *said: "tie"})


def test_questions_that_somebody_filled_in_are_not_written_over(tmp_path):
    job = job_of(tmp_path)
    path = outputs.write_asked(tmp_path, job, [0, 1])
    assert path.name == "questions.jsonl" and len(path.read_text().splitlines()) == 2
    assert outputs.write_asked(tmp_path, job, [2]) == path
    filled = answer_line("p0", "A")
    path.write_text(filled)
    assert outputs.write_asked(tmp_path, job, [3]).name == f"questions-{job.run_id[:8]}.jsonl"
    assert path.read_text() == filled
    mine = replace(job, options=replace(job.options, annotators=f"file:{tmp_path / 'new' / 'questions.jsonl'}"))
    assert outputs.write_asked(tmp_path / "new", mine, [0]).name.startswith("questions-")


def test_people_who_answer_elsewhere_are_waited_for(tmp_path):
    job, asked = job_of(tmp_path, annotators="people"), []
    view = carried_out(tmp_path, job, lambda pairs, flaw: asked.extend(pairs))
    assert view.status == RUN_STATUS_RUNNING and len(asked) > 0 and isinstance(job.voters, voters.Written)
