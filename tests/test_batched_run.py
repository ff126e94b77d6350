"""A whole run whose judge works through batches, all services in this process."""

from dataclasses import replace

from concord.client.run import drive, options
from concord.embedded import embedded
from concord.kit import rpc
from concord.kit.settings import from_environment
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from tests.batch_endpoint import BatchEndpoint
from tests.judged_run import ANSWER, PAIRS, RUN, endpoint

COUNT = 96


def configuration(url: str, **more: object):
    asked = {"judge": f"{url}#stub", "budget": "15%", "batch": 0.05, "shard_pairs": 32, "seed": 7, "window": 1}
    return options.run_config(options.resolve({**asked, **more}), None)


def dataset(home, config, at: dict[str, float]) -> pb.RunView:
    """The finished run."""
    settings = replace(from_environment({}, home=str(home)), **at)
    with embedded(settings) as running, rpc.channel(running.address) as channel:
        runs, tasks = RunServiceStub(channel), TaskServiceStub(channel)
        drive.begin(runs, RUN, config, PAIRS[:COUNT], "0" * 64, "the sample's first pairs")
        annotators = drive.People(tasks, RUN, ANSWER, "people")
        try:
            view = drive.watch(runs, RUN, annotators, lambda view: None)
        finally:
            annotators.stop()
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    return view


def test_a_run_through_batches_gives_the_dataset_of_a_live_one_and_all_units_are_handed_in_at_once(tmp_path):
    with endpoint(BatchEndpoint) as judge:
        live = dataset(tmp_path / "live", configuration(judge.url), {})
        assert not judge.batches
        judge.at_once = True
        batched = dataset(tmp_path / "batched", configuration(judge.url, judge_batch=True), {"batch_look_s": 0.1})
        assert batched.dataset_sha256 == live.dataset_sha256
        assert len(judge.batches) == COUNT // 32
        # The window is 1, and yet no unit waited for another one's batch.
        assert judge.most_waiting == COUNT // 32
        assert batched.usage.calls == live.usage.calls
        assert abs(batched.usage.prompt_tokens - live.usage.prompt_tokens) < 0.01 * live.usage.prompt_tokens


def test_answers_that_come_in_batches_give_the_dataset_of_answers_that_were_asked_for_live(tmp_path):
    with endpoint(BatchEndpoint) as judge:
        asked = {"generate": f"{judge.url}#policy", "samples": 2, "method": "none"}
        live = dataset(tmp_path / "live", configuration(judge.url, **asked), {})
        judge.at_once = True
        batched = dataset(
            tmp_path / "batched", configuration(judge.url, judge_batch=True, **asked), {"batch_look_s": 0.1}
        )
        assert batched.dataset_sha256 == live.dataset_sha256 and batched.pairs == live.pairs > COUNT / 2
        assert batched.usage.calls == live.usage.calls and batched.generated.calls == live.generated.calls == 2 * COUNT
        # A batch for each shard of prompts, then one for each shard of pairs.
        assert len(judge.batches) == COUNT // 32 + -(-live.pairs // 32)
