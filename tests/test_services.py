"""The front door and the task desk over real gRPC, all services in one process on the embedded log."""

import json
import math
import threading
from dataclasses import replace

import grpc
import pytest

from concord.client.run import drive, options
from concord.embedded import embedded
from concord.kit import ids, rpc
from concord.kit.errors import Corrupt, Fenced, Unavailable
from concord.kit.loop.commands import append_and_wait
from concord.kit.settings import from_environment, open_blobs, open_log, open_store
from concord.operate import run_log
from concord.operate.local_records import here
from concord.preference import run_settings
from concord.runs import limits
from concord.runs.service import MOST_WATCHERS
from concord.tasks import service as tasks_service
from concord.tasks.service import append_again
from concord.tasks.slots import SqlSlots
from concord.v1 import runs_service_pb2 as pb
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Event
from concord.v1.labeling_service_pb2 import LabelPairsRequest
from concord.v1.labeling_service_pb2_grpc import LabelingServiceStub
from concord.v1.pairs_pb2 import Choice
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.scoring_service_pb2 import ScorePairsRequest
from concord.v1.scoring_service_pb2_grpc import ScoringServiceStub
from concord.v1.tasks_service_pb2 import (
    ExtendLeasesRequest,
    GetQueueRequest,
    GivenAnswer,
    ListTasksRequest,
    NextTaskRequest,
    NextTasksRequest,
    NextTasksResponse,
    ReturnTasksRequest,
    SkipTaskRequest,
    SubmitAnnotationRequest,
    SubmitAnnotationsRequest,
    Task,
    WithdrawAnnotationRequest,
)
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from concord.v1.training_service_pb2 import GetJobRequest
from concord.v1.training_service_pb2_grpc import TrainingServiceStub
from concord.v1.triage_service_pb2 import PreviewTriageRequest
from concord.v1.triage_service_pb2_grpc import TriageServiceStub
from tests import the_sample
from tests.dataset_stream import read_dataset
from tests.small_pairs import pair
from tests.waiting import until

ROWS = the_sample.given().rows[:128]
PAIRS = [row.pair for row in ROWS]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with embedded(from_environment({}, home=str(home))) as running:
        yield running


@pytest.fixture(scope="module")
def channel(running):
    with rpc.channel(running.address) as channel:
        yield channel


@pytest.fixture
def runs(channel):
    return RunServiceStub(channel)


@pytest.fixture
def tasks(channel):
    return TaskServiceStub(channel)


def config(**flags):
    return options.run_config(options.resolve({"judge": "sample", "shard_pairs": 32, **flags}), None)


def new_run(name: str) -> str:
    return ids.run_id(name, b"")


def begun(runs, name: str, **flags) -> str:
    run_id = new_run(name)
    drive.begin(runs, run_id, config(**flags), PAIRS, "0" * 64, "made up")
    return run_id


def asked(tasks, run_id: str, annotator: str):
    """The next task, once there is one."""

    def given():
        answer = tasks.NextTask(NextTaskRequest(annotator=annotator, run_id=run_id))
        return answer.task if answer.HasField("task") else None

    return until(given, "a question")


def until_none(tasks, run_id: str, annotator: str) -> None:
    """Until the desk has heard from the log that this run asks nobody."""
    request = NextTaskRequest(annotator=annotator, run_id=run_id)
    until(lambda: not tasks.NextTask(request).HasField("task"), "silence")


def refused(call, request) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    assert caught.value.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT)
    return caught.value.details()


def test_a_run_goes_from_pairs_to_a_dataset(runs, tasks):
    run_id = begun(runs, "whole")
    people = drive.People(tasks, run_id, lambda pair, vote: ROWS[pair].truth, "somebody")
    view = drive.watch(runs, run_id, people, lambda view: None)
    people.stop()
    assert view.status == pb.RUN_STATUS_FINISHED and view.votes == view.human_budget == 8
    rows = [json.loads(line) for line in b"".join(read_dataset(runs, run_id)).splitlines()]
    assert [row["pair_id"] for row in rows] == [pair.pair_id for pair in PAIRS]


