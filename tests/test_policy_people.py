"""People who are asked about a run's policy: by the same command as about its pairs, through every service."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from concord.client.run import answers, options, people
from concord.client.run.job import prepare
from concord.kit.errors import InvalidInput
from concord.one_run import Questions, driven
from concord.operate.local_records import here
from concord.process import Running
from concord.v1.events_pb2 import Stage
from concord.v1.pairs_pb2 import CHOICE_FIRST, CHOICE_SECOND, MARK_ACCEPTABLE
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED, RUN_STATUS_RUNNING
from concord.wiring import SERVICES
from tests import stand_in_models
from tests.test_asking import write_blind
from tests.test_tuned_run import known, settings_in

ROOT = str(Path(__file__).parent.parent)
ASKED = {
    **{"judge": "sample", "method": "none", "policy": "a-model", "policy_knobs": "steps=1,leaves=policy"},
    **{"evaluate": 12, "evaluate_votes": 6},
}


@contextmanager
def services(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ROOT)
    running = Running(list(SERVICES), settings_in(folder / "home"), known(stand_in_models.KINDS))
    try:
        yield running
    finally:
        running.stop()


def facts_of(folder, run_id, kind) -> list:
    with here(settings_in(folder / "home")) as records:
        return [getattr(event, kind) for event, _ in records.events(run_id) if event.HasField(kind)]


def test_the_run_waits_with_the_questions_in_a_file_and_the_same_command_goes_on(tmp_path, monkeypatch):
    path, file = str(write_blind(tmp_path, 40)), tmp_path / "answers.jsonl"
    asked, said = options.resolve({**ASKED, "annotators": f"file:{file}"}), list[str]()

    def given(running):
        job = prepare(path, asked, None, "")
        questions = Questions(job, tmp_path, False, said.append)
        return driven(job, running, lambda view: None, None, questions), questions

    with services(tmp_path, monkeypatch) as running:
        view, questions = given(running)
        assert view.status == RUN_STATUS_RUNNING and view.stages[-1].stage == Stage.STAGE_ANNOTATE_POLICY
        rows = [json.loads(line) for line in questions.path.read_text().splitlines()]
        assert len(rows) == 6 == questions.asked and all(row["pair_id"].startswith("policy/held-out-") for row in rows)
        assert all(set(row) <= {"pair_id", "prompt", "first", "second", "harmful"} for row in rows)
        lines = [
            {
                "pair_id": row["pair_id"],
                "choice": "first" if "It is" in row["first"] else "second",
                "first_acceptable": True,
            }
            for row in rows
        ]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        view, questions = given(running)
    assert view.status == RUN_STATUS_FINISHED and view.votes == 0, "the labels' budget is another"
    given_ = facts_of(tmp_path, view.run_id, "annotation_submitted")
    assert len(given_) == 6 and {one.choice for one in given_} <= {CHOICE_FIRST, CHOICE_SECOND}
    assert all(one.pair_index >= 40 and one.first_mark == MARK_ACCEPTABLE for one in given_), "also of who has no name"
    job = prepare(path, asked, None, "")
    assert not [note for note in job.notes if "not in the input" in note], "answers to later questions are no strangers"
    with here(settings_in(tmp_path / "home")) as records:
        events = [event for event, _ in records.events(view.run_id)]
        assert people.reused_answers(events, records.blob) == {}, "nothing of it is about a pair of the run"
    ids = [row.pair.pair_id for row in job.given.rows]
    assert answers.contradicted(job.voters.answers, ids, 1, events) == ""


def test_a_function_answers_for_the_policys_answers_too(tmp_path, monkeypatch):
    seen = list[tuple[str, str]]()

    def ask(prompt: str, first: str, second: str) -> str:
        seen.append((first, second))
        return "first" if first.startswith("It is") else "second"

    asked = options.resolve({**ASKED, "annotators": "function:me"})
    job = prepare(str(write_blind(tmp_path, 40)), asked, None, "", functions={"me": ask})
    with services(tmp_path, monkeypatch) as running:
        view = driven(job, running, lambda view: None, None, Questions(job, tmp_path, True, lambda line: None))
    assert view.status == RUN_STATUS_FINISHED and len(seen) == 6
    assert all({"It is", "I was"} == {first[:5], second[:5]} for first, second in seen)


@pytest.mark.parametrize("who", ["recorded", "simulated:0.1"])
def test_people_who_say_what_the_input_says_cannot_be_asked_about_what_is_new(tmp_path, who):
    with pytest.raises(InvalidInput, match=r"evaluate_votes: --annotators .* says what the input says"):
        prepare(str(write_blind(tmp_path, 40)), options.resolve({**ASKED, "annotators": who}), None, "")
