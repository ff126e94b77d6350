"""LabelPairs over real gRPC: what it refuses, and that its work ends with its caller."""

import asyncio
import threading
from contextlib import contextmanager

import grpc
import pytest

from concord.kit import rpc
from concord.kit.blobs import FileBlobs
from concord.labeling.service import Labeling, servicer
from concord.preference import request_bounds
from concord.v1 import config_pb2 as cfg
from concord.v1 import pairs_pb2 as pb
from concord.v1.labeling_service_pb2 import LabelPairsRequest
from concord.v1.labeling_service_pb2_grpc import LabelingServiceStub
from tests.dialects import Dialects, pairs, right
from tests.endpoint import Endpoint
from tests.waiting import until

Status = grpc.StatusCode


@contextmanager
def door(folder, endpoint):
    """(the stub of a labeling service, the service); it and the endpoint in one loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def done(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    done(endpoint.__aenter__())
    labeling = Labeling(FileBlobs(folder / "blobs"), f"sqlite:///{folder / 'answers.db'}", 8, {})
    server, port, _ = rpc.serve([servicer(labeling, loop)], "127.0.0.1:0", check=request_bounds.check)
    try:
        with rpc.channel(f"127.0.0.1:{port}") as channel:
            yield LabelingServiceStub(channel), labeling
    finally:
        server.stop(None).wait()
        done(labeling.close())
        done(endpoint.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def judge(url: str, **changes) -> cfg.JudgeConfig:
    return cfg.JudgeConfig(**{"kind": "llm", "name": "m", "url": url, "both_orders": True} | changes)


def idle(labeling: Labeling) -> bool:
    """Whether nothing is asked of any endpoint."""
    return all(chat.idle for chat in labeling._llm()._chats.values())


def test_a_caller_who_waits_gets_verdicts_and_causes(tmp_path):
    served = Dialects()
    with door(tmp_path, served) as (stub, _):
        said = stub.LabelPairs(LabelPairsRequest(judge=judge(served.url("standard")), pairs=pairs(4)))
        assert list(said.labels.choice) == [right(pair) for pair in pairs(4)] and said.usage.calls == 8
        said = stub.LabelPairs(LabelPairsRequest(judge=judge(served.url("declining")), pairs=pairs(2)))
        assert said.labels.faults[0].answers == 4 and said.labels.kept_answers[0].text == "I will not compare these."


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": float("nan")},
        {"temperature": -1.0},
        {"temperature": float("inf")},
        {"prompt_dollars": float("nan")},
        {"timeout_s": float("nan")},
        {"requests_per_minute": -1.0},
        {"max_tokens": 10**9},
        {"criteria": "x" * 30_000},
        {"name": "x" * 1_000},
        {"name": ""},
        {"kind": "oracle"},
        {"own_prompts": ["x"] * 200},
    ],
)
def test_a_judge_that_cannot_be_is_refused_before_anything_is_asked(tmp_path, changes):
    served = Dialects()
    with door(tmp_path, served) as (stub, _), pytest.raises(grpc.RpcError) as refused:
        stub.LabelPairs(LabelPairsRequest(judge=judge(served.url("standard"), **changes), pairs=pairs(1)))
    assert refused.value.code() is Status.INVALID_ARGUMENT and "judge." in refused.value.details()
    assert not served.requests


@pytest.mark.parametrize("request_", [{"pairs": []}, {"pairs": pairs(1) * 257}])
def test_pairs_that_cannot_be_are_refused(tmp_path, request_):
    served = Dialects()
    with door(tmp_path, served) as (stub, _), pytest.raises(grpc.RpcError) as refused:
        stub.LabelPairs(LabelPairsRequest(judge=judge(served.url("standard")), **request_))
    assert refused.value.code() is Status.INVALID_ARGUMENT


def test_the_callers_deadline_is_told_as_one_and_ends_the_work(tmp_path):
    endpoint = Endpoint(poison={"?": "hang"})
    with door(tmp_path, endpoint) as (stub, labeling):
        with pytest.raises(grpc.RpcError) as late:
            stub.LabelPairs(LabelPairsRequest(judge=judge(endpoint.url), pairs=pairs(12)), timeout=0.5)
        assert late.value.code() is Status.DEADLINE_EXCEEDED
        until(lambda: idle(labeling))
        assert endpoint.calls <= 8


def test_work_ends_with_its_caller(tmp_path):
    endpoint = Endpoint(poison={"?": "hang"})
    with door(tmp_path, endpoint) as (stub, labeling):
        waiting = stub.LabelPairs.future(LabelPairsRequest(judge=judge(endpoint.url), pairs=pairs(12)), timeout=60)
        until(lambda: endpoint.in_flight == 8)
        waiting.cancel()
        until(lambda: idle(labeling))
        assert endpoint.calls <= 8, "nobody asks for what nobody waits for"


def test_a_verdict_in_the_data_must_be_a_number(tmp_path):
    served = Dialects()
    verdict = pb.RecordedVerdict(judge="x", choice=pb.CHOICE_FIRST, confidence=float("nan"))
    pair = pb.Pair(pair_id="p", first=pb.Response(text="a"), second=pb.Response(text="b"), verdicts=[verdict])
    with door(tmp_path, served) as (stub, _), pytest.raises(grpc.RpcError, match="confidence") as refused:
        stub.LabelPairs(LabelPairsRequest(judge=cfg.JudgeConfig(kind="recorded", name="x"), pairs=[pair]))
    assert refused.value.code() is Status.INVALID_ARGUMENT