def test_three_votes_a_task_are_given_though_each_person_has_one_of_them(runs, tasks):
    """Who has voted on every open task must not keep the others from looking for theirs."""
    run_id = begun(runs, "three votes", quorum=3, budget="24", pilot=0, method="random", batch=1.0)
    people = drive.People(tasks, run_id, lambda pair, vote: ROWS[pair].truth, "somebody")
    views = drive.watch(runs, run_id, people, lambda view: None)
    people.stop()
    assert views.status == pb.RUN_STATUS_FINISHED and views.votes == 24


def test_the_finished_reward_model_scores_pairs_and_swapping_them_negates_it(runs, channel):
    view = runs.GetRun(pb.GetRunRequest(run_id=new_run("whole"))).run
    swapped = [
        type(pair)(first=pair.second, second=pair.first, prompt=pair.prompt, domain=pair.domain) for pair in PAIRS
    ]
    score = ScoringServiceStub(channel).ScorePairs
    asked = [ScorePairsRequest(model_uri=view.model_uri, basis_uri=view.basis_uri, pairs=p) for p in (PAIRS, swapped)]
    ahead, back = (list(score(one).margin) for one in asked)
    assert ahead == pytest.approx([-margin for margin in back], abs=1e-2) and any(abs(m) > 0.1 for m in ahead)


def test_a_job_can_be_asked_about(runs, channel):
    job = TrainingServiceStub(channel).GetJob
    unit = run_log.parse_unit("TRAIN.1/0")
    done = job(GetJobRequest(run_id=new_run("whole"), unit=unit))
    assert done.done and done.event.fold_trained.model_uri and done.attempts == 1
    assert not job(GetJobRequest(run_id=new_run("another"), unit=unit)).done


def test_another_budget_can_be_previewed_without_recording_anything(runs, channel, running):
    log, run_id = open_log(running.settings), new_run("whole")
    work, said = run_log.work_of(log, run_id, run_log.parse_unit("TRIAGE.2/0"))
    before = len(run_log.events(log, run_id))
    work.triage_round.ask = 20
    preview = TriageServiceStub(channel).PreviewTriage(PreviewTriageRequest(work=work)).round
    assert len(preview.asked) == 20 and len(said.round_triaged.asked) < 20
    assert len(run_log.events(log, run_id)) == before


def test_pairs_can_be_judged_without_a_run(channel):
    request = LabelPairsRequest(judge=config().judge, pairs=PAIRS[:5])
    labels = LabelingServiceStub(channel).LabelPairs(request).labels
    assert len(labels.choice) == 5 and set(labels.choice) <= {Choice.CHOICE_FIRST, Choice.CHOICE_SECOND}


def test_the_same_command_twice_is_one_command(runs, running):
    run_id = begun(runs, "twice", method="none")
    drive.begin(runs, run_id, config(method="none"), PAIRS, "0" * 64, "made up")
    drive.watch(runs, run_id, None, lambda view: None)
    said = [event.WhichOneof("kind") for event, _ in run_log.events(open_log(running.settings), run_id)]
    assert [said.count(kind) for kind in ("run_created", "pairs_added", "run_started", "run_finished")] == [1, 1, 1, 1]


def test_pairs_after_the_start_are_refused_in_words(runs):
    run_id = begun(runs, "late pairs", method="none")
    request = pb.SubmitPairsRequest(run_id=run_id, request_id="late", pairs=PAIRS[:32], first_index=128)
    assert "only before the start" in refused(runs.SubmitPairs, request)


def test_a_run_without_pairs_does_not_start(runs):
    run_id = new_run("empty")
    runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config()))
    assert "no pairs yet" in refused(runs.StartRun, pb.StartRunRequest(run_id=run_id, request_id="start"))


