"""Who is asked what: a row says what its annotator must bring, a link what its holder brings."""

from collections import Counter

import grpc
import pytest

from concord.client.annotate.sitting import Sitting
from concord.client.elsewhere import held
from concord.client.elsewhere.exchange import exchange
from concord.client.elsewhere.label_studio_http import LabelStudio
from concord.client.intake.needs import needed
from concord.console import entrance
from concord.kit.errors import InvalidInput
from concord.preference.pairs import BadRecord
from concord.preference.skills import fits, skills_of
from concord.v1.runs_service_pb2 import GetRunRequest
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2 import GetQueueRequest, ListTasksRequest, NextTasksRequest, ReturnTasksRequest
from tests.console_world import world_in
from tests.label_studio import LEGACY, label_studio
from tests.waiting import until

KINDS = ([], ["de"], ["de", "code"])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Each third pair needs nothing, each third German, each third German and code."""
    asked = {"method": "all-human", "quorum": 4, "budget": "240", "batch": 1.0, "pilot": 0}
    with world_in(tmp_path_factory.mktemp("skills"), needs=lambda number: KINDS[number % 3], **asked) as made:
        until(lambda: made.tasks.ListTasks(ListTasksRequest(run_id=made.job.run_id)).tasks, "a question")
        yield made


def pair_of(world, task_id: str) -> int:
    listed = world.tasks.ListTasks(ListTasksRequest(run_id=world.job.run_id)).tasks
    return next(one.pair_index for one in listed if one.task_id == task_id)


def asked_to_the_end(world, who: str) -> set[int]:
    """The pairs that this person is asked about, until there is none; the person skips them all."""
    came = world.enter("annotator", who)
    found = set[int]()
    while tasks := came.tasks():
        found |= {pair_of(world, task["id"]) for task in tasks}
        for task in tasks:
            assert came.answer(task, "skip", why="unclear")["refused"] == ""
    assert came.get("/tasks").json()["left"] == 0
    return found


def open_pairs(world) -> set[int]:
    listed = world.tasks.ListTasks(ListTasksRequest(run_id=world.job.run_id)).tasks
    return {one.pair_index for one in listed}


def test_somebody_with_skills_is_asked_all_that_needs_nothing_else_and_nothing_more(world):
    open_now = open_pairs(world)
    assert asked_to_the_end(world, "ann = de") == {pair for pair in open_now if pair % 3 < 2}
    assert asked_to_the_end(world, "bob=Code,DE") == open_now
    assert asked_to_the_end(world, "cid=fr") == {pair for pair in open_now if pair % 3 == 0}


def test_the_terminal_and_files_ask_by_skills_too(world):
    open_now = open_pairs(world)
    runs = RunServiceStub(world.console.desk.channel)
    sitting = Sitting(runs, world.tasks, world.job.run_id, "dan", skills=["de"])
    first, following = (sitting.next() for _ in range(2))
    assert first.task.pair_index == following.task.pair_index == min(pair for pair in open_now if pair % 3 < 2)
    sitting.leave()
    for who, skills, wanted in (
        ("fay", ["code", "de"], open_now),
        ("gus", ["fr"], {pair for pair in open_now if pair % 3 == 0}),
    ):
        given = list(held.hold(world.tasks, world.job.run_id, who, 100, 3_600.0, skills))
        assert {task.pair_index for task in given} == wanted
        # For whoever comes next there is one vote on each.
        world.tasks.ReturnTasks(ReturnTasksRequest(annotator=who, task_ids=[task.task_id for task in given]))


def test_a_label_studio_gets_what_its_people_can_answer_and_says_what_each_task_needs(world):
    open_now = open_pairs(world)
    with label_studio() as stand:
        view = RunServiceStub(world.console.desk.channel).GetRun(GetRunRequest(run_id=world.job.run_id)).run
        place = LabelStudio(stand.url, LEGACY)

        def needs_there(most: int, skills: list[str]) -> Counter[str]:
            exchange(place, world.tasks, view, {}, str, most, 3_600.0, skills)
            return Counter(task["data"]["needs"] for task in stand.tasks.values())

        kinds = [", ".join(KINDS[pair % 3]) or "-" for pair in open_now]
        assert needs_there(500, ["de"]) == Counter(kind for kind in kinds if kind in ("-", "de"))
        assert needs_there(500, []) == Counter(kinds)
        assert not needs_there(0, []), "what is open returns to the pool"
    assert open_pairs(world) == open_now


def test_somebody_without_skills_may_be_asked_anything_and_what_is_left_says_so(world):
    def left(skills: list[str]) -> int:
        return world.tasks.GetQueue(GetQueueRequest(run_id=world.job.run_id, annotator="eve", skills=skills)).left

    open_now = open_pairs(world)
    assert left([]) == len(open_now)
    assert left(["de"]) == sum(pair % 3 < 2 for pair in open_now)
    wanted = NextTasksRequest(annotator="eve", run_id=world.job.run_id, most=64)
    assert len(world.tasks.NextTasks(wanted).tasks) == len(open_now)


def test_skills_are_of_one_run_and_are_words(world):
    for skills, run_id in ((["de"], ""), (["x" * 41], world.job.run_id), (["a,b"], world.job.run_id)):
        with pytest.raises(grpc.RpcError) as refused:
            world.tasks.NextTasks(NextTasksRequest(annotator="eve", run_id=run_id, most=1, skills=skills))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_link_says_who_somebody_is_and_what_that_one_brings():
    assert entrance.person("ann=de, Code,de") == ("ann", ("de", "code"))
    assert entrance.person(" ann ") == ("ann", ())
    with pytest.raises(InvalidInput, match="skills of ann"):
        entrance.person("ann=" + "x" * 41)


def test_a_row_says_what_it_needs_as_a_list_or_a_text():
    assert needed([{"needs": ["De", " code "]}]) == needed([{"needs": "de,code"}]) == ["de", "code"]
    assert needed([{}]) == needed([{"needs": None}]) == []
    for broken in (7, [7], ["a,b"], "x" * 41, [str(number) for number in range(17)]):
        with pytest.raises(BadRecord, match="needs"):
            needed([{"needs": broken}])


def test_what_fits_whom():
    assert fits([], ["de"]) and fits(["de"], []) and fits(["de"], ["de", "code"]) and not fits(["de", "code"], ["de"])
    assert skills_of([" De ", "de", ""], "x") == ["de"]
