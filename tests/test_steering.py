"""`concord pause`, `resume` and `cancel`: from another process while a run goes on, beside its log, and through a front door."""

import fcntl
import json
import re
import socket
from pathlib import Path

import pytest

from concord.client.run import drive, steering
from concord.commands.door import door, is_run_elsewhere
from concord.kit import ids, rpc
from concord.kit.errors import Refused, Unavailable
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import PauseReason, Stage
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from tests.endpoint import Endpoint
from tests.judged_run import endpoint
from tests.test_cli import concord
from tests.test_doctor import settings_in
from tests.test_resume import PAIRS, command, folder_with_pairs, wait_for_calls
from tests.test_server import KERNELS, services_in
from tests.test_services import PAIRS as SOME
from tests.test_services import config

RUN = ids.run_id("steered", b"")


# ── what is said of a run ──────────────────────────────────────────────────────────────────────────────────────────


def view_of(status: str, reason: str = "UNSPECIFIED", **more: object) -> pb.RunView:
    kept = {"run_id": RUN, "status": f"RUN_STATUS_{status}", "pause_reason": f"PAUSE_REASON_{reason}"}
    return pb.RunView(**kept, **more)


def labeling(settled: int) -> dict:
    return {"stages": [pb.StageView(stage=Stage.STAGE_LABEL, units=25, settled=settled)]}


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (view_of("CREATED"), "is created; its `concord run …` command begins it"),
        (
            view_of("RUNNING", **labeling(12)),
            "is running in LABEL (12 of 25 units); its `concord run …` command goes on",
        ),
        (view_of("PAUSED", "CALLER", detail="lunch"), f"is paused: lunch; `concord resume {RUN[:8]}` lets it go on"),
        (view_of("PAUSED", "SILENT_JUDGE"), "with --accept-judge it goes on without those verdicts"),
        (view_of("PAUSED", "DEFERRED"), "goes on by itself"),
        (view_of("PAUSED", "BUDGET"), "a higher --dollars and --resume"),
        (view_of("FINISHED"), f"`concord report {RUN[:8]}`"),
        (view_of("CANCELLED", detail="enough"), "is cancelled: enough; it stays cancelled"),
        (view_of("CORRUPT"), f"`concord replay {RUN[:8]}`"),
    ],
)
def test_one_line_says_where_a_run_stands_and_what_to_do_next(view, said):
    line = steering.standing(view)
    assert line.startswith(f"run {RUN} is ") and said in line and "\n" not in line


def test_a_run_on_which_no_process_works_is_not_said_to_be_running():
    line = steering.standing(view_of("RUNNING", **labeling(12)), "", alone=True)
    assert "is waiting in LABEL (12 of 25 units): no process works on it now; its `concord run …` command" in line
    paused = view_of("PAUSED", "CALLER", detail="lunch")
    assert steering.standing(paused, "", alone=True) == steering.standing(paused)


def test_every_status_and_every_pause_has_a_next_step_and_it_reaches_the_run_where_it_is():
    for status in set(pb.RunStatus.keys()) - {"RUN_STATUS_UNSPECIFIED"}:
        for reason in PauseReason.values():
            view = pb.RunView(run_id=RUN, status=status, pause_reason=reason)
            for step in re.findall(r"`(.+?)`", steering.following(view, " --server door:7070")):
                assert step.endswith(" --server door:7070") or "run …" in step


@pytest.mark.parametrize("order", [steering.PAUSE, steering.RESUME, steering.CANCEL], ids=lambda order: order.word)
def test_an_order_changes_a_run_once_and_an_ended_run_never(order):
    (changed, *_), done = order.changes, pb.RunStatus.Name(order.done)
    assert steering.is_due(order, pb.RunView(run_id=RUN, status=changed))
    assert not steering.is_due(order, pb.RunView(run_id=RUN, status=done))
    with pytest.raises(Refused, match=f"nothing to {order.word}: .* is finished"):
        steering.is_due(order, view_of("FINISHED"))


def test_a_run_that_waits_for_a_dependency_may_still_be_held():
    assert steering.is_due(steering.PAUSE, view_of("PAUSED", "DEFERRED"))


def test_before_a_run_is_cancelled_what_is_lost_and_what_stays_is_said():
    view = view_of("RUNNING", pairs=1_600, votes=12, input_name="pairs.jsonl", **labeling(12))
    view.usage.calls, view.usage.dollars = 3_000, 1.5
    run, lost, kept = steering.stakes(view)
    assert "pairs.jsonl: 1,600 pairs" in run and "12 votes of people and 3,000 calls of the judge ($1.50)" in run
    assert "without a dataset" in lost and "--reuse" in kept


# ── from another process, while it labels ──────────────────────────────────────────────────────────────────────────


def done(folder: Path, judge: Endpoint) -> dict:
    """The report of the run that the command carries to its end."""
    running = command(folder, judge)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err.decode()
    return json.loads(out)