@pytest.mark.parametrize(
    "flaw, said",
    [
        ({"method": "magic"}, "method 'magic'"),
        ({"audit_share": 2.0}, "audit_share"),
        ({"folds": 0}, "folds"),
        ({"quorum": 0}, "quorum must lie between 1 and 99, not 0"),
        ({"dollar_budget": math.nan}, "dollar_budget"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_before_anything_is_recorded(runs, flaw, said):
    broken = config()
    for name, value in flaw.items():
        setattr(broken, name, value)
    run_id = new_run(f"broken {flaw}")
    assert said in refused(runs.CreateRun, pb.CreateRunRequest(run_id=run_id, config=broken))
    with pytest.raises(grpc.RpcError) as caught:
        runs.GetRun(pb.GetRunRequest(run_id=run_id))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_run_id_that_is_none_is_refused(runs):
    assert "run_id" in refused(runs.CreateRun, pb.CreateRunRequest(run_id="../../etc", config=config()))


COMMANDS = (
    ("SubmitPairs", pb.SubmitPairsRequest(pairs=PAIRS[:3])),
    ("StartRun", pb.StartRunRequest()),
    ("PauseRun", pb.PauseRunRequest()),
    ("ResumeRun", pb.ResumeRunRequest()),
    ("SetBudget", pb.SetBudgetRequest(human_budget=1)),
    ("RetryStage", pb.RetryStageRequest()),
    ("CancelRun", pb.CancelRunRequest()),
)


@pytest.mark.parametrize(("name", "request_"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_a_command_for_a_run_that_nobody_created_says_so_and_records_nothing(runs, running, name, request_):
    call, run_id = getattr(runs, name), new_run(f"nobody's, for {name}")

    def named(run_id, request_id="1"):
        asked = type(request_)(run_id=run_id, request_id=request_id)
        asked.MergeFrom(request_)
        return asked

    assert "request_id is empty" in refused(call, named(run_id, ""))
    for none in ("", "not-a-uuid", run_id.upper(), "{" + run_id + "}"):
        assert "is not a UUID" in refused(call, named(none))
    with pytest.raises(grpc.RpcError) as caught:
        call(named(run_id))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert not run_log.events(open_log(running.settings), run_id)


def test_a_run_of_which_only_stray_facts_are_known_does_not_exist_and_can_be_created(runs, running):
    run_id, log = new_run("stray"), open_log(running.settings)
    stray = Event(event_id=ids.event_id(run_id, "stray"), run_id=run_id, run_resumed={})
    append_and_wait(log, open_store(running.settings), "runs", [stray])
    with pytest.raises(grpc.RpcError) as caught:
        runs.GetRun(pb.GetRunRequest(run_id=run_id))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert run_id not in {run.run_id for run in runs.ListRuns(pb.ListRunsRequest(page_size=1_000)).runs}
    created = runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config())).run
    assert created.status == pb.RUN_STATUS_CREATED


@pytest.mark.parametrize("dollars", [-1.0, math.nan, math.inf])
def test_a_budget_that_is_no_sum_of_money_is_refused(runs, dollars):
    run_id = new_run("money")
    runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config()))
    asked = pb.SetBudgetRequest(run_id=run_id, request_id=f"{dollars}", human_budget=5, dollar_budget=dollars)
    assert "dollar_budget must lie between" in refused(runs.SetBudget, asked)


def test_no_more_watch_a_run_than_leave_threads_for_others(runs):
    run_id = new_run("watched")
    runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config()))
    watching = [runs.WatchRun(pb.WatchRunRequest(run_id=run_id)) for _ in range(MOST_WATCHERS)]
    for one in watching:
        assert next(one).run.run_id == run_id
    with pytest.raises(grpc.RpcError) as caught:
        next(runs.WatchRun(pb.WatchRunRequest(run_id=run_id)))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE and "too many watchers" in caught.value.details()
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))
    for one in watching:
        assert [said.run.status for said in one] == [pb.RUN_STATUS_CANCELLED]
    assert next(runs.WatchRun(pb.WatchRunRequest(run_id=run_id))).run.status == pb.RUN_STATUS_CANCELLED


def test_a_blob_that_is_no_model_is_refused_in_words(runs, channel):
    view = runs.GetRun(pb.GetRunRequest(run_id=new_run("whole"))).run
    score = ScoringServiceStub(channel).ScorePairs
    for model, basis, said in (
        (view.basis_uri, view.basis_uri, "model_uri"),
        (view.pairs_uri, view.basis_uri, "model_uri"),
        (view.model_uri, view.model_uri, "basis_uri"),
        (view.model_uri, view.dataset_uri, "basis_uri"),
    ):
        assert said in refused(score, ScorePairsRequest(model_uri=model, basis_uri=basis, pairs=PAIRS[:2]))


