"""Questions that are answered elsewhere: `concord tasks export` and `import`, on a real run behind its front door."""

import json
from pathlib import Path

import pytest

from concord.client.elsewhere import held, tasks_file
from concord.client.elsewhere.held import ANSWERED, KNOWN, LEFT, REFUSED
from concord.kit.errors import InvalidInput
from concord.v1 import pairs_pb2 as pairs
from concord.v1.tasks_service_pb2 import ListTasksRequest
from tests.test_annotate import Place, place_in
from tests.test_asking import facts_of
from tests.test_cli import concord, small_file
from tests.waiting import until

HOUR_S = 3_600.0


def open_tasks(place: Place) -> list:
    return list(place.tasks.ListTasks(ListTasksRequest(run_id=place.job.run_id)).tasks)


def held_for(place: Place, who: str, most: int = 500) -> list:
    until(lambda: open_tasks(place), "a question")
    return list(held.hold(place.tasks, place.job.run_id, who, most, HOUR_S))


def file_of(folder: Path, tasks: list, who: str, choices: list) -> Path:
    """The file as somebody gives it back who filled in these choices."""
    path = folder / f"{who}.jsonl"
    lines = [json.loads(tasks_file.line_of(task, who)) for task in tasks]
    path.write_text("".join(json.dumps(line | {"choice": c}) + "\n" for line, c in zip(lines, choices, strict=True)))
    return path


def brought(place: Place, path: Path, who: str = "ann") -> list[str]:
    """What became of each line of a file that is imported."""
    known = held.recorded(place.job.run_id, facts_of(place.home, place.job.run_id))
    said, new = held.compared(tasks_file.read(path, who), known)
    return [one.what for one in (*said, *held.hand_in(place.tasks, place.job.run_id, new))]


def test_what_is_exported_says_nothing_of_any_verdict_and_all_that_is_needed_to_answer(tmp_path):
    with place_in(tmp_path) as place:
        task = held_for(place, "ann", 1)[0]
        line = json.loads(tasks_file.line_of(task, "ann"))
    assert set(line) == {"task_id", "annotator", "revision", "prompt", "first", "second", "criteria", "choice"}
    assert (line["revision"], line["choice"], line["first"]) == (1, None, task.pair.first.text)


def test_answers_come_back_by_their_ids_once_however_often_the_file_is_imported(tmp_path):
    with place_in(tmp_path, quorum=2, budget="24") as place:
        tasks = held_for(place, "ann")
        choices = ["first", "tie", "skip", *[None] * (len(tasks) - 3)]
        path = file_of(tmp_path, tasks, "ann", choices)
        assert brought(place, path) == [ANSWERED] * 3 + [LEFT] * (len(tasks) - 3)
        assert sorted(brought(place, path)) == sorted([KNOWN] * 3 + [LEFT] * (len(tasks) - 3))
        said = place.said()
    assert [(one.annotator, one.choice) for one in said] == [
        ("ann", pairs.CHOICE_FIRST),
        ("ann", pairs.CHOICE_TIE),
    ]


def test_what_is_exported_is_nobody_elses_until_it_comes_back_unanswered(tmp_path):
    with place_in(tmp_path) as place:
        tasks = held_for(place, "ann")
        assert held_for(place, "bob") == [] and place.sitting("bob").next() is None
        assert {one.lease_until > 0 for one in tasks} == {True}
        again = held_for(place, "ann")
        assert [one.task_id for one in again] == [one.task_id for one in tasks], "the same tasks, held on"
        assert brought(place, file_of(tmp_path, tasks, "ann", [None] * len(tasks))) == [LEFT] * len(tasks)
        assert [one.task_id for one in held_for(place, "bob")] == [one.task_id for one in tasks]


def test_a_hold_lasts_as_long_as_it_says(tmp_path):
    with place_in(tmp_path) as place:
        (task,) = held_for(place, "ann", 1)
        asked = held.ExtendLeasesRequest(annotator="ann", task_ids=[task.task_id], hold_s=40 * HOUR_S)
        until_ = place.tasks.ExtendLeases(asked).lease_until
        usual = place.tasks.ExtendLeases(held.ExtendLeasesRequest(annotator="ann", task_ids=[task.task_id])).lease_until
    assert 39 * HOUR_S < until_ - usual + HOUR_S < 41 * HOUR_S


def test_an_answer_that_cannot_be_taken_is_named_with_its_place_and_the_reason(tmp_path):
    with place_in(tmp_path) as place:
        tasks = held_for(place, "ann")[:3]
        path = file_of(tmp_path, tasks, "ann", ["first", "second", "tie"])
        brought(place, path)
        changed = file_of(tmp_path, tasks, "ann", ["first", "first", "tie"])
        with changed.open("a") as file:
            file.write(json.dumps({"task_id": "of-no-run", "choice": "first"}) + "\n")
            file.write(json.dumps({"task_id": tasks[0].task_id, "choice": "first", "annotator": "bob"}) + "\n")
        known = held.recorded(place.job.run_id, facts_of(place.home, place.job.run_id))
        said, new = held.compared(tasks_file.read(changed, "ann"), known)
        outcomes = [*said, *held.hand_in(place.tasks, place.job.run_id, new)]
        refused = {Path(one.answer.place).name: one.why for one in outcomes if one.what == REFUSED}
        assert not any(one.leased_by for one in open_tasks(place) if "bob" in one.leased_by)
    assert set(refused) == {"ann.jsonl:2", "ann.jsonl:4", "ann.jsonl:5"}
    assert "second is recorded, first is said now" in refused["ann.jsonl:2"]
    assert "none of this run" in refused["ann.jsonl:4"] and "others have" in refused["ann.jsonl:5"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "broken JSON"),
        ("[1]", "must be an object"),
        ('{"choice": "first"}', "no `task_id`"),
        ('{"task_id": "t", "choice": "best"}', "`choice` must be"),
        ('{"task_id": "t", "choice": "first", "annotator": 7}', "`annotator`"),
        ('{"task_id": "t", "choice": "first", "revision": -1}', "`revision`"),
        ('{"task_id": "t", "choice": "first", "seconds": NaN}', "`seconds`"),
        ('{"task_id": "t", "choice": "first", "comment": []}', "`comment`"),
        ('{"task_id": "a", "choice": "tie"}', "leave one out"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, line, says):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"task_id": "a", "choice": "tie"}\n' + line + "\n")
    with pytest.raises(InvalidInput, match=says) as caught:
        tasks_file.read(path, "ann")
    assert f"{path}:2" in str(caught.value)


@pytest.mark.slow
def test_a_run_is_answered_from_files_as_typed(tmp_path):
    small_file(tmp_path, 60)
    words = ("run", "pairs.jsonl", "--judge", "sample", "--budget", "20%", "--annotators", "people")
    while (done := concord(tmp_path, *words)).returncode == 3:
        out = concord(tmp_path, "tasks", "export", "last", "--annotator", "ann", "--out", "q.jsonl")
        assert out.returncode == 0, out.stderr
        lines = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
        (tmp_path / "q.jsonl").write_text("".join(json.dumps(one | {"choice": "tie"}) + "\n" for one in lines))
        came = concord(tmp_path, "tasks", "import", "last", "q.jsonl")
        assert came.returncode == 0 and f"{len(lines)} answers taken" in came.stderr, came.stderr
    assert done.returncode == 0, done.stderr
    again = concord(tmp_path, "tasks", "import", "last", "q.jsonl")
    assert again.returncode == 0 and f"{len(lines)} known from before" in again.stderr
