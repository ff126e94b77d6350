"""`python -m tests.golden`: records the golden histories anew. Only for a new kind of history, never to make a test pass."""

import json
import tempfile
from pathlib import Path

from concord import sample
from concord.client.run import options, session
from concord.client.run.job import prepare
from concord.embedded import embedded
from concord.kit import rpc
from concord.kit.loop.run_records import records
from concord.kit.settings import from_environment, open_log
from concord.operate import run_log
from concord.v1.runs_service_pb2 import PauseRunRequest, ResumeRunRequest, RunView
from concord.v1.runs_service_pb2_grpc import RunServiceStub

HERE = Path(__file__).parent
# name → (pairs, settings, whether a caller pauses it in the middle)
HISTORIES: dict[str, tuple[int, dict[str, object], bool]] = {
    "posterior": (160, {"budget": "12%", "shard_pairs": 32}, False),
    "random-two-votes": (
        96,
        {"method": "random", "budget": "20%", "quorum": 2, "annotators": "simulated:0.2", "shard_pairs": 32},
        True,
    ),
    "none": (70, {"method": "none", "shard_pairs": 16}, False),
}


def record(name: str, folder: Path) -> None:
    """Runs it through all services and writes its facts and the state that they fold to."""
    pairs, flags, interrupted = HISTORIES[name]
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(sample.jsonl().splitlines()[:pairs]) + "\n")
    settings = from_environment({}, home=str(folder / name))
    job = prepare(str(path), options.resolve({"judge": "sample", **flags}), None, "golden")
    with embedded(settings) as running:
        paused: list[str] = []

        def seen(view: RunView) -> None:
            if interrupted and not paused and view.stages_ahead and view.stages:
                with rpc.channel(running.address) as channel:
                    runs = RunServiceStub(channel)
                    runs.PauseRun(PauseRunRequest(run_id=view.run_id, request_id="golden", detail="a look in between"))
                    runs.ResumeRun(ResumeRunRequest(run_id=view.run_id, request_id="golden"))
                paused.append(view.run_id)

        session.run(job, running, seen)
    log = open_log(settings)
    lines = [run_log.event_line(record) for record in records(log, job.run_id)]
    (HERE / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    state = json.dumps(run_log.as_json(run_log.fold(log, job.run_id)), indent=1)
    (HERE / f"{name}.json").write_text(state + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for name in HISTORIES:
            record(name, Path(scratch))
            print(HERE / f"{name}.jsonl")