def test_a_job_of_what_is_no_run_or_no_stage_is_refused(channel):
    job = TrainingServiceStub(channel).GetJob
    assert "is not a UUID" in refused(job, GetJobRequest(run_id="../x", unit=run_log.parse_unit("TRAIN.1/0")))
    assert "unit.stage" in refused(job, GetJobRequest(run_id=new_run("whole"), unit={"stage": 99}))


def test_what_is_open_is_listed_without_a_lease_page_by_page_and_can_be_leased_by_name(runs, tasks):
    run_id = begun(runs, "listed", quorum=2, budget="16")
    held = asked(tasks, run_id, "ann")
    whole = tasks.ListTasks(ListTasksRequest(run_id=run_id))
    assert [list(task.leased_by) for task in whole.tasks][:2] == [["ann"], []] and not whole.next_page_token
    assert (whole.tasks[0].task_id, whole.tasks[0].quorum) == (held.task_id, 2)
    assert not whole.tasks[0].answered_by
    page = tasks.ListTasks(ListTasksRequest(run_id=run_id, page_size=2))
    rest = tasks.ListTasks(ListTasksRequest(run_id=run_id, page_size=200, page_token=page.next_page_token))
    assert [*page.tasks, *rest.tasks] == list(whole.tasks)
    wanted = whole.tasks[1].task_id
    given = tasks.NextTasks(NextTasksRequest(annotator="bob", run_id=run_id, most=5, task_ids=[wanted]))
    assert [task.task_id for task in given.tasks] == [wanted]
    tasks.ReturnTasks(ReturnTasksRequest(annotator="bob", task_ids=[wanted, held.task_id]))
    listed = tasks.ListTasks(ListTasksRequest(run_id=run_id)).tasks
    assert [list(task.leased_by) for task in listed[:2]] == [["ann"], []]


@pytest.mark.parametrize(
    ("name", "request_", "said"),
    [
        ("ListTasks", ListTasksRequest(page_size=201), "at most 200"),
        ("ListTasks", ListTasksRequest(page_token="²"), "page_token"),
        ("ListTasks", ListTasksRequest(page_token="9" * 30), "page_token"),
        ("ListTasks", ListTasksRequest(page_token="-1"), "page_token"),
        ("NextTasks", NextTasksRequest(annotator="a", most=1, task_ids=["x"] * 65), "at most 64"),
        ("NextTasks", NextTasksRequest(annotator="a", most=1, task_ids=["x" * 37]), "no task's id"),
        ("NextTasks", NextTasksRequest(annotator="a", most=1, task_ids=["x\0"]), "no task's id"),
        ("ReturnTasks", ReturnTasksRequest(annotator="a"), "between 1 and 64"),
        ("ReturnTasks", ReturnTasksRequest(task_ids=["x"]), "annotator is empty"),
    ],
)
def test_what_cannot_be_asked_of_the_desk_is_refused_in_words(tasks, name, request_, said):
    assert said in refused(getattr(tasks, name), request_)


