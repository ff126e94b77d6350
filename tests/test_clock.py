"""A machine's clock that jumps, with deadlines on: the run ends, and what its log says can be folded again."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from concord.kit.settings import from_environment, open_log
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import TaskOutcome
from tests.chaos import LIMIT_S, Progress, in_background, wait_for
from tests.faults import World
from tests.fleet import each_its_own
from tests.judged_run import (
    ANSWER,
    PAIRS,
    assert_nothing_was_lost,
    closed_stages,
    configuration,
    drive_through,
    endpoint,
    quiet_run,
)

DEADLINE_S = 120
# Seconds by which the clock of all services is wrong until the next jump.
JUMPS = (600, -600, 7200, 0, 300, -7200, 0)
# So long nobody answers after a jump.
SILENT_S = 3.0


class Clock:
    """The clock of every service; the servers' own and this process' are right. Jumps while people have tasks."""

    def __init__(self, file: Path, points: Sequence[int], progress: Progress) -> None:
        self._file, self._progress = file, progress
        self._coming = list(zip(points, JUMPS, strict=True))
        self._calm = threading.Event()
        self.jumped = 0

    def turn(self) -> None:
        """Jumps where the next point is reached; people answer again once that had time to do harm."""
        step = self._progress.look()
        if not self._coming or step < self._coming[0][0]:
            self._calm.set()
            return
        self._calm.clear()
        _, seconds = self._coming.pop(0)
        set_wrong(self._file, seconds)
        self.jumped += 1
        threading.Event().wait(SILENT_S)

    def answer(self, pair: int, vote: int):
        self._calm.wait(2 * SILENT_S)
        return ANSWER(pair, vote)


def set_wrong(file: Path, seconds: int) -> None:
    """The services' clock is wrong by so much from now on."""
    fresh = file.with_suffix(".new")
    fresh.write_text(str(seconds))
    fresh.rename(file)


def expired(progress: Progress) -> int:
    """Tasks that people were too late for, by the services' clock."""
    said = {
        event.event_id: event.task_resolved for event in progress.facts if event.WhichOneof("kind") == "task_resolved"
    }
    return sum(task.outcome == TaskOutcome.TASK_OUTCOME_EXPIRED for task in said.values())


@pytest.mark.slow
def test_a_run_with_deadlines_ends_and_replays_though_the_clock_jumps_ahead_and_back(tmp_path):
    file = tmp_path / "clock"
    set_wrong(file, 0)
    environment = {"WRONG_CLOCK": str(file), "CONCORD_REISSUE_AFTER_S": "5", "CONCORD_PROCESSES": "0"}
    with endpoint(flips=0.2) as judge:
        config = configuration(judge.url, 1, deadline=DEADLINE_S)
        quiet = quiet_run(judge, config, tmp_path / "quiet")
        with World(environment, each_its_own(runs=2, tasks=2), LIMIT_S, "tests.wrong_clock") as world:
            log = open_log(from_environment(world.environment, home=str(world.home)))
            progress, count = Progress(log, quiet.steps), len(quiet.steps)
            points = [count * (n + 2) // (len(JUMPS) + 4) for n in range(len(JUMPS))]
            clock = Clock(file, points, progress)
            fleet = world.fleet
            doors = fleet.replicas("runs"), fleet.replicas("tasks")
            run = in_background(lambda: drive_through(*doors, config, clock.answer))
            wait_for(run, clock.turn)
            view = run.result()
            progress.look()
            log.close()
            assert_nothing_was_lost(world.environment, world.home)
    assert clock.jumped == len(JUMPS)
    assert expired(progress), "no deadline passed, so this test has shown nothing"
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail
    assert view.dataset.rows == len(PAIRS)
    assert closed_stages(progress.facts)[-1] == quiet.stages[-1]
