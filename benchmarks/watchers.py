"""How long GetRun takes while five hundred watch, and how soon they all hear of a change.

    python -m benchmarks.watchers [--watchers 500] [--quick] [--json [FILE]]

The service `runs` is a process of its own on a PostgreSQL of its own and the log in a file. The watchers are another process, with
a connection for a hundred of them; whoever asks GetRun, one call after the other, is a third, so that its milliseconds are the
service's and not those in which its own loop hears for the watchers. Meanwhile the watched run changes twenty times.
"""

import asyncio
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc

from benchmarks.loop import ONE_THREAD
from benchmarks.measure import asked_of, circumstances, parser_of, spread, write
from concord.client.run import options
from concord.kit import ids, rpc
from concord.v1 import runs_service_pb2 as pb
from concord.v1.pairs_pb2 import Pair, Response
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from deploy.local.postgres import start_postgres
from tests.fleet import Fleet

CHANGES, A_CONNECTION = 20, 100
EVERY_S = 0.25
BEGIN_S = 120.0


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def watch(stub: RunServiceStub, run_id: str, heard: dict[int, list[float]]) -> None:
    """Notes when each number of pairs was heard of, until the call is ended."""
    async for said in stub.WatchRun(pb.WatchRunRequest(run_id=run_id)):
        heard.setdefault(said.run.pairs, []).append(time.perf_counter())


async def watch_all(address: str, run_id: str, watchers: int, line: Connection) -> None:
    """Watches until the line says that it is over, and answers with what was heard: pairs → seconds of each watcher."""
    channels = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(-(-watchers // A_CONNECTION))
    ]
    stubs = [RunServiceStub(channel) for channel in channels]
    heard: dict[int, list[float]] = {}
    watching = [asyncio.create_task(watch(stubs[n // A_CONNECTION], run_id, heard)) for n in range(watchers)]
    while sum(map(len, heard.values())) < watchers:
        await asyncio.sleep(0.05)
    line.send("all watch")
    while not line.poll():
        await asyncio.sleep(0.05)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    for channel in channels:
        await channel.close()
    line.send(heard)


def watchers_process(address: str, run_id: str, watchers: int, line: Connection) -> None:
    asyncio.run(watch_all(address, run_id, watchers, line))


async def ask(stub: RunServiceStub, run_id: str, over: asyncio.Event) -> list[float]:
    """Milliseconds of each GetRun, one after the other."""
    took = []
    while not over.is_set():
        began = time.perf_counter()
        await stub.GetRun(pb.GetRunRequest(run_id=run_id))
        took.append(1e3 * (time.perf_counter() - began))
        await asyncio.sleep(0.002)
    return took


async def asked_and_changed(address: str, run_id: str) -> tuple[list[float], dict[int, float]]:
    """Milliseconds of each GetRun while the run changes; pairs → when they were submitted, in seconds."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = RunServiceStub(channel)
        over = asyncio.Event()
        asking = asyncio.create_task(ask(stub, run_id, over))
        there = (await stub.GetRun(pb.GetRunRequest(run_id=run_id))).run.pairs
        said: dict[int, float] = {}
        for number in range(there, there + CHANGES):
            said[number + 1] = time.perf_counter()
            more = Pair(pair_id=str(number), first=Response(text="yes"), second=Response(text="no"))
            asked = pb.SubmitPairsRequest(run_id=run_id, request_id=str(number), first_index=number, pairs=[more])
            await stub.SubmitPairs(asked)
            await asyncio.sleep(EVERY_S)
        await asyncio.sleep(1.0)
        over.set()
        return await asking, said


def measured(address: str, run_id: str, watchers: int) -> dict[str, float]:
    """p50 and p99 of GetRun, and of the time until the last watcher heard of a change, in milliseconds."""
    spawn = multiprocessing.get_context("spawn")
    line, theirs = spawn.Pipe()
    process = spawn.Process(target=watchers_process, args=(address, run_id, watchers, theirs), daemon=True)
    process.start()
    assert line.poll(BEGIN_S), "the watchers do not watch"
    line.recv()
    took, said = asyncio.run(asked_and_changed(address, run_id))
    line.send("over")
    heard: dict[int, list[float]] = line.recv()
    process.join()
    last = [1e3 * (max(heard[pairs]) - at) for pairs, at in said.items() if len(heard.get(pairs, ())) == watchers]
    # Two changes between two looks are heard of as one; the last one must have been heard of by all.
    assert len(heard[max(said)]) == watchers and len(last) >= CHANGES // 2, f"{len(last)} changes were heard of by all"
    return {
        "get_p50_ms": percentile(took, 0.5),
        "get_p99_ms": percentile(took, 0.99),
        "get_calls": len(took),
        "heard_p50_ms": percentile(last, 0.5),
        "heard_p99_ms": percentile(last, 0.99),
    }


def begun(address: str) -> str:
    """A run that can be watched and gets more pairs: created, with nothing in it."""
    run_id = ids.run_id("watchers", str(time.time_ns()).encode())
    with rpc.channel(address) as channel:
        config = options.run_config(options.resolve({"judge": "sample", "budget": "10%"}), None)
        RunServiceStub(channel).CreateRun(pb.CreateRunRequest(run_id=run_id, config=config))
    return run_id


def main() -> None:
    parser = parser_of(__doc__, "50 watchers at most, one repeat")
    parser.add_argument("--watchers", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    asked = asked_of(parser)
    most, repeats = (50, 1) if asked.quick else (asked.watchers, asked.repeats)
    counts = sorted({1, most // 5, most})
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        home, postgres = Path(folder), start_postgres(Path(tempfile.mkdtemp(prefix="watchers-")))
        environment = ONE_THREAD | {"CONCORD_STATE_URL": postgres.url(postgres.make_database())}
        with Fleet(home, environment, {"runs-0": ("runs",)}) as fleet:
            run_id = begun(fleet.address("runs-0"))
            rounds = {
                count: [measured(fleet.address("runs-0"), run_id, count) for _ in range(repeats)] for count in counts
            }
        postgres.stop()
    for count, measures in rounds.items():
        found[str(count)] = {name: spread([one[name] for one in measures]) for name in measures[0]}
        shown = ", ".join(f"{name} {row['median']:.1f}" for name, row in found[str(count)].items())
        print(f"{count:5} watchers: {shown}", flush=True)
    if asked.json:
        settings = {"watchers": counts, "changes": CHANGES, "repeats": repeats, "store": "PostgreSQL, fsync off"}
        write(asked.json, {**circumstances(settings), "by_watchers": found})


if __name__ == "__main__":
    main()