def test_nobody_answers_more_than_the_run_leaves_one_person(runs, tasks):
    run_id = begun(runs, "limited", method="all-human", most_each=2, budget="100%")
    asked(tasks, run_id, "ann")
    wanted = NextTasksRequest(annotator="ann", run_id=run_id, most=64)
    given = tasks.NextTasks(wanted).tasks
    assert len(given) == 2
    for task in given:
        tasks.SubmitAnnotation(
            SubmitAnnotationRequest(task_id=task.task_id, annotator="ann", choice=Choice.CHOICE_FIRST)
        )
    assert not tasks.NextTasks(wanted).tasks
    assert not tasks.NextTasks(NextTasksRequest(annotator="ann", most=64, task_ids=[given[0].task_id])).tasks
    queue = tasks.GetQueue(GetQueueRequest(run_id=run_id, annotator="ann"))
    assert queue.answered == 2 and queue.left > 0
    assert len(tasks.NextTasks(NextTasksRequest(annotator="bob", run_id=run_id, most=64)).tasks) == 2
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_where_two_disagree_a_third_is_asked_and_decides(runs, tasks):
    run_id = begun(runs, "third", quorum=2, most_votes=3, budget="20%")
    task = asked(tasks, run_id, "ann")
    tasks.NextTasks(NextTasksRequest(annotator="bob", run_id=run_id, most=1, task_ids=[task.task_id]))
    only = {"run_id": run_id, "most": 1, "task_ids": [task.task_id]}
    assert not tasks.NextTasks(NextTasksRequest(annotator="cid", **only)).tasks
    for who, choice in (("ann", Choice.CHOICE_FIRST), ("bob", Choice.CHOICE_SECOND)):
        tasks.SubmitAnnotation(SubmitAnnotationRequest(task_id=task.task_id, annotator=who, choice=choice))
    (third,) = until(lambda: tasks.NextTasks(NextTasksRequest(annotator="cid", **only)).tasks, "a third opinion")
    assert (third.task_id, third.vote) == (task.task_id, 2)
    tasks.SubmitAnnotation(SubmitAnnotationRequest(task_id=task.task_id, annotator="cid", choice=Choice.CHOICE_SECOND))
    until(lambda: tasks.GetQueue(GetQueueRequest(run_id=run_id)).resolved, "its resolution")
    assert not tasks.NextTasks(NextTasksRequest(annotator="dan", **only)).tasks
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_settled_questions_are_asked_again_at_the_rate_that_is_set_and_count_nowhere(running, runs, tasks):
    run_id = begun(runs, "gold", method="all-human", quorum=2, gold=0.5, budget="100%", batch=1.0, pilot=0)
    asked(tasks, run_id, "ann")

    def answer(who: str, task, choice) -> None:
        said = GivenAnswer(task_id=task.task_id, choice=choice, revision=task.revision)
        (taken,) = tasks.SubmitAnnotations(
            SubmitAnnotationsRequest(annotator=who, answers=[said], run_id=run_id)
        ).answers
        assert not taken.refused

    settled = set()
    for _ in range(6):
        only = tasks.NextTasks(NextTasksRequest(annotator="ann", run_id=run_id, most=1, task_ids=())).tasks
        (task,) = only
        tasks.NextTasks(NextTasksRequest(annotator="bob", run_id=run_id, most=1, task_ids=[task.task_id]))
        for who in ("ann", "bob"):
            answer(who, task, Choice.CHOICE_FIRST)
        settled.add(task.task_id)
    until(lambda: tasks.GetQueue(GetQueueRequest(run_id=run_id)).resolved >= 6, "six resolutions")
    votes = until(lambda: (view := runs.GetRun(pb.GetRunRequest(run_id=run_id)).run).votes == 12 and view, "12 votes")
    again = []
    for _ in range(14):
        found = tasks.NextTasks(NextTasksRequest(annotator="cid", run_id=run_id, most=3)).tasks
        assert [one.task_id for one in found] == [
            one.task_id for one in tasks.NextTasks(NextTasksRequest(annotator="cid", run_id=run_id, most=3)).tasks
        ]
        gold = [one for one in found if one.task_id in settled]
        again += gold[:1]
        answer("cid", (gold or found)[0], Choice.CHOICE_SECOND)
    assert 2 <= len(again) == len({one.task_id for one in again}) <= 6
    with here(running.settings) as records:
        said = [
            event.annotation_submitted for event, _ in records.events(run_id) if event.HasField("annotation_submitted")
        ]
    assert len([one for one in said if one.gold]) == len(again) and all(
        one.annotator == "cid" for one in said if one.gold
    )
    assert runs.GetRun(pb.GetRunRequest(run_id=run_id)).run.votes == votes.votes
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_calls_for_one_run_touch_no_task_of_another(runs, tasks):
    run_id, other = begun(runs, "mine", quorum=2, budget="20%"), new_run("elsewhere")
    task = asked(tasks, run_id, "ann")
    answer = GivenAnswer(task_id=task.task_id, choice=Choice.CHOICE_FIRST, revision=task.revision)
    (taken,) = tasks.SubmitAnnotations(
        SubmitAnnotationsRequest(annotator="ann", answers=[answer], run_id=other)
    ).answers
    assert "holds no lease" in taken.refused
    extend = {"annotator": "ann", "task_ids": [task.task_id]}
    assert not tasks.ExtendLeases(ExtendLeasesRequest(**extend, run_id=other)).task_ids
    assert tasks.ExtendLeases(ExtendLeasesRequest(**extend, run_id=run_id)).lease_until > task.lease_until
    tasks.SubmitAnnotations(SubmitAnnotationsRequest(annotator="ann", answers=[answer], run_id=run_id))
    assert "holds no lease" in refused(
        tasks.WithdrawAnnotation, WithdrawAnnotationRequest(task_id=task.task_id, annotator="ann", run_id=other)
    )
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_the_queue_of_a_paused_run_is_as_long_as_before(runs, tasks):
    run_id = begun(runs, "paused queue")
    asked(tasks, run_id, "ann")
    before = tasks.GetQueue(GetQueueRequest(run_id=run_id))
    runs.PauseRun(pb.PauseRunRequest(run_id=run_id, request_id="1"))
    until_none(tasks, run_id, "bob")
    after = tasks.GetQueue(GetQueueRequest(run_id=run_id))
    assert (after.open, after.resolved) == (before.open, before.resolved) and after.open > 0
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_a_name_that_the_table_has_no_room_for_is_refused(tasks):
    assert "at most 200" in refused(tasks.NextTask, NextTaskRequest(annotator="x" * 201))
    assert "at most 200" in refused(tasks.SkipTask, SkipTaskRequest(task_id="t", annotator="x" * 201))