def told(folder: Path, *words: str) -> str:
    said = concord(folder, *words, **KERNELS)
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_a_run_paused_while_it_labels_and_resumed_gives_the_dataset_of_a_quiet_one(tmp_path):
    with endpoint(latency_s=0.1) as judge:
        quiet = done(folder_with_pairs(tmp_path / "quiet"), judge)
        before, folder = judge.calls, folder_with_pairs(tmp_path / "paused")
        running = command(folder, judge)
        wait_for_calls(judge, before + PAIRS // 2)
        # From here on no verdict comes before the pause does.
        judge.behaviour.poison = {"": "hang"}
        assert re.match(r"run \S+ is paused in LABEL \(\d of \d units\): lunch; `concord resume", told_pause(folder))
        err = running.communicate(timeout=120)[1].decode()
        assert running.returncode == 3 and "is paused: lunch" in err, err
        judge.behaviour.poison = {}
        # Nobody runs the services now: the command itself does, for as long as it lasts.
        assert "is paused" in told(folder, "pause", "last")
        assert re.match(
            r"run \S+ is waiting in LABEL .*: no process works on it now; its `concord run …` command goes on",
            told(folder, "resume", "last"),
        )
        assert done(folder, judge)["dataset_sha256"] == quiet["dataset_sha256"]
    late = concord(folder, "cancel", "last", "--yes", **KERNELS)
    assert late.returncode == 2 and "nothing to cancel" in late.stderr and "is finished" in late.stderr


def told_pause(folder: Path) -> str:
    return told(folder, "pause", "last", "--why", "lunch")


def test_a_process_that_runs_the_services_but_takes_nothing_in_is_named(tmp_path):
    settings = settings_in(tmp_path)
    assert not is_run_elsewhere(settings)
    with Path(f"{settings.log_url.removeprefix('sqlite:///')}.runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_run_elsewhere(settings)
        with (
            pytest.raises(Unavailable, match="stands in the log, but the process that runs `runs`"),
            door(settings, ""),
        ):
            raise Unavailable("Deadline Exceeded")


# ── through a front door ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with services_in(tmp_path_factory.mktemp("steered") / "cluster") as address:
        yield address


def begun(cluster: str, name: str, **flags: object) -> str:
    """A run there that waits for people who never answer."""
    run_id = ids.run_id(name, b"")
    with rpc.channel(cluster) as channel:
        runs = RunServiceStub(channel)
        drive.begin(runs, run_id, config(**flags), SOME, "0" * 64, "made up")
        for said in runs.WatchRun(pb.WatchRunRequest(run_id=run_id), timeout=60):
            if said.run.stages and said.run.stages[-1].stage == Stage.STAGE_PILOT_ANNOTATE:
                break
    return run_id


@pytest.mark.slow
def test_through_a_front_door_a_run_is_paused_resumed_and_cancelled_and_stays_so(cluster, tmp_path):
    run_id, there = begun(cluster, "steered there"), ("--server", cluster)
    assert (
        f"is paused in PILOT_ANNOTATE (0 of 2 units): by `concord pause`; `concord resume {run_id[:8]} --server"
        in told(tmp_path, "pause", run_id[:8], *there)
    )
    assert "is running in PILOT_ANNOTATE" in told(tmp_path, "resume", run_id, *there)
    unsure = concord(tmp_path, "cancel", run_id, *there)
    assert unsure.returncode == 2 and "lost: " in unsure.stderr and "say --yes" in unsure.stderr
    assert "is cancelled in PILOT_ANNOTATE (0 of 2 units): enough; it stays cancelled" in told(
        tmp_path, "cancel", "last", "--why", "enough", "--yes", *there
    )
    late = concord(tmp_path, "resume", run_id, *there)
    assert late.returncode == 2 and "nothing to resume" in late.stderr and "stays cancelled" in late.stderr
    assert not (tmp_path / "concord-data/log.sqlite").exists()


def test_a_resumed_run_whose_rule_still_holds_stands_still_again_and_that_is_said(cluster, tmp_path):
    run_id = ids.run_id("too poor", b"")
    dear = {"judge": "http://127.0.0.1:9/v1#dear", "prompt_price": 1_000, "dollars": 0.01, "method": "none"}
    with rpc.channel(cluster) as channel:
        drive.begin(RunServiceStub(channel), run_id, config(**dear), SOME, "0" * 64, "made up")
        drive.watch(RunServiceStub(channel), run_id, None, lambda view: None)
    again = concord(tmp_path, "resume", run_id, "--server", cluster)
    assert again.returncode == 3 and "is paused in LABEL" in again.stdout and "higher --dollars" in again.stdout


def test_a_front_door_that_is_away_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        away = concord(tmp_path, "pause", RUN, "--server", address)
    assert away.returncode == 4 and address in away.stderr and "Traceback" not in away.stderr


def test_a_run_that_nobody_knows_is_a_mistake_and_nothing_is_made(tmp_path):
    unknown = concord(tmp_path, "pause", "last")
    assert unknown.returncode == 2 and "no runs in concord-data yet" in unknown.stderr
    assert not (tmp_path / "concord-data/log.sqlite").exists()
