"""What a person sees of a training while nothing else is heard of it."""

import threading
from concurrent import futures

import grpc
import pytest

from concord.client.run import progress
from concord.client.run.trainings import TRAINS, is_tuned, progress_words, watched
from concord.kit.log import topics
from concord.preference.stages import STAGES
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Stage
from concord.v1.runs_service_pb2 import RUN_STATUS_RUNNING, RunView
from concord.v1.training_service_pb2 import GetJobResponse, TrainingProgress
from concord.v1.training_service_pb2_grpc import TrainingServiceServicer, add_TrainingServiceServicer_to_server

RUN = "00000000-0000-0000-0000-000000000001"


class Jobs(TrainingServiceServicer):
    """Unit 0 is through, the others are on their way."""

    def GetJob(self, request, context):
        said = TrainingProgress(step=10 * request.unit.number, of=40, loss=0.5, tokens_a_second=100, seconds_left=75)
        return GetJobResponse(done=request.unit.number == 0, progress=said)


def told(view: RunView, jobs: TrainingServiceServicer | None, is_tuned: bool = True) -> list[RunView]:
    """What is shown of a view until something was shown again, or nobody will."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    if jobs is not None:
        add_TrainingServiceServicer_to_server(jobs, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    shown, twice = list[RunView](), threading.Event()

    def seen(view: RunView) -> None:
        shown.append(view)
        if len(shown) > 1:
            twice.set()

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, watched(channel, is_tuned, seen, 0.02) as pass_on:
        pass_on(view)
        twice.wait(10 if jobs is not None and is_tuned else 0.2)
    server.stop(None)
    return shown


def view(stage: int, units: int = 3) -> RunView:
    return RunView(run_id=RUN, status=RUN_STATUS_RUNNING, stages=[{"stage": stage, "round": 1, "units": units}])


@pytest.mark.parametrize("stage", TRAINS)
def test_while_a_stage_trains_the_view_is_shown_again_with_how_far_it_is(stage):
    given = view(stage)
    first, second, *_ = told(given, Jobs())
    assert first == given and not first.detail
    assert second.detail == "step 30 of 80, loss 0.5, 200 tokens a second, 75 s left"
    assert progress.training(second) == f" ({second.detail})" and not progress.training(first)


def test_every_stage_whose_work_goes_to_training_is_one_of_these_and_a_policy_alone_is_watched_too():
    assert {stage for stage, kind in STAGES.items() if kind.topic is topics.TRAIN} == set(TRAINS)
    assert is_tuned(RunConfig(policy="m")) and is_tuned(RunConfig(reward_model="m")) and not is_tuned(RunConfig())


def test_nothing_is_said_where_nobody_knows_or_nothing_is_fine_tuned():
    assert len(told(view(Stage.STAGE_TRAIN), None)) == 1
    assert len(told(view(Stage.STAGE_TRAIN), Jobs(), is_tuned=False)) == 1


def test_what_is_not_known_is_left_out():
    assert progress_words([]) == ""
    assert progress_words([TrainingProgress(of=9)]) == "step 0 of 9"
    assert progress_words([TrainingProgress(step=1, of=9, mfu=0.414)]) == "step 1 of 9, MFU 41%"
    assert progress_words([TrainingProgress(step=1, of=9, seconds_left=4_000)]) == "step 1 of 9, 67 minutes left"
    assert progress_words([TrainingProgress(step=1, of=9, seconds_left=9_000)]) == "step 1 of 9, 2.5 h left"
