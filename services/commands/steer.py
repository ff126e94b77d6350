"""`concord pause`, `resume` and `cancel`: what is told to a run while it goes on, from wherever."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import grpc
import typer

from concord.client.run import drive, progress, steering
from concord.client.run.confirm import agreed
from concord.commands import WAITS, flags, home
from concord.commands.home import reading
from concord.kit import rpc
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub

# A rule that still holds pauses a resumed run again within moments.
LOOK_S = 1.0


@dataclass(frozen=True)
class Told:
    """A run, and the front door that it is told something through; `flag`: what a command needs to read there.

    `alone`: no process runs the services there, so that a run stands still once the command is over.
    """

    runs: RunServiceStub
    view: pb.RunView
    flag: str
    alone: bool


def pause(name: flags.Run, why: flags.Why = "", server: flags.Through = "") -> None:
    """Let a run stand still: what is under way comes to its end, nothing more begins until `concord resume`."""
    with reaching(name, server) as run:
        view = run.view
        if steering.is_due(steering.PAUSE, view):
            asked = pb.PauseRunRequest(run_id=view.run_id, request_id=str(uuid4()), detail=why or "by `concord pause`")
            view = run.runs.PauseRun(asked).run
    _say(view, run)


def resume(name: flags.Run, accept_judge: flags.AcceptSilence = False, server: flags.Through = "") -> None:
    """Let a paused run go on: what failed or got no verdict is tried anew, a shut gate is overruled; exit 3 if it cannot."""
    with reaching(name, server) as run:
        view = run.view
        if steering.is_due(steering.RESUME, view):
            view = _a_moment_later(run.runs, drive.resume(run.runs, view, accept_judge))
    _say(view, run)
    if view.status == pb.RUN_STATUS_PAUSED:
        raise typer.Exit(WAITS)


def cancel(name: flags.Run, why: flags.Why = "", yes: flags.CancelYes = False, server: flags.Through = "") -> None:
    """End a run for good, without a dataset; says what is lost and what stays, and asks before."""
    with reaching(name, server) as run:
        view, is_due = run.view, steering.is_due(steering.CANCEL, run.view)
    # Asked with the door shut: while somebody thinks, another process may want to run the services.
    if is_due and _is_meant(view, yes):
        with reaching(view.run_id, server) as run:
            asked = pb.CancelRunRequest(
                run_id=view.run_id, request_id=str(uuid4()), reason=why or "by `concord cancel`"
            )
            view = run.runs.CancelRun(asked).run
    _say(view, run)


@contextmanager
def reaching(name: str, server: str) -> Iterator[Told]:
    """The run that `name` means, through the front door `server` or one of its own. Raises NotFound, Unavailable."""
    from concord.commands.door import door, is_run_elsewhere

    settings = home.opened()
    with reading(settings, server) as records:
        run_id, flag = records.find(name), records.flag
    alone = not server and not is_run_elsewhere(settings)
    with door(settings, server) as address, rpc.channel(address) as channel, drive.translated(address):
        runs = RunServiceStub(channel)
        yield Told(runs, runs.GetRun(pb.GetRunRequest(run_id=run_id)).run, flag, alone)


def _a_moment_later(runs: RunServiceStub, view: pb.RunView) -> pb.RunView:
    """The resumed run, looked at until it stands still again or LOOK_S are over."""
    try:
        for said in runs.WatchRun(pb.WatchRunRequest(run_id=view.run_id), timeout=LOOK_S):
            view = said.run
            if view.status != pb.RUN_STATUS_RUNNING:
                break
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
    return view


def _is_meant(view: pb.RunView, yes: bool) -> bool:
    for line in steering.stakes(view):
        progress.say(line)
    return yes or agreed("cancel it?", f"run {view.run_id} would be cancelled for good")


def _say(view: pb.RunView, run: Told) -> None:
    print(progress.clean(steering.standing(view, run.flag, run.alone)))