def test_a_paused_run_hands_out_nothing_until_it_is_resumed(runs, tasks):
    run_id = begun(runs, "paused")
    asked(tasks, run_id, "ann")
    assert (
        runs.PauseRun(pb.PauseRunRequest(run_id=run_id, request_id="1", detail="lunch")).run.status
        == pb.RUN_STATUS_PAUSED
    )
    until_none(tasks, run_id, "bob")
    runs.ResumeRun(pb.ResumeRunRequest(run_id=run_id, request_id="1"))
    assert asked(tasks, run_id, "bob")
    assert "not paused" in refused(runs.ResumeRun, pb.ResumeRunRequest(run_id=run_id, request_id="2"))
    cancelled = runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="1", reason="enough")).run
    assert (cancelled.status, cancelled.detail) == (pb.RUN_STATUS_CANCELLED, "enough")
    until_none(tasks, run_id, "bob")


def test_people_answer_blind_and_nobody_gets_a_task_twice(runs, tasks):
    run_id = begun(runs, "blind", quorum=2, budget="20%")
    first = asked(tasks, run_id, "ann")
    assert not first.pair.verdicts and not first.pair.reference and not first.pair.first.model
    assert tasks.NextTask(NextTaskRequest(annotator="ann", run_id=run_id)).task.task_id == first.task_id
    second = tasks.NextTask(NextTaskRequest(annotator="bob", run_id=run_id)).task
    assert (second.task_id, {first.vote, second.vote}) == (first.task_id, {0, 1})
    third = tasks.NextTask(NextTaskRequest(annotator="cleo", run_id=run_id)).task
    assert third.task_id != first.task_id
    tasks.SubmitAnnotation(SubmitAnnotationRequest(task_id=first.task_id, annotator="ann", choice=Choice.CHOICE_FIRST))
    assert tasks.NextTask(NextTaskRequest(annotator="ann", run_id=run_id)).task.task_id != first.task_id
    queue = tasks.GetQueue(GetQueueRequest(run_id=run_id))
    assert queue.open >= 1 and queue.leased >= 2
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_a_change_of_mind_is_a_new_revision_and_a_withdrawal_frees_the_slot(runs, tasks):
    run_id = begun(runs, "mind", quorum=2, budget="20%")
    task = asked(tasks, run_id, "ann")

    def submit(choice):
        return tasks.SubmitAnnotation(
            SubmitAnnotationRequest(task_id=task.task_id, annotator="ann", choice=choice)
        ).revision

    assert [submit(Choice.CHOICE_FIRST), submit(Choice.CHOICE_SECOND)] == [1, 2]
    tasks.WithdrawAnnotation(WithdrawAnnotationRequest(task_id=task.task_id, annotator="ann"))
    taken = [tasks.NextTask(NextTaskRequest(annotator=name, run_id=run_id)).task for name in ("bob", "cleo")]
    assert {one.task_id for one in taken} == {task.task_id} and {one.vote for one in taken} == {0, 1}
    tasks.SkipTask(SkipTaskRequest(task_id=task.task_id, annotator="bob", reason="both empty"))
    assert "choice must be" in refused(
        tasks.SubmitAnnotation,
        SubmitAnnotationRequest(task_id=task.task_id, annotator="cleo", choice=Choice.CHOICE_UNSPECIFIED),
    )
    assert "holds no lease" in refused(
        tasks.SubmitAnnotation,
        SubmitAnnotationRequest(task_id=task.task_id, annotator="dan", choice=Choice.CHOICE_FIRST),
    )
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_the_same_answer_again_is_that_answer_and_not_a_new_revision(runs, tasks):
    """A caller whose connection broke cannot know whether it was heard, and says it again."""
    run_id = begun(runs, "again", quorum=2, budget="20%")
    task = asked(tasks, run_id, "ann")
    one = SubmitAnnotationRequest(
        task_id=task.task_id, annotator="ann", choice=Choice.CHOICE_FIRST, seconds=3, comment="so"
    )
    assert [tasks.SubmitAnnotation(one).revision for _ in range(3)] == [1, 1, 1]
    one.comment = "on second thoughts"
    assert [tasks.SubmitAnnotation(one).revision for _ in range(2)] == [2, 2]
    tasks.WithdrawAnnotation(WithdrawAnnotationRequest(task_id=task.task_id, annotator="ann"))
    assert "holds no lease" in refused(
        tasks.WithdrawAnnotation, WithdrawAnnotationRequest(task_id=task.task_id, annotator="ann")
    )
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_what_comes_after_a_task_is_resolved_is_refused_and_the_same_answer_again_is_not(runs, tasks):
    """With a quorum of one the first answer settles the task; its round stays open while others wait for theirs."""
    run_id = begun(runs, "resolved")
    task = asked(tasks, run_id, "ann")
    answer = SubmitAnnotationRequest(task_id=task.task_id, annotator="ann", choice=Choice.CHOICE_FIRST)
    assert tasks.SubmitAnnotation(answer).revision == 1
    until(lambda: tasks.GetQueue(GetQueueRequest(run_id=run_id)).resolved, "its resolution")
    changed = SubmitAnnotationRequest(task_id=task.task_id, annotator="ann", choice=Choice.CHOICE_SECOND)
    for call, request in (
        (tasks.SubmitAnnotation, changed),
        (tasks.SkipTask, SkipTaskRequest(task_id=task.task_id, annotator="ann")),
        (tasks.WithdrawAnnotation, WithdrawAnnotationRequest(task_id=task.task_id, annotator="ann")),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request)
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert "the task is resolved" in caught.value.details()
    assert tasks.SubmitAnnotation(answer).revision == 1
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_a_withdrawal_is_not_refused_because_its_own_first_try_was_heard(running, runs, tasks):
    run_id = begun(runs, "lost answer", quorum=2, budget="20%")
    task = asked(tasks, run_id, "ann")
    tasks.SubmitAnnotation(SubmitAnnotationRequest(task_id=task.task_id, annotator="ann", choice=Choice.CHOICE_FIRST))
    log, store, blobs = open_log(running.settings), open_store(running.settings), open_blobs(running.settings)
    desk = tasks_service.servicer(log, store, blobs, SqlSlots(store), 600.0)
    withdraw, tries = desk.servicer.WithdrawAnnotation, []

    def lossy(request, context):
        answer = withdraw(request, context)
        tries.append(1)
        if len(tries) == 1:
            raise Unavailable("the answer is lost on its way")
        return answer

    desk.servicer.WithdrawAnnotation = lossy
    server, port, _ = rpc.serve([desk], "127.0.0.1:0")
    with rpc.channel(f"127.0.0.1:{port}") as channel:
        TaskServiceStub(channel).WithdrawAnnotation(WithdrawAnnotationRequest(task_id=task.task_id, annotator="ann"))
    server.stop(None)
    assert len(tries) == 2
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_a_pair_that_fits_in_no_task_is_refused_by_its_name(runs):
    run_id = new_run("large")
    runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config()))

    def sent(characters: int) -> pb.SubmitPairsRequest:
        large = pair("a", "b" * characters, pair_id="row-7")
        return pb.SubmitPairsRequest(run_id=run_id, request_id="0", pairs=[large])

    words = refused(runs.SubmitPairs, sent(limits.MOST_PAIR_BYTES + 1))
    assert "pair 'row-7' has 3.5 MB; a pair may have 3.5 MB at most: shorten its texts" in words
    assert runs.SubmitPairs(sent(limits.MOST_PAIR_BYTES - 100)).pairs == 1
    runs.CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="over"))


