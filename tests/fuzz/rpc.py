"""Calls with any values: each is answered or refused in words, and everybody else's calls go on."""

import atexit
import random
import shutil
import tempfile
from functools import cache

import grpc

from concord.client.run import options
from concord.embedded import embedded
from concord.kit import ids, rpc
from concord.kit.settings import from_environment
from concord.v1 import runs_service_pb2 as pb
from concord.v1.pairs_pb2 import Pair, Response
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from tests import contract_requests as requests
from tests.fuzz_messages import message

# What no call may end with: our own fault, or that of the library that saw it.
OURS = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
CALLS = requests.rpcs()
RUNS = tuple(ids.run_id(f"any call {n}", b"") for n in range(3))
CONFIG = options.run_config(options.resolve({"judge": "sample", "shard_pairs": 32, "budget": "10%"}), None)
PAIRS = tuple(
    Pair(pair_id=f"row-{n}", first=Response(text=f"one {n}"), second=Response(text=f"other {n}")) for n in range(4)
)
# No endpoint is asked: what becomes of one that does not answer is another matter.
LIKELY = {
    "run_id": (*RUNS, ids.run_id("nobody's", b"")),
    "side_of": ("", *RUNS),
    "config": (CONFIG,),
    "pairs": PAIRS,
    "kind": ("sample", "recorded"),
    "annotator": ("ann", "bob"),
    "first_index": (0, 1),
    "request_id": ("1", "2", "start"),
    "method": ("posterior", "none"),
    "page_token": ("", "1", "²"),
}
DEADLINE_S, START_S = 20.0, 300.0
WATCH_S = 0.05


@cache
def prepare() -> grpc.Channel:
    """All services in this process, on a folder that goes when the process does."""
    home = tempfile.mkdtemp(prefix="concord-fuzz-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    services = embedded(from_environment({}, home=home, log_level="critical"))
    running = services.__enter__()
    atexit.register(services.__exit__, None, None, None)
    channel = rpc.channel(running.address)
    for run_id in RUNS[:2]:
        RunServiceStub(channel).CreateRun(pb.CreateRunRequest(run_id=run_id, config=CONFIG), timeout=START_S)
    return channel


def one(rng: random.Random) -> None:
    """One call, and a look at whether the runs can still be read."""
    channel, call = prepare(), rng.choice(CALLS)
    request = message(rng, call.request, LIKELY)
    for judge in (getattr(request, "judge", None), getattr(getattr(request, "config", None), "judge", None)):
        if judge is not None and judge.kind == "llm":
            judge.kind = "sample"
    status, words = _answered(channel, call, request)
    assert status not in OURS, f"{call.path}: {status.name}: {words}\n{request}"
    if rng.random() < 0.05:
        for view in RunServiceStub(channel).ListRuns(pb.ListRunsRequest()).runs:
            assert view.status != pb.RUN_STATUS_CORRUPT, view.detail
            assert RunServiceStub(channel).GetRun(pb.GetRunRequest(run_id=view.run_id)).run.run_id == view.run_id


def _answered(channel: grpc.Channel, call: requests.Rpc, request) -> tuple[grpc.StatusCode, str]:
    try:
        if call.streams:
            ask = channel.unary_stream(call.path, call.request.SerializeToString, call.response.FromString)
            list(ask(request, timeout=WATCH_S if "Watch" in call.path else DEADLINE_S))
        else:
            ask = channel.unary_unary(call.path, call.request.SerializeToString, call.response.FromString)
            ask(request, timeout=DEADLINE_S)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""
