"""A front door for one command: somebody else's, or one of its own on the log that the settings name."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from concord.client.run import preflight
from concord.kit import rpc
from concord.kit.errors import Unavailable
from concord.kit.settings import Settings, open_blobs, open_log, open_store
from concord.operate.inspect import held_groups
from concord.preference import request_bounds
from concord.runs import service as runs
from concord.tasks import service as tasks
from concord.tasks.slots import SqlSlots

HERE = "127.0.0.1:0"


@contextmanager
def door(settings: Settings, server: str) -> Iterator[str]:
    """The address of a front door for as long as the block lasts.

    Where another process runs `runs` on this log, it takes in what is said here: only the door is opened then, and
    Unavailable says so where that process does not. Where none does, `runs` is started for the while.
    """
    if server:
        preflight.check_address(server)
        yield server
    elif is_run_elsewhere(settings):
        with door_alone(settings) as address:
            try:
                yield address
            except Unavailable as error:
                raise Unavailable(
                    f"what was said stands in the log, but the process that runs `runs` on it does not take it in: {error}. "
                    "Look at that process; `concord doctor` says more"
                ) from None
    else:
        from concord.process import Running

        running = Running([runs.SERVICE], replace(settings, listen=HERE, metrics_port=0, grace_s=0.0))
        try:
            yield running.address
        finally:
            running.stop()


def is_run_elsewhere(settings: Settings) -> bool:
    """Whether another process folds this log's facts; a Kafka log belongs to a cluster, which has such processes."""
    held = held_groups(settings, (runs.SERVICE,))
    return held is None or runs.SERVICE in held


@contextmanager
def door_alone(settings: Settings) -> Iterator[str]:
    """RunService and TaskService without what folds: they append, and wait until the other process has stored what came of it."""
    with ExitStack() as opened:
        log = open_log(settings)
        opened.callback(log.close)
        store = open_store(settings)
        opened.callback(store.close)
        blobs = open_blobs(settings)
        desk = tasks.servicer(log, store, blobs, SqlSlots(store), settings.lease_s)
        front = runs.servicer(log, store, blobs, runs.read_teams(settings.teams_file))
        server, port, _ = rpc.serve([front, desk], HERE, check=request_bounds.check)
        opened.callback(lambda: server.stop(None).wait())
        yield f"{HERE.rpartition(':')[0]}:{port}"