def test_the_largest_pair_with_the_longest_criteria_makes_a_task_that_fits_into_a_message():
    largest = pair("a", "b" * (limits.MOST_PAIR_BYTES - 100))
    shown = Task(
        task_id="t" * 36,
        run_id="r" * 36,
        pair=largest,
        criteria="\U0001f600" * run_settings.longest("judge")["criteria"],
    )
    assert NextTasksResponse(tasks=[shown]).ByteSize() < rpc.MOST_MESSAGE_BYTES


def test_a_list_of_runs_with_long_texts_comes_in_pages_that_fit_into_a_message(runs):
    helpers = [JudgeConfig(kind="sample", criteria="ü" * 20_000) for _ in range(10)]
    made = [new_run(f"long texts {n}") for n in range(12)]
    for run_id in made:
        long = config()
        long.helpers.extend(helpers)
        runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=long))
    found, token, pages = [], "", 0
    while True:
        page = runs.ListRuns(pb.ListRunsRequest(page_size=1_000, page_token=token))
        assert page.ByteSize() < 2_000_000
        found += [view.run_id for view in page.runs]
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
    assert pages > 1 and len(found) == len(set(found)) and set(made) <= set(found)
    longer = config()
    longer.helpers.extend(helpers * 2)
    request = pb.CreateRunRequest(run_id=new_run("longer"), config=longer)
    assert "the configuration has" in refused(runs.CreateRun, request)


