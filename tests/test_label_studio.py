"""`concord tasks label-studio`: a project is kept in step with a run, at our own stand-in and at a real one where it is."""

import os
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from concord.client.elsewhere import label_studio as mapping
from concord.client.elsewhere.exchange import Exchanged, exchange
from concord.client.elsewhere.held import ANSWERED, KNOWN, REFUSED, recorded
from concord.client.elsewhere.label_studio_http import LabelStudio
from concord.console.credentials import alias
from concord.kit.errors import InvalidInput, Refused, Unavailable
from concord.v1 import pairs_pb2 as pairs
from concord.v1.runs_service_pb2 import GetRunRequest
from tests.label_studio import LEGACY, PERSONAL, Stand, label_studio, side, tie
from tests.test_annotate import Place, place_in
from tests.test_asking import facts_of
from tests.test_cli import concord
from tests.test_elsewhere import open_tasks
from tests.waiting import until

HOUR_S = 3_600.0
START_S = 240
SECRET = b"a secret of enough bytes"
NAME = partial(alias, secret=SECRET)


def step(place: Place, studio: LabelStudio, most: int = 500) -> Exchanged:
    """One exchange, as the command makes it."""
    view = place.runs.GetRun(GetRunRequest(run_id=place.job.run_id)).run
    known = recorded(view.run_id, facts_of(place.home, view.run_id))
    return exchange(studio, place.tasks, view, known, NAME, most, HOUR_S)


@contextmanager
def both(folder: Path, **flags: object) -> Iterator[tuple[Place, Stand, LabelStudio]]:
    """A run with questions, and a Label Studio."""
    with label_studio() as stand, place_in(folder, **flags) as place:
        until(lambda: open_tasks(place), "a question")
        yield place, stand, LabelStudio(stand.url, LEGACY)


def counts(made: Exchanged) -> dict[str, int]:
    return {what: sum(one.what == what for one in made.outcomes) for what in (ANSWERED, KNOWN, REFUSED)}


def test_questions_go_there_and_answers_come_back_by_their_ids_once(tmp_path):
    with both(tmp_path) as (place, stand, studio):
        made = step(place, studio)
        assert made.pushed == made.open == len(stand.tasks) >= 3 and len(stand.projects) == 1
        first, second, third = list(stand.tasks)[:3]
        stand.annotate(first, 7, side("left"))
        stand.annotate(second, 7, tie())
        stand.annotate(third, 8, skipped=True)
        assert counts(step(place, studio)) == {ANSWERED: 3, KNOWN: 0, REFUSED: 0}
        again = step(place, studio)
        assert counts(again) == {ANSWERED: 0, KNOWN: 3, REFUSED: 0} and again.pushed == 0 and len(stand.projects) == 1
        said = {one.pair_index: one for one in place.said()}
        task = stand.tasks[first]["data"]
    assert len(said) == 2 and {one.annotator for one in said.values()} == {NAME("label-studio-7")}
    assert {one.seconds for one in said.values()} == {4.25}
    rows = [row.pair for row in place.job.given.rows]
    (chosen,) = (one for one in said.values() if one.choice != pairs.CHOICE_TIE)
    meant = rows[chosen.pair_index].first if chosen.choice == pairs.CHOICE_FIRST else rows[chosen.pair_index].second
    assert meant.text == task["left"] and chosen.swapped == mapping.is_swapped(task["concord_task_id"])


def test_what_is_put_there_says_nothing_of_any_verdict(tmp_path):
    with both(tmp_path) as (place, stand, studio):
        step(place, studio, 1)
        (task,) = stand.tasks.values()
    assert set(task["data"]) == {"concord_task_id", "prompt", "left", "right", "criteria", "needs"}


def test_a_question_that_is_there_is_nobody_elses_and_returns_to_the_pool_where_it_is_not_answered(tmp_path):
    with both(tmp_path) as (place, stand, studio):
        step(place, studio)
        assert place.sitting("bob").next() is None
        made = step(place, studio, 0)
        assert made.open == 0 and made.deleted > 0 and not stand.tasks
        assert place.sitting("bob").next() is not None


def test_what_is_annotated_while_the_tasks_are_taken_out_is_brought_back_too(tmp_path):
    with both(tmp_path) as (place, stand, studio):
        step(place, studio)
        first, second, third, *_ = stand.tasks
        stand.tasks[second]["drafts"] = [{"id": 1}]

        def meanwhile(request: str) -> None:
            if request == f"GET /api/tasks/{first}/":
                stand.annotate(first, 7, side("left"))
            elif request == f"GET /api/tasks/{third}/":
                stand.tasks.pop(third)

        stand.hears = meanwhile
        made = step(place, studio, 0)
        assert counts(made)[ANSWERED] == len(place.said()) == 1
        # What somebody has begun to say stays there.
        assert list(stand.tasks) == [first, second]


def test_an_answer_too_many_is_named_and_counts_nowhere(tmp_path):
    with both(tmp_path, quorum=2, budget="24") as (place, stand, studio):
        step(place, studio)
        task = next(iter(stand.tasks))
        for user in (1, 2, 3):
            stand.annotate(task, user, side("right"))
        stand.annotate(task, 1, side("left"))
        made = step(place, studio)
        assert counts(made) == {ANSWERED: 2, KNOWN: 0, REFUSED: 2}
        assert {one.annotator for one in place.said()} == {NAME("label-studio-1"), NAME("label-studio-2")}
        assert any("annotated it before" in one.why for one in made.outcomes)


