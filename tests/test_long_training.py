"""A unit that takes twenty times as long as a member may go without polling, while its group is restarted one by one.

Scaled from 10 minutes and 30 s to 40 s and 2 s, on a real broker, with processes that end as a pod's do;
`LONG_UNIT_SCALE=15 pytest tests/test_long_training.py` takes the ten minutes.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from concord.kit.ids import run_id, uri_of, work_id
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, TRAIN, fact_partition
from concord.v1.events_pb2 import Event, Stage
from concord.v1.work_pb2 import Work
from tests.fleet import ROOT
from tests.long_training import START, after

pytestmark = pytest.mark.slow


RUN = run_id("long training", b"")
SCALE = float(os.environ.get("LONG_UNIT_SCALE", "1"))
INTERVALS, INTERVAL_S = 20, 2.0 * SCALE
POLL_S, SESSION_S = INTERVALS * INTERVAL_S / 20, 6.0
SOON_S = 90.0 * SCALE


class Group:
    """Training processes in one group, each with the grace that its pod has."""

    def __init__(self, folder: Path, log_url: str) -> None:
        self._folder, self._log_url = folder, log_url
        self.processes: list[subprocess.Popen] = []

    def add(self, grace_s: float) -> subprocess.Popen:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "CONCORD_HOME": str(self._folder),
            "CONCORD_LISTEN": "127.0.0.1:0",
            "CONCORD_GRACE_S": str(grace_s),
            "CONCORD_LOG_URL": f"{self._log_url}&session_ms={SESSION_S * 1000:.0f}&poll_interval_ms={POLL_S * 1000:.0f}",
        }
        command = [sys.executable, "-m", "tests.long_training", str(self._folder), str(INTERVALS), str(INTERVAL_S)]
        with (self._folder / "training.log").open("ab") as log:
            self.processes.append(subprocess.Popen(command, env=environment, cwd=self._folder, stdout=log, stderr=log))
        return self.processes[-1]

    def begun(self) -> list[tuple[int, int]]:
        """(pid, interval) in the order in which they were begun."""
        path = self._folder / "begun"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]

    def wait(self, reached: Callable[[], bool]) -> None:
        over = threading.Event()
        for _ in range(int(SOON_S / 0.05)):
            if reached():
                return
            over.wait(0.05)
        raise AssertionError(f"{self.begun()}\n{(self._folder / 'training.log').read_text()[-3000:]}")

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def test_a_long_unit_survives_a_rolling_restart_it_resumes_from_its_checkpoint_or_drains(
    open_kafka, kafka_url, tmp_path
):
    log = open_kafka()
    work = Work(run_id=RUN, unit={"stage": Stage.STAGE_FINAL, "number": 0}, train_final={})
    work.work_id = work_id(RUN, work.unit)
    group = Group(tmp_path, kafka_url)
    try:
        impatient = group.add(grace_s=0.5)
        log.append([Entry(TRAIN, 3, b"", work.SerializeToString())])
        group.wait(lambda: len(group.begun()) >= 3)
        # The second one joins: the unit's partition stays where it is.
        patient = group.add(grace_s=60 * SCALE)
        group.wait(lambda: len(group.begun()) >= 6)
        assert {pid for pid, _ in group.begun()} == {impatient.pid}
        impatient.send_signal(signal.SIGTERM)
        assert impatient.wait(20) == 0
        left_at = group.begun()[-1][1]
        group.wait(lambda: group.begun()[-1][0] == patient.pid)
        assert group.begun()[-1][1] in (left_at, left_at + 1), "more than an interval was lost"
        third = group.add(grace_s=0.5)
        group.wait(lambda: group.begun()[-1][1] >= 14)
        # Some six intervals are left; within its grace it comes to the end.
        patient.send_signal(signal.SIGTERM)
        assert patient.wait(60 * SCALE) == 0
        said = [Event.FromString(record.value) for record in log.read(FACTS, fact_partition(RUN), 0, 10)]
        begun = group.begun()
    finally:
        group.end()
    state = START
    for _ in range(INTERVALS):
        state = after(state)
    assert [event.final_trained.model_uri for event in said] == [uri_of(state)]
    drained = [number for pid, number in begun if pid == patient.pid]
    assert drained == list(range(drained[0], INTERVALS + 1)), "drained, and done by one process from the checkpoint on"
    assert third.pid not in {pid for pid, _ in begun}
    assert len(begun) <= INTERVALS + 1