def test_a_lease_that_runs_out_is_offered_to_the_next(tmp_path):
    settings = replace(from_environment({}, home=str(tmp_path)), lease_s=0.0)
    with embedded(settings) as running, rpc.channel(running.address) as channel:
        runs, tasks = RunServiceStub(channel), TaskServiceStub(channel)
        run_id = begun(runs, "leases")
        first = asked(tasks, run_id, "ann")
        second = tasks.NextTask(NextTaskRequest(annotator="bob", run_id=run_id)).task
        assert (second.task_id, second.vote) == (first.task_id, 0)
        late = SubmitAnnotationRequest(task_id=first.task_id, annotator="ann", choice=Choice.CHOICE_FIRST)
        assert "holds no lease" in refused(tasks.SubmitAnnotation, late)


def test_people_who_stay_silent_expire_and_the_run_still_ends(runs, tasks):
    run_id = begun(runs, "silence", deadline=0.2)
    view = drive.watch(runs, run_id, None, lambda view: None)
    assert view.status == pb.RUN_STATUS_FINISHED and view.votes == 0 and view.dataset.from_people == 0


def test_runs_are_listed_page_by_page(runs):
    first = runs.ListRuns(pb.ListRunsRequest(page_size=2))
    second = runs.ListRuns(pb.ListRunsRequest(page_size=2, page_token=first.next_page_token))
    assert len(first.runs) == 2 and not {r.run_id for r in first.runs} & {r.run_id for r in second.runs}
    assert not any(run.HasField("last_round") for run in runs.ListRuns(pb.ListRunsRequest(page_size=2**32 - 1)).runs)
    assert runs.GetRun(pb.GetRunRequest(run_id=new_run("whole"))).run.HasField("last_round")


def test_answers_that_cannot_be_said_again_now_are_said_later():
    stop, tries = threading.Event(), []

    class Away:
        def unsaid(self, now):
            tries.append(now)
            if len(tries) == 3:
                stop.set()
            raise (Unavailable, Corrupt, Fenced)[len(tries) - 1]("the disk is away")

    append_again(None, Away(), lambda: 0.0, stop, every_s=0.0)
    assert len(tries) == 3


def test_a_dataset_that_is_not_there_yet_is_said_so(runs):
    run_id = new_run("no dataset")
    runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config()))
    with pytest.raises(grpc.RpcError) as caught:
        list(read_dataset(runs, run_id))
    assert "no dataset yet" in caught.value.details()