def test_an_exchange_that_broke_off_anywhere_is_made_whole_by_the_next(tmp_path):
    """The server did its work, and its answer was lost: nothing is there twice."""
    with both(tmp_path) as (place, stand, studio):
        # Find the project, make it, export, import.
        for request in (2, 2, 3):
            stand.fails_at = len(stand.asked) + request
            with pytest.raises(Unavailable, match="500"):
                step(place, studio)
        assert stand.tasks, "the last one that failed put them there"
        made = step(place, studio)
        ids = [task["data"]["concord_task_id"] for task in stand.tasks.values()]
    assert len(ids) == len(set(ids)) == made.open and len(stand.projects) == 1


def test_an_annotation_that_chooses_nothing_is_named(tmp_path):
    with both(tmp_path) as (place, stand, studio):
        step(place, studio)
        stand.annotate(next(iter(stand.tasks)), 1)
        made = step(place, studio)
        assert counts(made)[REFUSED] == 1 and "neither a side nor a tie" in made.outcomes[0].why


def test_the_right_token_opens_and_a_wrong_one_is_told_so():
    with label_studio() as stand:
        assert LabelStudio(stand.url, PERSONAL).find_project("none") is None
        for token in ("wrong", "a.wrong.one"):
            with pytest.raises(Refused, match="does not take this token"):
                LabelStudio(stand.url, token).find_project("none")
    with pytest.raises(Unavailable, match="does not answer"):
        LabelStudio(stand.url, LEGACY).find_project("none")
    with pytest.raises(InvalidInput, match="such as http"):
        LabelStudio("label-studio", LEGACY)


def test_a_project_is_found_on_a_later_page():
    with label_studio() as stand:
        studio = LabelStudio(stand.url, LEGACY)
        first = studio.make_project({"title": "first", "label_config": "<View/>"})
        for number in range(150):
            studio.make_project({"title": f"other {number}", "label_config": "<View/>"})
        assert studio.find_project("first") == first and studio.find_project("none") is None


@pytest.mark.parametrize("swapped", [False, True])
def test_a_side_means_the_response_that_stood_there(swapped):
    left, right = (pairs.CHOICE_SECOND, pairs.CHOICE_FIRST) if swapped else (pairs.CHOICE_FIRST, pairs.CHOICE_SECOND)
    assert mapping.choice_of([side("left")], swapped) == left and mapping.choice_of([side("right")], swapped) == right
    assert mapping.choice_of([side("left"), tie()], swapped) == pairs.CHOICE_TIE
    assert mapping.choice_of([], swapped) is None


def test_without_a_token_the_variable_is_named(tmp_path):
    refused = concord(tmp_path, "tasks", "label-studio", "last", "--url", "http://127.0.0.1:9")
    assert refused.returncode == 2 and "LABEL_STUDIO_API_KEY" in refused.stderr


# ── a real one ─────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def real_one(folder: Path, port: int = 18_180) -> Iterator[str]:
    """A real Label Studio on SQLite, with an account whose legacy token is LEGACY, and no word to anybody outside."""
    program = os.environ.get("LABEL_STUDIO") or shutil.which("label-studio")
    if not program:
        pytest.skip("no Label Studio: `make test-label-studio`")
    quiet = {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "COLLECT_ANALYTICS": "False", "LATEST_VERSION_CHECK": "0"}
    words = [
        *(program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)),
        "--data-dir",
        str(folder),
    ]
    words += ["--username", "test@example.org", "--password", "a password of some length", "--user-token", LEGACY]
    environment = {**os.environ, **quiet, "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true", "HOME": str(folder)}
    with (folder / "server.log").open("w") as log:
        running = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        # It makes its tables first: minutes on a busy machine.
        for _ in range(START_S):
            if _is_up(url):
                break
            threading.Event().wait(1)
        assert _is_up(url), f"Label Studio did not start; see {folder / 'server.log'}"
        yield url
    finally:
        running.terminate()
        running.wait()


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.label_studio
def test_a_real_label_studio_takes_the_project_and_gives_the_answers_back(tmp_path):
    (tmp_path / "studio").mkdir()
    with real_one(tmp_path / "studio") as url, place_in(tmp_path) as place:
        until(lambda: open_tasks(place), "a question")
        studio = LabelStudio(url, LEGACY)
        made = step(place, studio)
        assert made.pushed == made.open >= 3
        first, second, third = [int(task["id"]) for task in studio.tasks(made.project)][:3]
        for task, said in (
            (first, {"result": [side("left")]}),
            (second, {"result": [tie()]}),
            (third, {"was_cancelled": True}),
        ):
            studio._ask("POST", f"/api/tasks/{task}/annotations/", {"result": [], "lead_time": 4.25, **said})
        assert counts(step(place, studio)) == {ANSWERED: 3, KNOWN: 0, REFUSED: 0}
        assert counts(step(place, studio)) == {ANSWERED: 0, KNOWN: 3, REFUSED: 0}
        assert step(place, studio, 0).open == 0
        assert len(place.said()) == 2 and all(re.fullmatch(r"p-[0-9a-f]{12}", one.annotator) for one in place.said())
